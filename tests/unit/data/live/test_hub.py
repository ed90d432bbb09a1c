"""The hub with an answer that tests give: who is asked when, and who is told what."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server_core.wire import GraphQLRequest
from services.data.answer import Prepared
from services.data.catalog.model import QualifiedName
from services.data.errors import ConnectionFailed, TimedOut
from services.data.live.hub import NOTHING, Hub
from tests.support.waiting import wait_until
from tests.support.watching import Noting
from tests.unit.data.golden import requests

FLOW = QualifiedName("public", "flow")
FLOWS = "subscription { flow { id } }"


def prepared(query: str = FLOWS, **variables: object) -> Prepared:
    """Return a prepared subscription."""
    return requests().prepare(GraphQLRequest(query=query, variables=variables))


class Database:
    """Gives the answers that it is told, one per question; counts the questions."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[str | Exception] = asyncio.Queue()
        self.asked = 0

    async def answer(self, _: Prepared) -> bytes:
        """Answer one question."""
        self.asked += 1
        given = await self.answers.get()
        if isinstance(given, Exception):
            raise given
        return given.encode()

    def say(self, *answers: str | Exception) -> None:
        """Answer the next questions."""
        for answer in answers:
            self.answers.put_nowait(answer)


@pytest.fixture
def database() -> Database:
    """Who is asked."""
    return Database()


@pytest.fixture
async def hub(database: Database) -> AsyncIterator[Hub]:
    """A hub that does not poll, with notifications for `flow`."""
    hub = Hub(database.answer, min_interval=0, poll_interval=3600, at_once=2, retry_interval=0)
    hub.cover(frozenset({FLOW}))
    yield hub
    hub.stop()


async def test_what_is_told_changed_is_asked_again_and_only_news_are_passed_on(hub: Hub, database: Database) -> None:
    watcher = Noting()
    hub.watch(prepared(), watcher)
    database.say("a")
    assert await watcher.next() == "a"
    hub.changed(QualifiedName("public", "agent"))
    hub.changed(FLOW)
    database.say("a")
    await wait_until(lambda: database.asked == 2 and database.answers.empty(), seconds=10, what="the second question")
    database.say("b")
    hub.changed(FLOW)
    assert await watcher.next() == "b"
    assert (database.asked, watcher.told.empty()) == (3, True)


async def test_what_changes_while_it_is_asked_is_asked_again(hub: Hub, database: Database) -> None:
    watcher = Noting()
    hub.watch(prepared(), watcher)
    await wait_until(lambda: database.asked, seconds=10, what="the first question")
    for _ in range(5):
        hub.changed(FLOW)
    database.say("old", "new")
    assert await watcher.next() == "old"
    assert await watcher.next() == "new"
    assert database.asked == 2


async def test_who_asks_the_same_is_told_at_once(hub: Hub, database: Database) -> None:
    watchers = [Noting() for _ in range(3)]
    hub.watch(prepared(), watchers[0])
    hub.watch(prepared(), watchers[1])
    database.say("a")
    for watcher in watchers[:2]:
        assert await watcher.next() == "a"
    hub.watch(prepared(), watchers[2])
    assert await watchers[2].next() == "a"
    assert database.asked == 1


async def test_other_names_and_other_values_are_other_questions(hub: Hub, database: Database) -> None:
    query = "subscription ($n: String) { flow(where: {name: {_eq: $n}}) { id } }"
    for number, asked in enumerate(
        [prepared(), prepared("subscription { f: flow { id } }"), prepared(query, n="a"), prepared(query, n="b")], 1
    ):
        watcher = Noting()
        hub.watch(asked, watcher)
        database.say(str(number))
        assert await watcher.next() == str(number)
        assert database.asked == number


async def test_the_last_who_leaves_ends_it(hub: Hub) -> None:
    first, second = (hub.watch(prepared(), Noting()) for _ in range(2))
    assert hub.wanted.is_set()
    assert hub.tables() == {FLOW}
    first()
    first()
    assert hub.tables() == {FLOW}
    second()
    assert hub.tables() == NOTHING
    assert not hub.wanted.is_set()


async def test_an_error_ends_it_for_all(hub: Hub, database: Database) -> None:
    watchers = [Noting(), Noting()]
    for watcher in watchers:
        hub.watch(prepared(), watcher)
    database.say("a", TimedOut("too long"))
    for watcher in watchers:
        assert await watcher.next() == "a"
    hub.changed(FLOW)
    for watcher in watchers:
        assert await watcher.code() == "timeout"
    assert not hub.wanted.is_set()


async def test_a_defect_is_masked(hub: Hub, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    watcher = Noting()
    hub.watch(prepared(), watcher)
    database.say(RuntimeError("secret"))
    (error,) = await watcher.next()
    assert error["extensions"]["code"] == "unexpected"
    assert "secret" not in str(error)
    assert "secret" in caplog.text


async def test_without_a_database_the_first_question_fails_and_later_ones_are_put_again(
    hub: Hub, database: Database
) -> None:
    watcher = Noting()
    hub.watch(prepared(), watcher)
    database.say(ConnectionFailed())
    assert await watcher.code() == "postgres-error"
    hub.watch(prepared(), watcher)
    database.say("a", ConnectionFailed(), "b")
    assert await watcher.next() == "a"
    hub.changed(FLOW)
    assert await watcher.next() == "b"


async def test_what_is_not_told_is_polled(database: Database) -> None:
    hub = Hub(database.answer, min_interval=0, poll_interval=0.001, at_once=2)
    watcher = Noting()
    hub.watch(prepared(), watcher)
    database.say("a", "a", "b")
    assert await watcher.next() == "a"
    assert await watcher.next() == "b"
    # From now on it is told: one question more, for what may have been missed, and then none.
    hub.cover(frozenset({FLOW}))
    database.say("c")
    assert await watcher.next() == "c"
    hub.stop()


async def test_a_function_is_never_covered(hub: Hub) -> None:
    asked = prepared('subscription { utility_upstream_tasks(args: {start_task_ids: "{}"}) { depth } }')
    reads = asked.answer.reads
    assert reads is not None
    assert not hub.covers(reads)


async def test_only_so_many_questions_at_once(hub: Hub, database: Database) -> None:
    query = "subscription ($n: String) { flow(where: {name: {_eq: $n}}) { id } }"
    watchers = [Noting() for _ in range(5)]
    for number, watcher in enumerate(watchers):
        hub.watch(prepared(query, n=str(number)), watcher)
    for _ in range(20):
        await asyncio.sleep(0)
    assert database.asked == 2
    database.say(*"abcde")
    for watcher in watchers:
        await watcher.next()
    assert database.asked == 5
