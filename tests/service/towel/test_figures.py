"""The figures that `/metrics` shows of the database (demand 33)."""

from datetime import UTC, datetime, timedelta

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.routing import Route

from server_core.actions.context import ActionContext
from server_core.actions.figures import Figures, take_figures
from server_core.config import DatabaseSettings
from server_core.db.session import Database
from server_core.metrics import metrics_endpoint, process_registry
from services.towel.figures import FiguresCollector
from tests.support import factories

NOW = datetime(2021, 1, 1, tzinfo=UTC)


async def populate(database: Database) -> None:
    """Store three due runs, one of them not late yet, three finished ones and two agents."""
    async with database.transaction() as session:
        tenant = await factories.make_tenant(session)
        flow = await factories.make_flow(session, tenant=tenant)
        for seconds in (10, 100, 3_600):
            run_id = await factories.make_flow_run(session, flow=flow)
            await session.execute(
                "UPDATE flow_run SET state = 'Scheduled', state_start_time = $2 WHERE id = $1",
                run_id,
                NOW - timedelta(seconds=seconds),
            )
        for _ in range(3):
            run_id = await factories.make_flow_run(session, flow=flow)
            await session.execute("UPDATE flow_run SET state = 'Success' WHERE id = $1", run_id)
        await factories.insert_agent(session, tenant_id=tenant.id, last_queried=NOW - timedelta(seconds=5))
        await factories.insert_agent(session, tenant_id=tenant.id, last_queried=None)


async def test_what_is_counted_and_what_is_estimated(database_url: str) -> None:
    async with Database(database_url, DatabaseSettings(pool_size=2)) as database:
        context = ActionContext(database=database, clock=lambda: NOW)
        await populate(database)
        async with database.autocommit() as session:
            await session.execute("DELETE FROM pg_statistic WHERE starelid = 'flow_run'::regclass")  # of other tests
        before = await take_figures(context)
        assert before == Figures(
            flow_runs={"Scheduled": 3},
            task_runs=before.task_runs,
            late_flow_runs=2,
            oldest_late_seconds=3_600.0,
            active_agents=1,
            silent_agents=1,
            waiting_hook_events=0,
            hook_overdue_seconds=0.0,
        )
        async with database.autocommit() as session:
            await session.execute("ANALYZE flow_run")
        assert (await take_figures(context)).flow_runs == {"Scheduled": 3, "Success": 3}


async def test_whoever_asks_is_shown_new_figures(database_url: str) -> None:
    async with Database(database_url, DatabaseSettings(pool_size=2)) as database:
        registry = process_registry()
        context = ActionContext(database=database, clock=lambda: NOW)
        collector = FiguresCollector(context, registry, fresh_seconds=0, patience_seconds=20)
        app = Starlette(routes=[Route("/metrics", metrics_endpoint(registry))])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://towel") as client:
            assert "prefect_server_" not in (await client.get("/metrics")).text
            await collector.start()
            try:
                assert "prefect_server_late_flow_runs 0.0" in (await client.get("/metrics")).text
                await populate(database)
                shown = (await client.get("/metrics")).text
            finally:
                await collector.stop()
    assert "prefect_server_late_flow_runs 2.0" in shown
    assert 'prefect_server_flow_runs{state="Scheduled"} 3.0' in shown
    assert 'prefect_server_agents{status="silent"} 1.0' in shown


async def test_a_database_that_takes_long_keeps_nobody_waiting(database_url: str) -> None:
    async with Database(database_url, DatabaseSettings(pool_size=2)) as database:
        registry = process_registry()
        collector = FiguresCollector(ActionContext(database=database), registry, patience_seconds=0)
        async with database.transaction() as session:
            await session.execute("LOCK TABLE flow_run IN ACCESS EXCLUSIVE MODE")
            await collector.start()
            await registry.before[0]()
            assert b"prefect_server_late" not in generate_latest(registry)
            await collector.stop()


async def test_without_a_database_nothing_is_shown(database_url: str) -> None:
    registry = CollectorRegistry()
    collector = FiguresCollector(ActionContext(database=Database(database_url)), registry)
    await collector.take()
    assert b"prefect_server_" not in generate_latest(registry)
