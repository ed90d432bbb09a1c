"""The fixtures and helpers every other test stands on."""

import pytest

from server_core.db.session import Database
from tests.support.factories import insert_tenant, make_flow, make_flow_run
from tests.support.recorder import recorded


@pytest.mark.parametrize("attempt", [1, 2])
async def test_every_test_finds_an_empty_database(database: Database, attempt: int) -> None:
    async with database.transaction() as session:
        assert await session.fetch_value("SELECT count(*) FROM tenant") == 0
        await insert_tenant(session)


async def test_an_empty_database_has_no_tables(empty_database_url: str) -> None:
    async with Database(empty_database_url) as database, database.read() as session:
        assert await session.fetch("SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []


async def test_factories_make_a_flow_that_runs(database: Database) -> None:
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=3, edges=[(0, 1), (1, 2)])
        run_id = await make_flow_run(session, flow=flow, state="Scheduled")
        assert await session.fetch_value("SELECT state FROM flow_run WHERE id = $1", run_id) == "Scheduled"
        assert await session.fetch_value("SELECT count(*) FROM task_run WHERE flow_run_id = $1", run_id) == 3


async def test_the_recorder_sees_every_statement(database: Database) -> None:
    async with recorded(database) as recorder, database.transaction() as session:
        await session.fetch("SELECT 1")
        await session.execute("SELECT 2")
    assert recorder.statements == ["SELECT 1", "SELECT 2"]
    assert [text.split(" ")[0] for text in recorder.sent] == ["BEGIN", "SELECT", "SELECT", "COMMIT"]
    async with database.read() as reader:
        await reader.fetch("SELECT 3")
    assert len(recorder.sent) == 4
