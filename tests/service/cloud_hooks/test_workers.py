"""Workers share the outbox, and nobody waits for anybody else's receiver, process or database (actions.md §7.2)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from server_core.actions.context import ActionContext
from server_core.actions.hook_attempts import LEASE
from server_core.actions.hook_delivery import HookDelivery
from server_core.actions.hook_http import HookClient
from server_core.config import HookSettings
from server_core.db.session import Database, WriteSession
from server_core.errors import Unavailable
from tests.service.cloud_hooks.world import (
    NOW,
    TWILIO,
    Run,
    Time,
    Unplugged,
    another_run,
    another_worker,
    create,
    deliveries,
    statuses,
    stored_messages,
    worker,
    write,
)
from tests.support.receiver import LeadsTo, Receiver
from tests.support.recorder import recorded
from tests.support.waiting import wait_until


class Dies(LeadsTo):
    """Reaches a receiver; with the request `at`, the sending ends without an answer, as in a process that is killed."""

    def __init__(self, receiver: Receiver, *, at: int = 1) -> None:
        super().__init__(receiver)
        self._left = at

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        self._left -= 1
        if self._left == 0:
            await response.aclose()
            await self.aclose()
            raise asyncio.CancelledError
        return response


async def test_another_worker_delivers_for_one_that_died(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time
) -> None:
    """Killed after the commit, nobody was woken; killed while sending, the lease ends first."""
    await create(hooked, run)
    await write(hooked, run, "Failed")
    other = another_worker(hooked, LeadsTo(receiver), time)
    await another_worker(hooked, Dies(receiver), time).drain()
    assert await statuses(hooked.database) == ["SENDING"]

    await other.drain()
    assert len(receiver.received) == 1
    time.now = NOW + LEASE
    await other.drain()
    assert len(receiver.received) == 2
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_workers_share_the_work(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """No event is sent twice, however many look for due ones at the same time."""
    await create(hooked, run)
    for number in range(40):
        await write(hooked, await another_run(hooked.database, run, f"run-{number}"), "Failed")
    workers = [another_worker(hooked, LeadsTo(receiver), time) for _ in range(3)]
    await asyncio.gather(*(each.drain() for each in workers))
    assert len(receiver.received) == len({request.headers["x-prefect-event-id"] for request in receiver.received}) == 40


async def test_one_runs_events_arrive_in_order(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """Also with several workers and slots; runs do not wait for each other."""
    await create(hooked, run, states=["Running", "Failed", "Success", "Retrying"])
    runs = [run, await another_run(hooked.database, run)]
    for _ in range(3):
        for each in runs:
            await write(hooked, each, "Running", "Failed", "Retrying", "Success")
    await asyncio.gather(*(another_worker(hooked, LeadsTo(receiver), time).drain() for _ in range(3)))
    for each in runs:
        events = [request.json["event"] for request in receiver.received]
        versions = [event["state"]["version"] for event in events if event["flow_run"]["id"] == str(each.id)]
        assert versions == list(range(5, 17))


async def test_dead_receivers_delay_nobody(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """More dead hooks than there are slots, each with a backlog: one that lives is told in the next pass."""
    for number in range(12):
        await create(hooked, run, config={"url": f"http://dead-{number}.example/"})
    hosts = [f"dead-{number}.example" for number in range(12)]
    transport = Unplugged(receiver, *hosts)
    delivery = another_worker(hooked, transport, time, max_concurrent=4)
    for number in range(20):
        await write(hooked, await another_run(hooked.database, run, f"run-{number}"), "Failed")
    await delivery.drain()
    before = len(transport.tried)
    await create(hooked, run, config={"url": "http://alive.example/"})
    late = await another_run(hooked.database, run, "late")
    time.pass_by(seconds=60)
    await write(hooked, late, "Failed")
    await delivery.look()
    await wait_until(lambda: len(receiver.received) == 1, seconds=10, what="the living receiver is told")
    await delivery.drain()
    assert receiver.received[0].json["event"]["flow_run"]["name"] == "late"
    assert before <= 12 * 4
    assert len(transport.tried) - before <= 12


async def test_a_slow_receiver_has_few_slots(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """While one hook's requests hang, another's are sent."""
    await create(hooked, run, config={"url": "http://slow.example/"})
    for number in range(10):
        await write(hooked, await another_run(hooked.database, run, f"run-{number}"), "Failed")
    await create(hooked, run, config={"url": "http://quick.example/"}, states=["Success"])
    await write(hooked, run, "Success")
    hanging = asyncio.Event()

    class Slow(LeadsTo):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.host == "slow.example":
                await hanging.wait()
            return await super().handle_async_request(request)

    delivery = another_worker(hooked, Slow(receiver), time)
    await delivery.look()
    await wait_until(lambda: len(receiver.received) == 1, seconds=10, what="the quick receiver is told")
    await wait_until(lambda: delivery.sending == 4, seconds=10, what="only requests that hang are left")
    hanging.set()
    await delivery.drain()
    assert len(receiver.received) == 11


async def test_a_worker_that_dies_between_two_numbers(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time
) -> None:
    """§7.3 Twilio: what was answered is on record before the next number's turn; only that one may come twice."""
    await create(hooked, run, type="TWILIO", config=TWILIO)
    await write(hooked, run, "Failed")
    await another_worker(hooked, Dies(receiver, at=2), time).drain()
    time.now = NOW + LEASE
    await worker(hooked).drain()
    first, second = TWILIO["to"]
    assert [request.form["To"] for request in receiver.received] == [first, second, second]
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_a_message_is_left_once(hooked: ActionContext, run: Run, receiver: Receiver, time: Time) -> None:
    """§7.3: the message is stored by the statement that notes its delivery, whoever else claims it."""
    await create(hooked, run, type="PREFECT_MESSAGE", config=None)
    await write(hooked, run, "Failed")
    other = another_worker(hooked, LeadsTo(receiver), time)
    await worker(hooked).look()
    await wait_until(lambda: not worker(hooked).sending, seconds=10, what="the message is made")
    time.now = NOW + LEASE
    await other.drain()
    assert len(await stored_messages(hooked.database)) == 1
    await worker(hooked).drain()
    [row] = await stored_messages(hooked.database)
    assert (row["tenant_id"], row["type"], row["read"]) == (run.tenant_id, "CLOUD_HOOK", False)
    assert row["content"]["type"] == "CLOUD_HOOK"
    assert row["content"]["event"]["state"]["state"] == "Failed"
    assert row["content"]["event"]["flow_run"]["id"] == str(run.id)
    assert receiver.received == []
    assert await statuses(hooked.database) == ["DELIVERED"]


