"""Every change is told: whenever a connection breaks, a transaction began, a trigger is missing or a table is busy."""

import pytest

from server_core.db.session import Database
from services.data.live import listener
from tests.service.data.live.conftest import Served, Serving
from tests.service.data.live.test_subscriptions import COUNT, PROJECTS, add, projects
from tests.support.cluster import connected, terminate
from tests.support.factories import make_flow
from tests.support.live_client import talking
from tests.support.waiting import wait_until

LISTENING = "application_name = 'prefect-server data live'"


async def cut(database_url: str, which: str) -> int:
    """End connections to the database and return how many."""
    async with connected(database_url) as connection:
        return await terminate(
            connection,
            "SELECT pid FROM pg_stat_activity"
            f" WHERE datname = current_database() AND pid <> pg_backend_pid() AND {which}",
        )


async def test_a_lost_connection_loses_no_change(served: Served, database: Database, database_url: str) -> None:
    names: list[str] = []
    async with talking(served.url) as client:
        await client.begin("1", PROJECTS)
        await client.data()
        for number in range(3):
            await served.covered("project")
            names.append(str(number))
            assert await cut(database_url, LISTENING) == 1
            await add(database, names[-1])
            assert await client.data() == projects(*names)


async def test_a_lost_database_loses_no_change(served: Served, database_url: str) -> None:
    async with talking(served.url) as client:
        await client.begin("1", PROJECTS)
        await client.data()
        await served.covered("project")
        assert await cut(database_url, "application_name LIKE 'prefect-server data%'") >= 2
        async with connected(database_url) as connection:
            await connection.execute("INSERT INTO project (name) VALUES ('a')")
        assert await client.data() == projects("a")


@pytest.mark.parametrize("listening", [False, True])
async def test_a_transaction_that_began_before_anybody_watched_is_told(
    served: Served, database: Database, listening: bool
) -> None:
    async with talking(served.url) as client:
        if listening:
            await client.begin("0", "subscription { tenant { id } }")
            await client.data("0")
            await served.covered("tenant")
        async with database.transaction() as session:
            await session.execute("INSERT INTO project (name) VALUES ('early')")
            await client.begin("1", PROJECTS)
            assert await client.data() == projects()
            # Armed, but not covered as long as this transaction lasts.
            await wait_until(lambda: all_armed(database, 1 + listening), seconds=20, what="the lock of the listener")
            assert len(served.service._hub._covered) == listening
        assert await client.data() == projects("early")


async def armed(database: Database) -> int:
    """Return how many tables are armed in this database."""
    async with database.read() as session:
        count: int = await session.fetch_value(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
            " WHERE datname = current_database() AND locktype = 'advisory' AND classid = $1::bigint::oid",
            listener.LOCK_CLASS,
        )
    return count


async def test_only_tables_that_are_read_are_armed(served: Served, database: Database) -> None:
    async with talking(served.url) as client:
        await client.begin("1", PROJECTS)
        await client.begin("2", COUNT)
        await served.covered("project")
        assert await armed(database) == 1
        await client.begin("3", "subscription { flow { project { name } } }")
        await served.covered("project", "flow")
        assert await armed(database) == 2
        await client.end("3")
        await wait_until(lambda: all_armed(database, 1), seconds=20, what="flow to be disarmed")


async def all_armed(database: Database, count: int) -> bool:
    """Say whether so many tables are armed."""
    return await armed(database) == count


async def test_a_table_without_the_trigger_is_polled(serving: Serving, database: Database, database_url: str) -> None:
    async with connected(database_url) as connection:
        await connection.execute("ALTER TABLE project DISABLE TRIGGER notify_live_queries")
    try:
        async with serving(poll_interval_seconds=0.05) as served, talking(served.url) as client:
            await client.begin("1", PROJECTS)
            await client.data()
            await client.begin("2", "subscription { tenant { name } }")
            await client.data("2")
            await served.covered("tenant")
            await add(database, "a")
            assert await client.data() == projects("a")
    finally:
        async with connected(database_url) as connection:
            await connection.execute("ALTER TABLE project ENABLE TRIGGER notify_live_queries")


async def test_a_function_is_polled(serving: Serving, database: Database) -> None:
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=2)
    query = "subscription ($a: _uuid) { utility_downstream_tasks(args: {start_task_ids: $a}) { depth } }"
    async with serving(poll_interval_seconds=0.05) as served, talking(served.url) as client:
        await client.begin("1", query, {"a": f"{{{flow.task_ids[0]}}}"})
        assert await client.data() == {"utility_downstream_tasks": [{"depth": 0}]}
        async with database.transaction() as session:
            await session.execute(
                "INSERT INTO edge (flow_id, upstream_task_id, downstream_task_id) VALUES ($1, $2, $3)",
                flow.id,
                *flow.task_ids,
            )
        assert await client.data() == {"utility_downstream_tasks": [{"depth": 0}, {"depth": 1}]}


async def test_a_table_that_is_written_to_all_the_time_is_polled_for_a_while(
    serving: Serving, database: Database
) -> None:
    async with serving(poll_interval_seconds=0.05) as served, talking(served.url) as client:
        await client.begin("1", COUNT)
        await client.data()
        await served.covered("project")
        written = 0
        while served.service._hub._covered:
            await add(database, *(str(written + number) for number in range(5)))
            written += 5
        await wait_until(lambda: all_armed(database, 0), seconds=20, what="project to be disarmed")
        await add(database, "last")
        count = 0
        while count < written + 1:
            count = (await client.data())["project_aggregate"]["aggregate"]["count"]


async def test_what_others_send_on_the_channel_does_no_harm(served: Served, database: Database) -> None:
    async with talking(served.url) as client:
        await client.begin("1", PROJECTS)
        await client.data()
        await served.covered("project")
        for payload in ("", "{", "7", "[1]", '["public"]', '["public", "nope"]', '["a", 1]'):
            async with database.transaction() as session:
                await session.execute("SELECT pg_notify($1, $2)", listener.CHANNEL, payload)
        await add(database, "a")
        assert await client.data() == projects("a")


async def test_two_servers_on_one_database_both_hear(serving: Serving, database: Database) -> None:
    async with serving() as one, serving() as other, talking(one.url) as first, talking(other.url) as second:
        for served, client in ((one, first), (other, second)):
            await client.begin("1", PROJECTS)
            await client.data()
            await served.covered("project")
        await add(database, "a")
        for client in (first, second):
            assert await client.data() == projects("a")
        await first.end("1")
        await wait_until(lambda: not one.service._hub.tables(), seconds=20, what="the end of the first live query")
        await add(database, "b")
        assert await second.data() == projects("a", "b")
