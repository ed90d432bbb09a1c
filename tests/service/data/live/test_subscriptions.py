"""Live queries end to end: uvicorn, a WebSocket client, a Postgres that others write to."""

import json

import pytest

from server_core.db.session import Database
from server_core.wire import GraphQLRequest
from tests.service.data.live.conftest import Served, Serving
from tests.support.cluster import connected
from tests.support.live_client import BOTH, talking
from tests.support.recorder import recorded
from tests.support.settings import data_settings
from tests.support.waiting import wait_until

PROJECTS = "subscription { project(order_by: {name: asc}) { name } }"
COUNT = "subscription { project_aggregate { aggregate { count } } }"


async def add(database: Database, *names: str, description: str = "") -> None:
    """Add projects, each in a transaction of its own."""
    for name in names:
        async with database.transaction() as session:
            await session.execute("INSERT INTO project (name, description) VALUES ($1, $2)", name, description)


def projects(*names: str) -> object:
    """Return the answer to PROJECTS."""
    return {"project": [{"name": name} for name in names]}


@pytest.mark.parametrize("protocol", BOTH)
async def test_the_result_comes_at_once_and_after_each_change(
    served: Served, database: Database, protocol: str
) -> None:
    async with talking(served.url, protocol) as client:
        await client.begin("1", PROJECTS)
        assert await client.data() == projects()
        await add(database, "a")
        assert await client.data() == projects("a")
        await add(database, "b")
        assert await client.data() == projects("a", "b")
        for change, left in (
            ("UPDATE project SET name = 'c' WHERE name = 'a'", projects("b", "c")),
            ("DELETE FROM project WHERE name = 'b'", projects("c")),
            ("TRUNCATE project CASCADE", projects()),
        ):
            async with database.transaction() as session:
                await session.execute(change)
            assert await client.data() == left


@pytest.mark.parametrize("protocol", BOTH)
async def test_what_is_ended_is_told_no_more(served: Served, database: Database, protocol: str) -> None:
    async with talking(served.url, protocol) as client:
        await client.begin("1", PROJECTS)
        assert await client.data() == projects()
        await client.end("1")
        await client.begin("2", "{ project { name } }")
        assert await client.data("2") == projects()
        assert await client.message() == {"type": "complete", "id": "2"}
        assert served.service._hub.tables() == frozenset()
        await add(database, "unseen")
        # An id that is free again may be used again.
        await client.begin("1", "{ project { name } }")
        assert await client.data() == projects("unseen")


async def test_who_leaves_is_forgotten(served: Served) -> None:
    async with talking(served.url) as client:
        await client.begin("1", PROJECTS)
        await client.data()
    await wait_until(lambda: not served.service._hub.tables(), seconds=20, what="the end of the live query")


async def test_other_tables_do_not_matter(served: Served, database: Database) -> None:
    async with talking(served.url) as client:
        await client.begin("1", PROJECTS)
        await client.data()
        await served.covered("project")
        async with recorded(served.service.postgres.pool) as recorder:
            async with database.transaction() as session:
                await session.execute("INSERT INTO cloud_hook (type) VALUES ('WEB')")
            await add(database, "a")
            assert await client.data() == projects("a")
        assert len(recorder.statements) == 1


async def test_tables_far_from_the_root_do(served: Served, database: Database) -> None:
    query = """subscription {
        project(where: {tenant: {name: {_neq: "x"}}}, order_by: {flows_aggregate: {count: desc}}) {
            name tenant { name }
        }
    }"""
    await add(database, "p")
    async with database.transaction() as session:
        await session.execute("INSERT INTO tenant (name, slug) VALUES ('t', 't')")
        await session.execute("UPDATE project SET tenant_id = (SELECT id FROM tenant)")
    async with talking(served.url) as client:
        await client.begin("1", query)
        assert await client.data() == {"project": [{"name": "p", "tenant": {"name": "t"}}]}
        await served.covered("project", "tenant", "flow")
        async with database.transaction() as session:
            await session.execute("UPDATE tenant SET name = 'u'")
        assert await client.data() == {"project": [{"name": "p", "tenant": {"name": "u"}}]}


async def test_a_result_with_the_same_bytes_is_not_sent_again(served: Served, database: Database) -> None:
    await add(database, "a")
    async with talking(served.url) as client:
        await client.begin("1", PROJECTS)
        await client.data()
        for text in ("one", "two"):
            async with database.transaction() as session:
                await session.execute("UPDATE project SET description = $1", text)
        await add(database, "b")
        assert await client.data() == projects("a", "b")


