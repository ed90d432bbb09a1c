"""Through a real PgBouncer in transaction mode, and in session mode (demands.md 23): nothing is left to other clients.

Unless it has a section of the contract to name, a test is about what a pooler must not change.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from server_core.actions.context import ActionContext
from server_core.config import DatabaseSettings, Settings
from server_core.db import migrate
from server_core.db.route import look_up
from server_core.db.session import Database
from server_core.errors import Unavailable
from server_core.wire import GraphQLRequest, GraphQLService
from services.data.app import DataService, create_app, create_service
from services.graphql.app import ActionService
from services.towel.app import Towel
from services.towel.lease import Leases
from tests.service.database.catalog import describe
from tests.support.cluster import connected
from tests.support.factories import insert_project, make_flow, make_flow_run, make_tenant
from tests.support.live_client import talking
from tests.support.pooler import pooling
from tests.support.servers import listening
from tests.support.waiting import wait_until

PROJECTS = "subscription { project(order_by: {name: asc}) { name } }"
SIZE = 4
"""Connections to Postgres; fewer than clients, so that they share them."""


@pytest.fixture
def pooled_url(database_url: str) -> Iterator[str]:
    """DSN of the test's database through a pooler in transaction mode."""
    with pooling(database_url, size=SIZE) as url:
        yield url


@pytest.fixture
async def pooled(pooled_url: str) -> AsyncIterator[Database]:
    async with Database(pooled_url, DatabaseSettings(pool_size=8)) as opened:
        yield opened


def settings_of(**options: Any) -> Settings:
    return replace(Settings(), database=DatabaseSettings(**options))


async def left_behind(pooled_url: str) -> list[Mapping[str, Any]]:
    """Return what the connections to Postgres are like, as the next clients would find them."""

    async def one() -> Mapping[str, Any]:
        connection = await asyncpg.connect(pooled_url, statement_cache_size=0)
        try:
            transaction = connection.transaction()
            await transaction.start()
            row = await connection.fetchrow("""
                SELECT pg_backend_pid() AS pid, current_setting('search_path') AS search_path,
                    current_setting('default_transaction_read_only') AS read_only,
                    current_setting('statement_timeout') AS statement_timeout,
                    (SELECT count(*) FROM pg_listening_channels()) AS channels,
                    (SELECT count(*) FROM pg_prepared_statements WHERE name <> '') AS statements,
                    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks
            """)
            assert row is not None
            await together.wait()
            await transaction.rollback()
            return dict(row)
        finally:
            await connection.close()

    together = asyncio.Barrier(SIZE)
    found = await asyncio.gather(*(one() for _ in range(SIZE)))
    assert len({row["pid"] for row in found}) == SIZE
    return [{name: value for name, value in row.items() if name != "pid"} for row in found]


async def test_a_pooler_is_told_from_postgres(database_url: str, pooled_url: str) -> None:
    assert (await look_up(pooled_url)).pooled
    assert not (await look_up(database_url)).pooled
    with pooling(database_url, mode="session") as session_url:
        assert (await look_up(session_url)).pooled


async def test_upgrades_through_a_pooler(empty_database_url: str, database_url: str) -> None:
    """schema.md §4"""
    with pooling(empty_database_url, size=8) as url:
        await asyncio.gather(migrate.upgrade(url), migrate.upgrade(url))
        async with connected(empty_database_url) as connection, connected(database_url) as usual:
            assert await describe(connection) == await describe(usual)
        await migrate.downgrade(url)
        assert (await migrate.current_revisions(url)).additions is None


async def test_states_and_queries_at_once(database_url: str, pooled_url: str) -> None:
    """actions.md §2.6, data-api.md §2: three replicas of both services, and nothing is lost or left behind."""
    clean = await left_behind(pooled_url)
    settings = settings_of(pool_size=4)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(pooled_url, settings.database))
        async with database.transaction() as session:
            flow = await make_flow(session, tasks=2)
            runs = [await make_flow_run(session, flow=flow, state="Running", version=1) for _ in range(12)]
        actions = [ActionService(settings, pooled_url) for _ in range(3)]
        queries = [create_service(settings, pooled_url) for _ in range(3)]
        services: list[GraphQLService] = [*actions, *queries]
        for service in services:
            await service.start()
            stack.push_async_callback(service.stop)
        move = "mutation($input: set_flow_run_states_input!) { set_flow_run_states(input: $input) { states { status }}}"
        ask = "query($id: uuid!) { flow_run_by_pk(id: $id) { id version task_runs_aggregate { aggregate { count } } } }"

        async def work(number: int) -> None:
            run_id = str(runs[number % len(runs)])
            state = {"type": "Running", "message": f"pass {number}"}
            variables = {"input": {"states": [{"flow_run_id": run_id, "state": state}]}}
            moved = await actions[number % 3].execute(GraphQLRequest(query=move, variables=variables))
            assert b"SUCCESS" in moved.body, moved.body
            asked = await queries[number % 3].execute(GraphQLRequest(query=ask, variables={"id": run_id}))
            found = json.loads(asked.body)["data"]["flow_run_by_pk"]
            assert found["id"] == run_id
            assert found["task_runs_aggregate"] == {"aggregate": {"count": 2}}

        await asyncio.gather(*(work(number) for number in range(60)))
        async with database.read() as reading:
            versions = await reading.fetch("SELECT version FROM flow_run")
            states = await reading.fetch(
                "SELECT array_agg(version ORDER BY version) AS versions FROM flow_run_state GROUP BY flow_run_id"
            )
        assert {row["version"] for row in versions} == {6}
        assert [row["versions"] for row in states] == [[1, 2, 3, 4, 5, 6]] * 12
    assert await left_behind(pooled_url) == clean


