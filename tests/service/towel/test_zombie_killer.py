"""Running tasks of silent flow runs are retried or failed, silent cancellations ended (actions.md §5.4)."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.liveness import end_silent_cancelling_runs, end_silent_task_runs
from server_core.config import Settings, TowelSettings
from server_core.db.session import Database
from server_core.store.liveness import Silence
from services.towel.loops.zombie_killer import ZombieKiller
from tests.support.factories import Flow, insert_flow_run_state, insert_task_run_state
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, fetch_one, history, make_flow, make_flow_run, task_runs_of

NOW = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)
OLD = NOW - timedelta(minutes=11)
SILENCE = Silence(now=NOW, limit=timedelta(minutes=10))
SILENT_SINCE = NOW - timedelta(minutes=10)
NONE = {"task_runs": 0, "flow_runs": 0}


@pytest.fixture
def context(database: Database) -> ActionContext:
    return ActionContext(database=database, clock=lambda: NOW)


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1)


async def kill(context: ActionContext) -> Mapping[str, int]:
    return await ZombieKiller().run_once(context)


async def running_task(
    database: Database,
    flow: Flow,
    *,
    flow_state: str = "Running",
    heartbeat: datetime | None = OLD,
    states: tuple[str, ...] = ("Running",),
    **task: Any,
) -> UUID:
    """A task run that has gone through some states, of a flow run with a heartbeat; `task` sets columns of the task."""
    for name, value in task.items():
        await execute(database, f"UPDATE task SET {name} = $1", value)
    run = await make_flow_run(database, flow, state=flow_state)
    await execute(database, "UPDATE flow_run SET heartbeat = $2 WHERE id = $1", run, heartbeat)
    [task_run] = await task_runs_of(database, run)
    async with database.transaction() as session:
        for version, state in enumerate(states, 2):
            await insert_task_run_state(session, task_run_id=task_run, state=state, version=version)
        await session.execute("UPDATE task_run SET heartbeat = $1, name = 'the-name'", NOW)
    return task_run


@pytest.mark.parametrize("flow_state", ["Running", "Failed", "Cancelling", "Scheduled"])
async def test_a_task_without_retries_fails(
    context: ActionContext, database: Database, flow: Flow, flow_state: str
) -> None:
    task_run = await running_task(database, flow, flow_state=flow_state)
    assert (await kill(context))["task_runs"] == 1
    row = await fetch_one(database, "task_run", task_run)
    assert row["state"] == "Failed"
    assert str(task_run) in row["state_message"]
    assert "the-name" in row["state_message"]
    log = next(log for log in await fetch_all(database, "SELECT * FROM log") if log["task_run_id"])
    assert (log["name"], log["level"]) == ("prefect-server.ZombieKiller.TaskRun", "ERROR")
    assert (log["task_run_id"], log["flow_run_id"]) == (task_run, row["flow_run_id"])
    assert log["tenant_id"] == flow.tenant_id
    assert log["message"] == row["state_message"]
    if flow_state != "Cancelling":
        assert (await fetch_one(database, "flow_run", row["flow_run_id"]))["state"] == flow_state
    assert await kill(context) == NONE


async def test_the_name_of_the_task_stands_in(context: ActionContext, database: Database, flow: Flow) -> None:
    task_run = await running_task(database, flow)
    await execute(database, "UPDATE task_run SET name = NULL")
    await kill(context)
    assert "task-0" in (await fetch_one(database, "task_run", task_run))["state_message"]


@pytest.mark.parametrize(
    "delay",
    [None, timedelta(0), timedelta(minutes=1), timedelta(days=2, hours=3, seconds=1.5)],
)
async def test_a_task_with_retries_is_retried(
    context: ActionContext, database: Database, flow: Flow, delay: timedelta | None
) -> None:
    """§10: other task states and recent heartbeats too; a second expiry fails."""
    task_run = await running_task(database, flow, max_retries=1, retry_delay=delay)
    assert await kill(context) == {"task_runs": 1, "flow_runs": 0}
    row = await fetch_one(database, "task_run", task_run)
    assert (row["state"], row["state_start_time"]) == ("Retrying", NOW + (delay or timedelta(0)))
    assert row["serialized_state"]["run_count"] == 1
    [log] = await fetch_all(database, "SELECT * FROM log")
    assert (log["level"], log["message"]) == ("ERROR", row["state_message"])
    assert await kill(context) == NONE

    async with database.transaction() as session:
        await insert_task_run_state(session, task_run_id=task_run, state="Running", version=row["version"] + 1)
    assert await kill(context) == {"task_runs": 1, "flow_runs": 0}
    assert (await fetch_one(database, "task_run", task_run))["state"] == "Failed"


async def test_retries_of_the_client_count(context: ActionContext, database: Database, flow: Flow) -> None:
    states = ("Running", "Failed", "Retrying", "Running")
    task_run = await running_task(database, flow, states=states, max_retries=2)
    await kill(context)
    row = await fetch_one(database, "task_run", task_run)
    assert (row["state"], row["serialized_state"]["run_count"]) == ("Retrying", 2)


async def test_no_retry_under_a_flow_run_that_does_not_run(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    task_run = await running_task(database, flow, flow_state="Failed", max_retries=3)
    await kill(context)
    assert (await fetch_one(database, "task_run", task_run))["state"] == "Failed"


@pytest.mark.parametrize("state", ["Scheduled", "Retrying", "Cancelling", "Success", "Pending", "Mapped", "Submitted"])
async def test_other_task_states_are_left_alone(
    context: ActionContext, database: Database, flow: Flow, state: str
) -> None:
    """§10: other task states and recent heartbeats too; a second expiry fails."""
    await running_task(database, flow, states=(state,))
    assert await kill(context) == NONE


@pytest.mark.parametrize("heartbeat", [None, NOW, SILENT_SINCE + timedelta(seconds=1)])
async def test_signs_of_life(
    context: ActionContext, database: Database, flow: Flow, heartbeat: datetime | None
) -> None:
    """§10: other task states and recent heartbeats too; a second expiry fails."""
    await running_task(database, flow, heartbeat=heartbeat)
    await running_task(database, flow, heartbeat=heartbeat, flow_state="Cancelling", states=("Success",))
    assert await kill(context) == NONE


@pytest.mark.parametrize(("settings", "ended"), [({"heartbeat_enabled": False}, 0), ({}, 1), ({"other": 1}, 1)])
async def test_groups_may_switch_it_off(
    context: ActionContext, database: Database, settings: dict[str, Any], ended: int
) -> None:
    flow = await make_flow(database, tasks=1, group={"settings": settings})
    await running_task(database, flow)
    await running_task(database, flow, flow_state="Cancelling", states=("Success",))
    assert await kill(context) == {"task_runs": ended, "flow_runs": ended}


async def test_a_silent_cancellation_ends(context: ActionContext, database: Database, flow: Flow) -> None:
    task_run = await running_task(database, flow, flow_state="Cancelling")
    assert await kill(context) == {"task_runs": 1, "flow_runs": 1}
    run = (await fetch_one(database, "task_run", task_run))["flow_run_id"]
    row = await fetch_one(database, "flow_run", run)
    assert row["state"] == "Failed"
    [log] = await fetch_all(database, "SELECT * FROM log WHERE task_run_id IS NULL")
    assert (log["name"], log["level"]) == ("prefect-server.ZombieKiller.FlowRun", "ERROR")
    assert (log["message"], log["flow_run_id"]) == (row["state_message"], run)
    assert log["tenant_id"] == flow.tenant_id
    assert await kill(context) == NONE


@pytest.mark.parametrize(
    ("own", "group", "cancelled"),
    [
        ("Cancelled", {}, True),
        ("Failed", {"silent_cancelling_state": "Cancelled"}, True),
        ("Cancelled", {"silent_cancelling_state": "Failed"}, False),
        ("Failed", {"silent_cancelling_state": "Success"}, False),
        ("Cancelled", {"silent_cancelling_state": ["Failed"]}, True),
    ],
)
async def test_a_silent_cancellation_ends_as_configured(
    database: Database, own: str, group: dict[str, Any], cancelled: bool
) -> None:
    """demands.md 22: kill a client during Cancelling; its run ends Cancelled, and its unfinished task runs with it."""
    settings = Settings(towel=TowelSettings(silent_cancelling_state=own))
    context = ActionContext(database=database, settings=settings, clock=lambda: NOW)
    flow = await make_flow(database, tasks=3, group={"settings": group})
    run = await make_flow_run(database, flow, state="Cancelling")
    await execute(database, "UPDATE flow_run SET heartbeat = $2 WHERE id = $1", run, OLD)
    running, done, waiting = await task_runs_of(database, run)
    async with database.transaction() as session:
        await insert_task_run_state(session, task_run_id=running, state="Running", version=2)
        await insert_task_run_state(session, task_run_id=done, state="Success", version=2)
    assert await kill(context) == {"task_runs": 0 if cancelled else 1, "flow_runs": 1}
    row = await fetch_one(database, "flow_run", run)
    states = [(await fetch_one(database, "task_run", each))["state"] for each in (running, done, waiting)]
    assert [row["state"], *states] == (
        ["Cancelled", "Cancelled", "Success", "Cancelled"] if cancelled else ["Failed", "Failed", "Success", "Pending"]
    )
    log = next(log for log in await fetch_all(database, "SELECT * FROM log") if log["task_run_id"] is None)
    assert (log["name"], log["message"]) == ("prefect-server.ZombieKiller.FlowRun", row["state_message"])
    for part in (str(run), OLD.isoformat(timespec="seconds"), "600 seconds"):
        assert part in row["state_message"]
    assert await kill(context) == NONE


@pytest.mark.parametrize("seconds", [60, 1200])
@pytest.mark.parametrize("by", ["server", "group"])
async def test_limits_of_server_and_group(database: Database, by: str, seconds: int) -> None:
    limit: dict[str, Any] = {"heartbeat_timeout_seconds": seconds}
    settings = Settings(towel=TowelSettings(**limit)) if by == "server" else Settings()
    context = ActionContext(database=database, settings=settings, clock=lambda: NOW)
    flow = await make_flow(database, tasks=1, group={"settings": limit if by == "group" else {}})
    for offset, ended in ((1, 0), (0, 1)):
        heartbeat = NOW - timedelta(seconds=seconds - offset)
        task_run = await running_task(database, flow, heartbeat=heartbeat)
        await running_task(database, flow, heartbeat=heartbeat, flow_state="Cancelling", states=("Success",))
        assert await kill(context) == {"task_runs": ended, "flow_runs": ended}
    assert f"longer than {seconds} seconds" in (await fetch_one(database, "task_run", task_run))["state_message"]


@pytest.mark.parametrize("value", ["1", True, None, -1, 10**400], ids=lambda value: repr(value)[:12])
async def test_what_a_group_cannot_mean_is_not_said(context: ActionContext, database: Database, value: Any) -> None:
    keys = ("heartbeat_timeout_seconds", "submitted_timeout_seconds", "silent_cancelling_state")
    flow = await make_flow(database, tasks=1, group={"settings": dict.fromkeys(keys, value)})
    await running_task(database, flow)
    await running_task(database, flow, flow_state="Cancelling", states=("Success",))
    assert await kill(context) == {"task_runs": 1, "flow_runs": 1}


async def test_a_time_too_short_to_be_one_is_not_said(context: ActionContext, database: Database, flow: Flow) -> None:
    """Only SQL can write it; a number that becomes 0 would end every pass, of all groups."""
    await running_task(database, flow)
    tiny = f'{{"heartbeat_timeout_seconds": 0.{"0" * 400}1, "submitted_timeout_seconds": 0.{"0" * 400}1}}'
    await execute(database, f"UPDATE flow_group SET settings = '{tiny}'")
    assert (await kill(context))["task_runs"] == 1


async def test_a_transaction_left_open_keeps_no_other_run(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    """Of task runs, and of flow runs that are Cancelling: what it holds is ended by a pass after it."""
    held = [await running_task(database, flow) for _ in range(2)]
    other = await running_task(database, flow)
    cancelling = [
        await running_task(database, flow, flow_state="Cancelling", states=("Success",), heartbeat=OLD)
        for _ in range(2)
    ]
    async with database.transaction() as session, asyncio.timeout(20):
        for task_run in (held[0], cancelling[0]):
            run = (await fetch_one(database, "task_run", task_run))["flow_run_id"]
            await session.execute("UPDATE flow_run SET name = name WHERE id = $1", run)
        await session.execute("UPDATE task_run SET name = name WHERE id = $1", held[1])
        assert await kill(context) == {"task_runs": 1, "flow_runs": 1}
    assert (await fetch_one(database, "task_run", other))["state"] == "Failed"
    assert await kill(context) == {"task_runs": 2, "flow_runs": 1}


async def test_what_happens_after_a_task_run_was_found_wins(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    alive = await running_task(database, flow)
    await execute(database, "UPDATE flow_run SET heartbeat = now()")
    done = await running_task(database, flow, states=("Running", "Success"))
    ended = await end_silent_task_runs(context, task_run_ids=[alive, done], silence=SILENCE)
    assert ended == 0
    assert [state["state"] for state in await history(database, "task_run", done)][-1] == "Success"


async def test_what_happens_after_a_cancellation_was_found_wins(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    task_run = await running_task(database, flow, flow_state="Cancelling")
    run = (await fetch_one(database, "task_run", task_run))["flow_run_id"]
    async with database.transaction() as session:
        await insert_flow_run_state(session, flow_run_id=run, state="Cancelled", version=2)
    assert await end_silent_cancelling_runs(context, flow_run_ids=[run], silence=SILENCE) == 0
    assert (await fetch_one(database, "flow_run", run))["state"] == "Cancelled"


async def test_three_killers_at_once(context: ActionContext, database: Database, flow: Flow) -> None:
    for _ in range(20):
        await running_task(database, flow, max_retries=1)
    counts = await asyncio.gather(*(kill(context) for _ in range(3)))
    assert sum(count["task_runs"] for count in counts) == 20
    assert len(await fetch_all(database, "SELECT 1 FROM task_run_state WHERE state = 'Retrying'")) == 20
    assert len(await fetch_all(database, "SELECT 1 FROM log")) == 20


async def test_statements_do_not_grow_with_the_runs(context: ActionContext, database: Database, flow: Flow) -> None:
    counts = []
    async with recorded(database) as recorder:
        for runs in (2, 20):
            for _ in range(runs):
                await running_task(database, flow)
            await recorder.told()
            recorder.clear()
            assert (await kill(context))["task_runs"] == runs
            await recorder.told()
            # At its first use of a connection the driver also asks for types.
            counts.append(len([text for text in recorder.statements if "typeinfo" not in text and "jit" not in text]))
    assert counts[0] == counts[1] == 6
