"""A towel that is killed at any moment leaves nothing half done, and the next one goes on (demands.md 38).

To the database, a process that is killed is connections that end without a word; so a hundred kills take no processes.
"""

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from server_core.actions.context import ActionContext
from server_core.clock import utc_now
from server_core.config import DatabaseSettings, Settings, TowelSettings
from server_core.db.session import Database
from services.towel.grace import Grace
from services.towel.lease import Leases
from services.towel.loops.lazarus import Lazarus
from services.towel.loops.scheduler import Scheduler
from services.towel.loops.zombie_killer import ZombieKiller
from services.towel.runner import Runner
from tests.support.factories import insert_task_run_state, make_flow, make_flow_run, make_tenant, task_run_of
from tests.support.recorder import Recorder, all_of
from tests.support.rows import execute, fetch_all
from tests.support.waiting import wait_until

KILLS = 100
STATEMENTS = 50
"""A few more than the passes send in all."""
SETTINGS = Settings(
    towel=TowelSettings(heartbeat_timeout_seconds=0, max_scheduled_runs_per_flow=3),
    database=DatabaseSettings(pool_size=3),
)
EVERY_HOUR = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000}]}
LOOPS = (Scheduler(), ZombieKiller(), Lazarus())


async def add_work(database: Database) -> None:
    """Add a flow to plan, a run to revive, and a task run to end."""
    async with database.transaction() as session:
        tenant = await make_tenant(session)
        await make_flow(session, tenant=tenant, schedule=EVERY_HOUR, is_schedule_active=True)
        flow = await make_flow(session, tenant=tenant, tasks=1)
        stalled = await make_flow_run(session, flow=flow, state="Running")
        zombie = await make_flow_run(session, flow=flow, state="Failed")
        task_run = await task_run_of(session, flow_run_id=zombie, task_id=flow.task_ids[0])
        await insert_task_run_state(session, task_run_id=task_run, state="Running", version=2)
        await session.execute("UPDATE flow_run SET heartbeat = now() WHERE id = ANY($1)", [stalled, zombie])


async def towel(stack: AsyncExitStack, dsn: str) -> tuple[Runner, Database, Database]:
    """Start a towel whose loops are ticked by hand; return its two pools of connections too."""
    database = await stack.enter_async_context(Database(dsn, SETTINGS.database))
    lease_database = await stack.enter_async_context(Database(dsn, DatabaseSettings(pool_size=1)))
    leases = Leases(lease_database)
    stack.push_async_callback(leases.release)
    context = ActionContext(database=database, settings=SETTINGS, clock=utc_now)
    runner = Runner(LOOPS, context, leases=leases, grace=Grace(timedelta(minutes=10)))
    return runner, database, lease_database


async def test_a_hundred_kills(database: Database, database_url: str) -> None:
    seed = random.randrange(10**6)  # noqa: S311
    print("seed", seed)
    source = random.Random(seed)  # noqa: S311
    completed = 0
    for _ in range(KILLS):
        await add_work(database)
        async with AsyncExitStack() as stack:
            runner, *pools = await towel(stack, database_url)
            recorder = Recorder()
            assert pools[0]._pool is not None
            async with all_of(pools[0]._pool) as connections:
                for connection in connections:
                    connection.add_query_logger(recorder)
            recorder.clear()
            passes = [asyncio.ensure_future(runner.tick(loop)) for loop in LOOPS]
            statements = source.randrange(STATEMENTS)
            while len(recorder.sent) < statements and not all(each.done() for each in passes):  # noqa: ASYNC110
                await asyncio.sleep(0)
            for pool in pools:
                assert pool._pool is not None
                pool._pool.terminate()
            completed += sum(each is not None for each in await asyncio.gather(*passes))
    print("completed", completed)
    assert 0 < completed < KILLS * len(LOOPS)
    async with AsyncExitStack() as stack:
        heir, *_ = await towel(stack, database_url)
        for loop in LOOPS:
            await wait_until(partial(heir.tick, loop), seconds=20, what=f"a pass of {loop.name}")

    # Every run has its states, one by one, and is in the last of them.
    for kind in ("flow_run", "task_run"):
        torn = f"""
            SELECT run.id FROM {kind} AS run LEFT JOIN {kind}_state AS state ON state.{kind}_id = run.id
            GROUP BY run.id
            HAVING run.version <> count(state.id) OR run.version <> max(state.version) OR run.state IS NULL
                OR run.state <> (array_agg(state.state ORDER BY state.version DESC))[1]
        """
        assert await fetch_all(database, torn) == []
    planned = "SELECT flow_id, count(*) AS runs, count(DISTINCT scheduled_start_time) AS times FROM flow_run"
    counts = await fetch_all(database, f"{planned} WHERE auto_scheduled GROUP BY flow_id")
    assert len(counts) == KILLS
    assert {(row["runs"], row["times"]) for row in counts} == {(3, 3)}
    assert await execute(database, "SELECT FROM flow_run WHERE state = 'Scheduled' AND NOT auto_scheduled") == KILLS
    assert await fetch_all(database, "SELECT DISTINCT times_resurrected AS n FROM flow_run WHERE version = 2") == [
        {"n": 1}
    ]
    logs = await fetch_all(
        database, "SELECT name, count(*), count(DISTINCT flow_run_id) AS runs FROM log GROUP BY name"
    )
    assert sorted(map(tuple, (row.values() for row in logs))) == [
        ("prefect-server.Lazarus.FlowRun", KILLS, KILLS),
        ("prefect-server.ZombieKiller.TaskRun", KILLS, KILLS),
    ]