async def test_a_stop_gives_back_what_is_under_way(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time
) -> None:
    """The next worker need not wait for the lease, and the attempt does not count."""
    await create(hooked, run)
    await write(hooked, run, "Failed")

    class Hangs(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

    reached = asyncio.Event()
    stopping = another_worker(hooked, Hangs(), time, grace_seconds=0)
    stopping.start()
    await asyncio.wait_for(reached.wait(), 10)
    await stopping.stop()
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["attempts"], row["next_attempt"]) == ("WAITING", 0, NOW)
    await worker(hooked).drain()
    assert len(receiver.received) == 1


async def test_a_started_worker_is_woken(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§3.4.7: the commit wakes the worker of its process; nobody waits for the interval."""
    delivery = HookDelivery(
        hooked.database,
        api_url="http://localhost:4200",
        settings=HookSettings(poll_interval_seconds=3600),
        client=HookClient(transport=LeadsTo(receiver)),
    )
    delivery.start()
    context = replace(hooked, hook_delivery=delivery, clock=lambda: NOW)
    await create(context, run)
    await write(context, run, "Failed")
    await wait_until(lambda: receiver.received, seconds=10, what="the event arrives")
    await delivery.stop()
    assert await statuses(hooked.database) == ["DELIVERED"]


class Rung(HookDelivery):
    """Counts how often it was woken."""

    times = 0

    def wake(self) -> None:
        self.times += 1


async def test_a_state_that_no_hook_wants_wakes_nobody(hooked: ActionContext, run: Run) -> None:
    """§7.2: nor does any other change cost the worker a look."""
    delivery = Rung(hooked.database, api_url="http://localhost:4200")
    context = replace(hooked, hook_delivery=delivery)
    await create(context, run, states=["Success"])
    await write(context, run, "Failed")
    assert delivery.times == 0
    await write(context, run, "Success")
    assert delivery.times == 1


async def test_an_idle_worker_asks_one_question(hooked: ActionContext, run: Run) -> None:
    """One indexed look for due deliveries a pass."""
    await create(hooked, run)
    async with recorded(hooked.database):
        await worker(hooked).drain()  # asyncpg looks up array types once per connection
    async with recorded(hooked.database) as recorder:
        await worker(hooked).drain()
    assert len(recorder.sent) == 1


async def test_a_lost_database_loses_no_outcome(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """An outcome that cannot be noted is kept until it can."""
    await create(hooked, run)
    await write(hooked, run, "Failed")
    delivery = worker(hooked)
    await delivery.look()
    await wait_until(lambda: not delivery.sending, seconds=10, what="the event is sent")
    await hooked.database.close()
    with pytest.raises(Exception, match="not open"):
        await delivery.look()
    await hooked.database.open()
    await delivery.drain()
    assert len(receiver.received) == 1
    assert await statuses(hooked.database) == ["DELIVERED"]


class AwayOnce(Database):
    """A database that is away for one of the statements that commit by themselves."""

    def __init__(self, inner: Database) -> None:
        self._inner = inner
        self.until_away = 0

    @asynccontextmanager
    async def autocommit(self, *, repeatable: bool = True) -> AsyncIterator[WriteSession]:
        self.until_away -= 1
        if self.until_away == 0:
            raise Unavailable("away")
        async with self._inner.autocommit(repeatable=repeatable) as session:
            yield session


async def test_what_was_claimed_before_the_database_went_is_sent(
    hooked: ActionContext, run: Run, receiver: Receiver, time: Time
) -> None:
    """A look claims twice when a silent receiver has rested; what the first claim took need not wait for its lease."""
    database = AwayOnce(hooked.database)
    transport = Unplugged(receiver, "dead.example")
    delivery = another_worker(replace(hooked, database=database), transport, time)
    await create(hooked, run, config={"url": "http://dead.example/"}, states=["Failed"])
    await write(hooked, run, "Failed")
    await delivery.drain()
    time.pass_by(seconds=5)
    await create(hooked, run, states=["Success"])
    await write(hooked, run, "Success")
    database.until_away = 2
    with pytest.raises(Unavailable):
        await delivery.look()
    await delivery.drain()
    assert len(receiver.received) == 1
    assert await statuses(hooked.database) == ["WAITING", "DELIVERED"]
