"""Mutations in bad company: locks, cancelled clients, dead connections, deadlocks: all or nothing, and only once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from server_core.cli.assemble import lifespan, until_it_answers, whole_server
from tests.service.data.writing import Writing, writing_on
from tests.support.cluster import Cluster, connected
from tests.support.settings import data_settings, server_settings
from tests.support.waiting import wait_until

TWO = 'mutation { insert_tenant(objects: [{name: "a", slug: "a"}, {name: "b", slug: "b"}]) { affected_rows } }'
INSERT = 'mutation { insert_tenant_one(object: {name: "c", slug: "c"}) { slug } }'
BOTH = """mutation {
    a: update_tenant(where: {slug: {_eq: "a"}}, _set: {name: "mine"}) { affected_rows }
    b: update_tenant(where: {slug: {_eq: "b"}}, _set: {name: "mine"}) { affected_rows }
}"""


@pytest.fixture
async def private(cluster: Cluster, pytestconfig: pytest.Config) -> AsyncIterator[Writing]:
    """The data API with mutations over a database of its own, with tenants a and b and one connection to write."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_mutations_{worker}"
    dsn = await cluster.create(name, template=cluster.template)
    async with writing_on(dsn, pool_size=1, statement_timeout_seconds=5) as started:
        await started.do(TWO)
        yield started
    await cluster.drop(name)


@pytest.fixture
async def other(private: Writing) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Somebody else's connection."""
    async with connected(private.dsn) as connection:
        yield connection


async def waits(writing: Writing) -> bool:
    """Say whether a mutation waits for a lock."""
    query = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await writing.sql(query))


async def names(writing: Writing) -> list[str]:
    """Return the names of all tenants."""
    return [name for (name,) in await writing.sql("SELECT name FROM tenant ORDER BY slug")]


async def test_a_mutation_that_waits_too_long_is_stopped_and_undone(
    private: Writing, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with other.transaction():
        await other.execute("UPDATE tenant SET name = name WHERE slug = 'b'")
        async with writing_on(private.dsn, statement_timeout_seconds=0.2) as impatient:
            code, path, message = await impatient.refused(BOTH)
    assert (code, path) == ("timeout", "$")
    assert message == "Operation timed out"
    assert await names(private) == ["a", "b"]


async def test_a_cancelled_mutation_is_undone_and_its_connection_goes_on(
    private: Writing, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with other.transaction():
        await other.execute("UPDATE tenant SET name = name WHERE slug = 'b'")
        running = asyncio.create_task(private.do(BOTH))
        await wait_until(lambda: waits(private), seconds=5, what="the mutation waits for the row")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert await names(private) == ["a", "b"]
    assert await private.do(INSERT) == {"insert_tenant_one": {"slug": "c"}}
    assert private.pool.get_size() == 1


async def test_a_deadlock_is_tried_again(private: Writing, other: "asyncpg.Connection[asyncpg.Record]") -> None:
    await other.execute("SET deadlock_timeout TO '60s'")
    transaction = other.transaction()
    await transaction.start()
    await other.execute("UPDATE tenant SET name = 'theirs' WHERE slug = 'b'")
    running = asyncio.create_task(private.do(BOTH))
    await wait_until(lambda: waits(private), seconds=5, what="the mutation waits for the row")
    await other.execute("UPDATE tenant SET name = 'theirs' WHERE slug = 'a'")
    await transaction.commit()
    assert await running == {"a": {"affected_rows": 1}, "b": {"affected_rows": 1}}
    assert await names(private) == ["mine", "mine"]


async def test_a_connection_that_died_idle_is_replaced(private: Writing) -> None:
    connection = await private.pool.borrow()
    pid = connection.get_server_pid()
    private.pool.give_back(connection)
    await private.end(pid)
    assert await private.do(INSERT) == {"insert_tenant_one": {"slug": "c"}}
    assert await names(private) == ["a", "b", "c"]


async def test_a_connection_that_dies_at_work_is_an_error_and_nothing_is_done(
    private: Writing, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    connection = await private.pool.borrow()
    pid = connection.get_server_pid()
    private.pool.give_back(connection)
    async with other.transaction():
        await other.execute("UPDATE tenant SET name = name WHERE slug = 'b'")
        running = asyncio.create_task(private.refused(BOTH))
        await wait_until(lambda: waits(private), seconds=5, what="the mutation waits for the row")
        await private.end(pid)
        assert await running == ("postgres-error", "$", "connection error")
    assert await names(private) == ["a", "b"]
    assert await private.do(INSERT) == {"insert_tenant_one": {"slug": "c"}}


async def test_equal_upserts_at_once_make_one_row(database_url: str) -> None:
    query = """mutation ($n: String!) { insert_tenant_one(
        object: {name: $n, slug: "one", projects: {data: {name: $n}}}
        on_conflict: {constraint: tenant_slug_key, update_columns: [name]}
    ) { slug } }"""
    async with writing_on(database_url) as writing:
        answers = await asyncio.gather(*[writing.do(query, n=str(number)) for number in range(30)])
        assert answers == [{"insert_tenant_one": {"slug": "one"}}] * 30
        assert await writing.sql("SELECT count(*), count(DISTINCT tenant_id) FROM project") == [(30, 1)]


async def test_the_gateway_offers_them_next_to_the_actions(database_url: str) -> None:
    """98 + 60 fields are united; of the 12 that both have the action wins (data-api.md §3.2)."""
    app, _ = whole_server(server_settings(data=data_settings(mutations=True)), database_url)
    transport = httpx.ASGITransport(app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        await until_it_answers(app)

        async def ask(query: str) -> Any:
            return (await client.post("/", json={"query": query})).json()

        shown = await ask("{ __schema { mutationType { fields { name args { name } } } } }")
        fields = {each["name"]: each["args"] for each in shown["data"]["__schema"]["mutationType"]["fields"]}
        assert len(fields) == 146
        assert [each["name"] for each in fields["delete_flow"]] == ["input"]
        assert [each["name"] for each in fields["delete_flow_by_pk"]] == ["id"]

        answer = await ask("""mutation {
            a: insert_tenant_one(object: {name: "t", slug: "t"}) { slug projects { name } }
            b: delete_project(input: {project_id: "00000000-0000-4000-8000-000000000001"}) { success }
            c: update_tenant(where: {slug: {_eq: "t"}}, _set: {name: "u"}) { affected_rows returning { name } }
        }""")
        assert answer["data"]["a"] == {"slug": "t", "projects": []}
        assert answer["data"]["c"] == {"affected_rows": 1, "returning": [{"name": "u"}]}

        answer = await ask('mutation { x: insert_tenant_one(object: {name: "t", slug: "t"}) { slug } }')
        [error] = answer["errors"]
        assert error["message"].startswith("Uniqueness violation.")
        assert error["path"] == ["x"]
        assert answer["data"] == {"x": None}