async def test_queries_are_read_only_and_limited(pooled_url: str) -> None:
    """What connections are set to, each transaction is set to."""
    settings = replace(Settings(), data=replace(Settings().data, statement_timeout_seconds=7))
    service = create_service(settings, pooled_url)
    await service.start()
    try:
        rows = await service.postgres.run(
            "SELECT current_setting('transaction_read_only'), current_setting('statement_timeout'),"
            " current_setting('jit'), current_setting('search_path'), current_setting('timezone')"
        )
        assert list(rows[0].values()) == ["on", "7s", "off", "public", "UTC"]
    finally:
        await service.stop()


async def test_of_three_towels_one_has_the_lease(pooled_url: str) -> None:
    """actions.md §5.1: never two, whoever has gone."""
    async with AsyncExitStack() as stack:
        leases = []
        for _ in range(3):
            database = await stack.enter_async_context(Database(pooled_url, DatabaseSettings(pool_size=1)))
            leases.append(Leases(database))
            stack.push_async_callback(leases[-1].release)
        for _turn in range(3):
            held = await asyncio.gather(*(one.hold("x") for one in leases for _ in range(5)))
            assert sum(held) == 5
            winner = leases[held.index(True) // 5]
            await winner.release()
            leases = [one for one in leases if one is not winner]


async def test_three_towels_never_work_at_once(pooled_url: str, database_url: str) -> None:
    """actions.md §5.1"""
    probe = _Probe()
    towels = [Towel(Settings(), pooled_url, loops=[probe], interval_seconds=0.02) for _ in range(3)]
    async with AsyncExitStack() as stack:
        for towel in towels:
            await towel.start()
            stack.push_async_callback(towel.stop)
        await wait_until(lambda: probe.passes >= 20, seconds=30, what="twenty passes")
        leader = next(towel for towel in towels if towel.runner._leases._held)
        await leader.stop()
        before = probe.passes
        await wait_until(lambda: probe.passes >= before + 5, seconds=30, what="another towel to take over")
    assert probe.most == 1


class _Probe:
    """A loop that tells how many of it were at work at a time."""

    name = "Probe"

    def __init__(self) -> None:
        self.inside = self.most = self.passes = 0

    def interval_seconds(self, context: ActionContext) -> float:
        return 1000

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        async with context.database.read() as session:
            await session.fetch("SELECT 1 FROM flow_run WHERE id = $1", None)
        self.inside -= 1
        self.passes += 1
        return {}


@pytest.mark.parametrize("direct", [False, True])
async def test_live_queries(database: Database, database_url: str, pooled_url: str, direct: bool) -> None:
    """data-api.md: asked at an interval through a pooler; notified where Postgres itself can be reached."""
    clean = await left_behind(pooled_url)
    settings = settings_of(direct_url=database_url if direct else None)
    pause = 3600.0 if direct else 0.05
    settings = replace(settings, live=replace(settings.live, poll_interval_seconds=pause))
    service = create_service(settings, pooled_url)
    assert isinstance(service, DataService)
    async with listening(create_app(service)) as url, talking(url) as client:
        await client.begin("1", PROJECTS)
        assert await client.data() == {"project": []}
        if direct:
            await wait_until(lambda: bool(service._hub._covered), seconds=20, what="notifications")
        async with database.transaction() as session:
            tenant = await make_tenant(session)
            await insert_project(session, tenant_id=tenant.id, name="new")
        shown: dict[str, Any] = {"project": []}
        while {"name": "new"} not in shown["project"]:
            shown = await client.data()
    assert await left_behind(pooled_url) == clean


async def test_prepared_statements_that_the_pooler_does_not_know(
    pooled_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line names the setting. (PgBouncer knows of them from 1.21 on, if it is told to.)"""
    settings = DatabaseSettings(statement_cache_size=100, pool_size=8)
    async with Database(pooled_url, settings) as one, Database(pooled_url, settings) as other:

        async def ask(database: Database) -> None:
            async with database.transaction() as session:
                await session.fetch("SELECT $1::int", 1)

        async def ask_often() -> None:
            for _ in range(5):
                await asyncio.gather(*(ask(database) for database in (one, other) for _ in range(8)))

        with caplog.at_level(logging.ERROR), pytest.raises(Unavailable):
            await ask_often()
    assert "leave database.statement_cache_size empty" in caplog.text


async def test_a_role_that_sets_things_otherwise(database_url: str) -> None:
    """A pooler takes no search_path; so every transaction begins with it."""
    name = urlsplit(database_url).path[1:]
    async with connected(database_url) as connection:
        for setting in ("search_path TO pg_catalog", "default_transaction_read_only TO on"):
            await connection.execute(f'ALTER DATABASE "{name}" SET {setting}')
    try:
        with pooling(database_url) as url:
            async with Database(url) as database:
                async with database.autocommit() as session:
                    await make_tenant(session)
                async with database.read() as session:
                    assert await session.fetch_value("SELECT count(*) FROM tenant") == 1
    finally:
        async with connected(database_url) as connection:
            await connection.execute("SET default_transaction_read_only TO off")
            await connection.execute(f'ALTER DATABASE "{name}" RESET ALL')


async def test_in_session_mode(database_url: str) -> None:
    with pooling(database_url, mode="session", size=10) as url:
        async with Database(url) as database, database.transaction() as session:
            await make_flow(session, tasks=1)
        service = create_service(Settings(), url)
        await service.start()
        answer = await service.execute(GraphQLRequest(query="{ flow { tasks { id } } }", variables={}))
        await service.stop()
        assert len(json.loads(answer.body)["data"]["flow"][0]["tasks"]) == 1
