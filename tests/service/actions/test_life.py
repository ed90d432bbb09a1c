"""Any call for a run counts as life of it; fresh heartbeats are left alone (demands.md 8, actions.md §2.7, §10)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from server_core.actions import runs
from server_core.actions.context import ActionContext
from server_core.actions.liveness import end_silent_task_runs, silence_of
from server_core.actions.logs import LogEntry, write_run_logs
from server_core.actions.states import TaskRunStateInput, set_task_run_states
from server_core.config import Settings, TowelSettings
from server_core.db.session import Database
from server_core.states import CONCRETE, RUNNING
from services.towel.loops.lazarus import Lazarus
from services.towel.loops.zombie_killer import ZombieKiller
from tests.support.factories import Flow, insert_task_run_state
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, fetch_one, make_flow, make_flow_run, task_runs_of

NOW = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)
OLD = NOW - timedelta(minutes=9)
Call = Callable[[ActionContext, UUID, UUID, UUID], Awaitable[object]]


async def gets_a_task_run(context: ActionContext, run: UUID, task_run: UUID, task: UUID) -> object:
    return await runs.get_or_create_task_run(context, flow_run_id=run, task_id=task)


async def makes_a_task_run(context: ActionContext, run: UUID, task_run: UUID, task: UUID) -> object:
    return await runs.get_or_create_task_run_info(context, flow_run_id=run, task_id=task, map_index=7)


async def beats(context: ActionContext, run: UUID, task_run: UUID, task: UUID) -> object:
    return await runs.update_task_run_heartbeat(context, task_run_id=task_run)


async def logs(context: ActionContext, run: UUID, task_run: UUID, task: UUID) -> object:
    return await write_run_logs(context, logs=[LogEntry(flow_run_id=run, message="hello")])


async def sets_a_state(context: ActionContext, run: UUID, task_run: UUID, task: UUID) -> object:
    return await set_task_run_states(
        context, states=[TaskRunStateInput(task_run_id=task_run, state={"type": "Success"})]
    )


CALLS: list[Call] = [gets_a_task_run, makes_a_task_run, beats, logs, sets_a_state]
every_call = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)


@pytest.fixture
def context(database: Database) -> ActionContext:
    return ActionContext(database=database, clock=lambda: NOW)


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1)


async def run_with(database: Database, flow: Flow, state: str, heartbeat: datetime | None) -> UUID:
    run = await make_flow_run(database, flow, state=state)
    await execute(database, "UPDATE flow_run SET heartbeat = $2 WHERE id = $1", run, heartbeat)
    return run


async def heartbeat_of(database: Database, run: UUID) -> datetime | None:
    found: datetime | None = (await fetch_one(database, "flow_run", run))["heartbeat"]
    return found


@every_call
@pytest.mark.parametrize("state", ["Running", "Submitted", "Cancelling"])
async def test_a_call_shows_life(
    context: ActionContext, database: Database, flow: Flow, call: Call, state: str
) -> None:
    run = await run_with(database, flow, state, OLD)
    other = await run_with(database, flow, state, OLD)
    [task_run] = await task_runs_of(database, run)
    await call(context, run, task_run, flow.task_ids[0])
    assert await heartbeat_of(database, run) == NOW
    assert await heartbeat_of(database, other) == OLD


@every_call
@pytest.mark.parametrize(
    ("state", "heartbeat"),
    [
        ("Running", None),
        ("Running", NOW - timedelta(seconds=40)),
        ("Running", NOW + timedelta(seconds=5)),
        *((state, OLD) for state in ("Success", "Failed", "Scheduled", "Pending", "Queued", "Cancelled")),
    ],
)
async def test_what_is_fresh_or_not_under_way_stays(
    context: ActionContext, database: Database, flow: Flow, call: Call, state: str, heartbeat: datetime | None
) -> None:
    run = await run_with(database, flow, state, heartbeat)
    [task_run] = await task_runs_of(database, run)
    async with recorded(database) as recorder:
        await call(context, run, task_run, flow.task_ids[0])
    # At its first use of a connection the driver also asks for types.
    assert len([text for text in recorder.sent if "typeinfo" not in text and "jit" not in text]) == 1
    assert await heartbeat_of(database, run) == heartbeat


@pytest.mark.parametrize("state", sorted(CONCRETE))
async def test_every_state_of_a_task_run_shows_life(
    context: ActionContext, database: Database, flow: Flow, state: str
) -> None:
    run = await run_with(database, flow, "Running", OLD)
    [task_run] = await task_runs_of(database, run)
    await set_task_run_states(context, states=[TaskRunStateInput(task_run_id=task_run, state={"type": state})])
    assert await heartbeat_of(database, run) == NOW
    assert (await fetch_one(database, "task_run", task_run))["heartbeat"] == (NOW if state in RUNNING else None)


async def test_a_short_limit_is_noted_more_often(database: Database, flow: Flow) -> None:
    settings = Settings(towel=TowelSettings(heartbeat_timeout_seconds=50))
    context = ActionContext(database=database, settings=settings, clock=lambda: NOW)
    run = await run_with(database, flow, "Running", NOW - timedelta(seconds=6))
    await write_run_logs(context, logs=[LogEntry(flow_run_id=run)])
    assert await heartbeat_of(database, run) == NOW


async def test_a_short_limit_of_a_flow_group(context: ActionContext, database: Database, flow: Flow) -> None:
    """Its runs are no zombies while they log, although the server as a whole would wait for ten minutes."""
    await execute(database, "UPDATE flow_group SET settings = '{\"heartbeat_timeout_seconds\": 60}'")
    run = await run_with(database, flow, "Running", NOW - timedelta(seconds=55))
    [task_run] = await task_runs_of(database, run)
    async with database.transaction() as session:
        await insert_task_run_state(session, task_run_id=task_run, state="Running", version=2)
    await write_run_logs(context, logs=[LogEntry(flow_run_id=run)])
    later = replace(context, clock=lambda: NOW + timedelta(seconds=10))
    assert await ZombieKiller().run_once(later) == {"task_runs": 0, "flow_runs": 0}
    much_later = replace(context, clock=lambda: NOW + timedelta(seconds=61))
    assert await ZombieKiller().run_once(much_later) == {"task_runs": 1, "flow_runs": 0}


async def test_what_the_loops_write_is_no_life(context: ActionContext, database: Database, flow: Flow) -> None:
    """Nor does a fresh heartbeat of the task run help: the flow run's decides (§5.4)."""
    silent = NOW - timedelta(minutes=11)
    stalled = await run_with(database, flow, "Running", silent)
    busy = await run_with(database, flow, "Running", silent)
    [task_run] = await task_runs_of(database, busy)
    async with database.transaction() as session:
        await insert_task_run_state(session, task_run_id=task_run, state="Running", version=2)
        await session.execute("UPDATE task_run SET heartbeat = $1", NOW)
    assert await ZombieKiller().run_once(context) == {"task_runs": 1, "flow_runs": 0}
    assert await heartbeat_of(database, busy) == silent
    assert await Lazarus().run_once(context) == {"flow_runs": 2}
    assert {await heartbeat_of(database, run) for run in (stalled, busy)} == {silent}


