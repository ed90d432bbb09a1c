"""Flow runs that are silent with no task at work are rescheduled a few times, then failed (actions.md §5.3)."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.liveness import revive_flow_runs
from server_core.config import Settings, TowelSettings
from server_core.db.session import Database
from server_core.store.liveness import Silence
from services.towel.loops.lazarus import Lazarus
from tests.support.factories import Flow, insert_task_run_state
from tests.support.rows import execute, fetch_all, fetch_one, history, make_flow, make_flow_run, task_runs_of

NOW = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)
OLD = NOW - timedelta(minutes=11)
SILENCE = Silence(now=NOW, limit=timedelta(minutes=10))
SILENT_SINCE = NOW - timedelta(minutes=10)


@pytest.fixture
def context(database: Database) -> ActionContext:
    return ActionContext(database=database, clock=lambda: NOW)


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=2)


async def run_in(
    database: Database, flow: Flow, state: str, *, heartbeat: datetime | None = OLD, **columns: Any
) -> UUID:
    run = await make_flow_run(database, flow, state=state, **columns)
    await execute(database, "UPDATE flow_run SET heartbeat = $2 WHERE id = $1", run, heartbeat)
    return run


async def set_task_run(database: Database, run: UUID, state: str) -> None:
    [first, *_] = await task_runs_of(database, run)
    async with database.transaction() as session:
        await insert_task_run_state(session, task_run_id=first, state=state, version=2)


async def lazarus(context: ActionContext) -> Mapping[str, int]:
    return await Lazarus().run_once(context)


@pytest.mark.parametrize("state", ["Running", "Submitted"])
async def test_a_stalled_run_is_rescheduled(context: ActionContext, database: Database, flow: Flow, state: str) -> None:
    run = await run_in(database, flow, state)
    assert await lazarus(context) == {"flow_runs": 1}
    row = await fetch_one(database, "flow_run", run)
    assert (row["state"], row["version"], row["state_start_time"], row["times_resurrected"]) == ("Scheduled", 2, NOW, 1)
    [log] = await fetch_all(database, "SELECT * FROM log")
    assert (log["name"], log["level"], log["flow_run_id"]) == ("prefect-server.Lazarus.FlowRun", "INFO", run)
    assert log["tenant_id"] == flow.tenant_id
    assert log["message"] == row["state_message"]
    assert "attempt 1 of 3" in log["message"]
    assert await lazarus(context) == {"flow_runs": 0}


@pytest.mark.parametrize("state", ["Failed", "Success", "Pending", "Scheduled", "Cancelling", "Queued"])
async def test_other_states_are_left_alone(context: ActionContext, database: Database, flow: Flow, state: str) -> None:
    """§10: other states and recent heartbeats are left alone."""
    await run_in(database, flow, state)
    assert await lazarus(context) == {"flow_runs": 0}


@pytest.mark.parametrize("heartbeat", [None, NOW, SILENT_SINCE + timedelta(seconds=1)])
async def test_signs_of_life(
    context: ActionContext, database: Database, flow: Flow, heartbeat: datetime | None
) -> None:
    """§10: other states and recent heartbeats are left alone."""
    await run_in(database, flow, "Running", heartbeat=heartbeat)
    assert await lazarus(context) == {"flow_runs": 0}


@pytest.mark.parametrize(
    ("state", "revived"),
    [
        *((busy, 0) for busy in ("Scheduled", "Paused", "Resume", "Retrying", "Running", "Cancelling")),
        *((idle, 1) for idle in ("Pending", "Queued", "Submitted", "Success", "Failed")),
    ],
)
async def test_a_task_at_work(context: ActionContext, database: Database, flow: Flow, state: str, revived: int) -> None:
    run = await run_in(database, flow, "Running")
    await set_task_run(database, run, state)
    assert await lazarus(context) == {"flow_runs": revived}


@pytest.mark.parametrize(
    ("settings", "revived"),
    [
        ({"heartbeat_enabled": False}, 0),
        ({"lazarus_enabled": False}, 0),
        ({"lazarus_enabled": True, "heartbeat_enabled": False}, 0),
        ({"lazarus_enabled": True, "heartbeat_enabled": True}, 1),
        ({}, 1),
    ],
)
async def test_groups_may_switch_it_off(
    context: ActionContext, database: Database, settings: dict[str, bool], revived: int
) -> None:
    flow = await make_flow(database, group={"settings": settings})
    await run_in(database, flow, "Running")
    assert await lazarus(context) == {"flow_runs": revived}


async def test_three_attempts_then_failed(context: ActionContext, database: Database, flow: Flow) -> None:
    run = await run_in(database, flow, "Running", times_resurrected=2)
    assert await lazarus(context) == {"flow_runs": 1}
    await execute(database, "UPDATE flow_run SET state = 'Submitted', heartbeat = $1", OLD)
    assert await lazarus(context) == {"flow_runs": 0}
    row = await fetch_one(database, "flow_run", run)
    assert (row["state"], row["times_resurrected"]) == ("Failed", 3)
    logs = await fetch_all(database, "SELECT * FROM log ORDER BY level")
    assert [(log["level"], log["name"]) for log in logs] == [
        ("ERROR", "prefect-server.Lazarus.FlowRun"),
        ("INFO", "prefect-server.Lazarus.FlowRun"),
    ]
    assert logs[0]["message"] == row["state_message"]
    assert str(run) in row["state_message"]


@pytest.mark.parametrize(
    ("limit", "group"), [(0, {}), (3, {"resurrection_attempt_limit": 0}), (0, {"resurrection_attempt_limit": "many"})]
)
async def test_no_attempts_at_all(database: Database, limit: int, group: dict[str, Any]) -> None:
    """demands.md 15: with 0 attempts the run fails at once, with a clear message, and is never Scheduled."""
    settings = Settings(towel=TowelSettings(resurrection_attempt_limit=limit))
    run = await run_in(database, await make_flow(database, group={"settings": group}), "Submitted")
    assert await lazarus(ActionContext(database=database, settings=settings, clock=lambda: NOW)) == {"flow_runs": 0}
    states = await history(database, "flow_run", run)
    assert [state["state"] for state in states] == ["Submitted", "Failed"]
    for part in (str(run), "never rescheduled", OLD.isoformat(timespec="seconds"), "600 seconds"):
        assert part in states[-1]["message"]


@pytest.mark.parametrize(
    ("own", "group", "running", "submitted"),
    [
        ({}, {}, 600, 600),
        ({"heartbeat_timeout_seconds": 1200}, {}, 1200, 1200),
        ({"submitted_timeout_seconds": 1200}, {}, 600, 1200),
        ({}, {"heartbeat_timeout_seconds": 1200}, 1200, 1200),
        ({}, {"submitted_timeout_seconds": 1200}, 600, 1200),
        ({}, {"heartbeat_timeout_seconds": 60.5, "submitted_timeout_seconds": 1200}, 60.5, 1200),
        ({"submitted_timeout_seconds": 300}, {"heartbeat_timeout_seconds": 1200}, 1200, 300),
        ({"submitted_timeout_seconds": 300}, {"submitted_timeout_seconds": 1200}, 600, 1200),
    ],
)
async def test_limits_of_server_and_group(
    database: Database, own: dict[str, Any], group: dict[str, Any], running: float, submitted: float
) -> None:
    """A pod that takes 15 minutes to start is submitted once when the limit is 20 (demands.md 15)."""
    flow = await make_flow(database, group={"settings": group})
    context = ActionContext(database=database, settings=Settings(towel=TowelSettings(**own)), clock=lambda: NOW)
    for state, limit in (("Running", running), ("Submitted", submitted)):
        alive = await run_in(database, flow, state, heartbeat=NOW - timedelta(seconds=limit - 1))
        silent = await run_in(database, flow, state, heartbeat=NOW - timedelta(seconds=limit))
        assert await lazarus(context) == {"flow_runs": 1}
        assert (await fetch_one(database, "flow_run", alive))["state"] == state
        assert f"longer than {limit:g} seconds" in (await fetch_one(database, "flow_run", silent))["state_message"]


@pytest.mark.parametrize(
    "value", ["1", "abc", True, None, [], {}, -1, 0, 1_000_000_001, 10**400, 1e300], ids=lambda value: repr(value)[:12]
)
@pytest.mark.parametrize(
    "key", ["heartbeat_timeout_seconds", "submitted_timeout_seconds", "resurrection_attempt_limit"]
)
async def test_what_a_group_cannot_mean_is_not_said(
    context: ActionContext, database: Database, key: str, value: Any
) -> None:
    flow = await make_flow(database, group={"settings": {key: value}})
    other = await make_flow(database, group={"settings": ["no", "object"]})
    await run_in(database, flow, "Submitted", times_resurrected=2)
    await run_in(database, other, "Running")
    expected = 1 if key == "resurrection_attempt_limit" and value == 0 else 2
    assert await lazarus(context) == {"flow_runs": expected}


async def test_silence_during_an_outage_does_not_count(context: ActionContext, database: Database, flow: Flow) -> None:
    """demands.md 8: each run has its whole limit to show life since everything is there again."""
    patient = await make_flow(database, group={"settings": {"heartbeat_timeout_seconds": 1800}})
    hour_ago = NOW - timedelta(hours=1)
    await run_in(database, flow, "Running", heartbeat=hour_ago)
    await run_in(database, patient, "Running", heartbeat=hour_ago)
    for minutes, revived in ((9.9, 0), (10, 1), (29.9, 0), (30, 1)):
        since = NOW - timedelta(minutes=minutes)
        assert await Lazarus().run_since(context, counts_from=since) == {"flow_runs": revived}


@pytest.mark.parametrize("change", ["SET heartbeat = now()", "SET state = 'Success'"])
async def test_what_happens_after_the_run_was_found_wins(
    context: ActionContext, database: Database, flow: Flow, change: str
) -> None:
    run = await run_in(database, flow, "Running")
    await execute(database, f"UPDATE flow_run {change}")
    assert await revive_flow_runs(context, flow_run_ids=[run], silence=SILENCE) == 0
    assert len(await history(database, "flow_run", run)) == 1


async def test_the_oldest_change_comes_first(context: ActionContext, database: Database, flow: Flow) -> None:
    runs = [await run_in(database, flow, "Running") for _ in range(4)]
    settings = Settings(towel=TowelSettings(lazarus_batch_size=3))
    assert await lazarus(replace(context, settings=settings)) == {"flow_runs": 3}
    assert (await fetch_one(database, "flow_run", runs[3]))["state"] == "Running"


async def test_many_at_once_are_moved_once(context: ActionContext, database: Database, flow: Flow) -> None:
    for _ in range(30):
        await run_in(database, flow, "Running")
    counts = await asyncio.gather(*(lazarus(replace(context)) for _ in range(3)))
    assert sum(count["flow_runs"] for count in counts) == 30
    rows = await fetch_all(database, "SELECT DISTINCT version, times_resurrected FROM flow_run")
    assert rows == [{"version": 2, "times_resurrected": 1}]


async def test_a_transaction_left_open_keeps_no_other_run(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    """What it holds is revived by a pass after it."""
    held, other = [await run_in(database, flow, "Running") for _ in range(2)]
    async with database.transaction() as session, asyncio.timeout(20):
        await session.execute("UPDATE flow_run SET name = name WHERE id = $1", held)
        assert await lazarus(context) == {"flow_runs": 1}
    assert (await fetch_one(database, "flow_run", other))["state"] == "Scheduled"
    assert await lazarus(context) == {"flow_runs": 1}