async def test_fifty_who_ask_the_same_share_one_question(served: Served, database: Database) -> None:
    async with talking(served.url) as first, talking(served.url, BOTH[1]) as second:
        await first.begin("0", PROJECTS)
        await first.data("0")
        await served.covered("project")
        async with recorded(served.service.postgres.pool) as recorder:
            for client in (first, second):
                for number in range(1, 26):
                    await client.begin(str(number), PROJECTS)
                    assert await client.data(str(number)) == projects()
            assert recorder.statements == []
            await add(database, "a")
            for client, numbers in ((first, range(26)), (second, range(1, 26))):
                for number in numbers:
                    assert await client.data(str(number)) == projects("a")
            assert len(recorder.statements) == 1


async def test_other_parameters_are_another_question(served: Served, database: Database) -> None:
    query = "subscription ($n: String) { project(where: {name: {_eq: $n}}) { name } }"
    await add(database, "a", "b")
    async with talking(served.url) as client:
        for name in ("a", "b"):
            await client.begin(name, query, {"n": name})
            assert await client.data(name) == projects(name)


async def test_many_changes_are_one_question(serving: Serving, database: Database) -> None:
    async with serving(min_interval_seconds=0.3) as served, talking(served.url) as client:
        await client.begin("1", COUNT)
        await client.data()
        await served.covered("project")
        async with recorded(served.service.postgres.pool) as recorder:
            await add(database, *map(str, range(8)))
            count = 0
            while count < 8:
                count = (await client.data())["project_aggregate"]["aggregate"]["count"]
        assert len(recorder.statements) <= 4


async def test_an_error_ends_only_its_subscription(serving: Serving, database: Database, database_url: str) -> None:
    async with serving(data_settings(statement_timeout_seconds=0.3)) as served, talking(served.url) as client:
        await client.begin("good", "subscription { tenant { name } }")
        await client.data("good")
        await client.begin("bad", "subscription { project { name tenant { name } } }")
        await client.data("bad")
        await served.covered("project", "tenant")
        async with connected(database_url) as blocker, blocker.transaction():
            await blocker.execute("LOCK TABLE project IN ACCESS EXCLUSIVE MODE")
            async with database.transaction() as session:
                await session.execute("INSERT INTO tenant (name, slug) VALUES ('t', 't')")
            assert await client.data("good") == {"tenant": [{"name": "t"}]}
            error = await client.error("bad")
        assert error["extensions"] == {"path": "$", "code": "timeout"}
        async with database.transaction() as session:
            await session.execute("UPDATE tenant SET name = 'u'")
        assert await client.data("good") == {"tenant": [{"name": "u"}]}


@pytest.mark.parametrize("protocol", BOTH)
async def test_requests_that_are_wrong_are_refused_in_the_documented_shape(served: Served, protocol: str) -> None:
    async with talking(served.url, protocol) as client:
        for query, code, path in (
            ("subscription { nope }", "validation-failed", "$.selectionSet.nope"),
            ("subscription { flow { id } agent { id } }", "validation-failed", "$.selectionSet.agent"),
            ('subscription { flow_by_pk(id: "x") { id } }', "data-exception", "$"),
            ("{ flow_aggregate { aggregate { max { id } } } }", "unexpected", "$"),
            ("mutation { delete_edge(where: {}) { affected_rows } }", "validation-failed", "$"),
            ("{", "validation-failed", "$.query"),
        ):
            await client.begin("1", query)
            error = await client.error()
            assert error["extensions"]["code"] == code
            assert error["extensions"]["path"] == path
        await client.begin("1", "subscription { edge { id } }")
        assert await client.data() == {"edge": []}


async def test_mutations_go_over_the_socket_too(serving: Serving) -> None:
    async with serving(data_settings(mutations=True)) as served, talking(served.url) as client:
        await client.begin("live", PROJECTS)
        assert await client.data("live") == projects()
        await client.begin("do", 'mutation { insert_project_one(object: {name: "a"}) { name } }')
        answers = [await client.message() for _ in range(3)]
        assert {"type": "complete", "id": "do"} in answers
        payloads = {(each["id"], json.dumps(each["payload"]["data"])) for each in answers if "payload" in each}
        assert payloads == {
            ("do", '{"insert_project_one": {"name": "a"}}'),
            ("live", '{"project": [{"name": "a"}]}'),
        }


async def test_over_http_a_subscription_is_refused(served: Served) -> None:
    async with talking(served.url):
        answer = await served.service.execute(GraphQLRequest(query=PROJECTS))
    assert answer.status == 400
    assert json.loads(answer.body) == {
        "errors": [
            {
                "extensions": {"path": "$", "code": "unexpected-payload"},
                "message": "subscriptions are not supported over HTTP, use a WebSocket instead",
            }
        ]
    }