async def test_life_after_a_run_was_found_silent_wins(context: ActionContext, database: Database, flow: Flow) -> None:
    run = await run_with(database, flow, "Running", NOW - timedelta(minutes=11))
    [task_run] = await task_runs_of(database, run)
    async with database.transaction() as session:
        await insert_task_run_state(session, task_run_id=task_run, state="Running", version=2)
    await write_run_logs(context, logs=[LogEntry(flow_run_id=run)])
    assert await end_silent_task_runs(context, task_run_ids=[task_run], silence=silence_of(context)) == 0


@every_call
async def test_nobody_waits_for_a_run_that_is_held(
    context: ActionContext, database: Database, flow: Flow, call: Call
) -> None:
    """Another call holds the run, as one that starts a task does: the sign of life is left to the next."""
    run = await run_with(database, flow, "Running", OLD)
    [task_run] = await task_runs_of(database, run)
    async with database.transaction() as session:
        await session.fetch("SELECT FROM flow_run WHERE id = $1 FOR SHARE", run)
        async with asyncio.timeout(10):
            await call(context, run, task_run, flow.task_ids[0])
    assert await heartbeat_of(database, run) == OLD
    await call(context, run, task_run, flow.task_ids[0])
    assert await heartbeat_of(database, run) == NOW


async def test_200_writes_of_one_run_at_once(context: ActionContext, database: Database) -> None:
    """No deadlock, no error, no lost state: those that start a task hold the flow run in share mode meanwhile."""
    flow = await make_flow(database, tasks=50)
    context = replace(context, settings=Settings(towel=TowelSettings(heartbeat_timeout_seconds=0)))
    run = await run_with(database, flow, "Running", OLD)
    task_runs = await task_runs_of(database, run)

    async def work(task_run: UUID) -> None:
        await asyncio.gather(
            *(
                set_task_run_states(context, states=[TaskRunStateInput(task_run_id=each, state={"type": name})])
                for each, name in ((task_run, "Running"), (task_run, "Success"), (task_runs[0], "Running"))
            ),
            write_run_logs(context, logs=[LogEntry(flow_run_id=run, task_run_id=task_run, message="x")]),
        )

    async with asyncio.timeout(60):
        await asyncio.gather(*map(work, task_runs))
    assert await heartbeat_of(database, run) == NOW
    [written] = await fetch_all(database, "SELECT count(*) AS states FROM task_run_state")
    assert written["states"] == 50 + 150
