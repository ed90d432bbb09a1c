"""What is old goes, class by class; what is unfinished or among the newest stays (demands.md rows 5 and 19)."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.erasure import Budget, TimeBudget
from server_core.actions.removal import remove_pending
from server_core.actions.retention import Progress, apply_retention
from server_core.config import RetentionSettings, Settings
from server_core.db.session import Database
from server_core.states import CONCRETE, FINISHED
from services.towel.loops.retention import Retention
from tests.support import factories
from tests.support.budgets import Statements
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, insert, make_flow, make_flow_run

NOW = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1)


def keeping(database: Database, **settings: Any) -> ActionContext:
    """A context whose retention is set."""
    return ActionContext(
        database=database, settings=Settings(retention=RetentionSettings(**settings)), clock=lambda: NOW
    )


async def apply(
    context: ActionContext, *, budget: Callable[[int], Budget] = lambda _: Statements(), **options: Any
) -> dict[str, int]:
    return await apply_retention(context, budget=budget, rest=0, **options)


async def set_age(database: Database, table: str, row_id: UUID, days: float, **columns: datetime) -> None:
    """Make a row as old as if it had been written then; the trigger that says otherwise is off meanwhile."""
    async with database.transaction() as session:
        await session.execute("SET LOCAL session_replication_role = replica")
        await session.execute(
            f"UPDATE {table} SET updated = $2, created = $2 WHERE id = $1", row_id, NOW - timedelta(days=days)
        )
        for name, value in columns.items():
            await session.execute(f'UPDATE {table} SET "{name}" = $2 WHERE id = $1', row_id, value)


async def run_of(
    database: Database, flow: Flow, *, days: float, state: str = "Success", start: float | None = None
) -> UUID:
    """A run that came to its state some days ago; it had been scheduled for `start` days ago."""
    run = await make_flow_run(database, flow, state=state)
    scheduled = NOW - timedelta(days=days if start is None else start)
    await set_age(database, "flow_run", run, days, scheduled_start_time=scheduled)
    return run


async def log_of(
    database: Database, run: UUID | None, *, days: float, level: str | None = "INFO", task_run_id: UUID | None = None
) -> UUID:
    async with database.transaction() as session:
        log = await factories.insert_log(session, flow_run_id=run, level=level, task_run_id=task_run_id)
    await set_age(database, "log", log, days, timestamp=NOW - timedelta(days=days))
    return log


async def ids(database: Database, table: str) -> set[UUID]:
    return {row["id"] for row in await fetch_all(database, f"SELECT id FROM {table}")}


async def test_logs_by_age_and_level(database: Database, flow: Flow) -> None:
    """Those of unfinished runs stay, however they are tied to them."""
    done = await run_of(database, flow, days=50)
    active = await run_of(database, flow, days=50, state="Running")
    new = await make_flow_run(database, flow)
    [of_active] = [
        row["id"] for row in await fetch_all(database, "SELECT id FROM task_run WHERE flow_run_id = $1", active)
    ]
    [of_done] = [row["id"] for row in await fetch_all(database, "SELECT id FROM task_run WHERE flow_run_id = $1", done)]
    gone = {
        await log_of(database, done, days=31),
        await log_of(database, done, days=31, level=None),
        await log_of(database, done, days=4, level="DEBUG"),
        await log_of(database, None, days=31),
        await log_of(database, None, days=31, task_run_id=of_done),
    }
    kept = {
        await log_of(database, done, days=29),
        await log_of(database, done, days=2, level="DEBUG"),
        await log_of(database, done, days=500, level="CRITICAL"),
        await log_of(database, active, days=500),
        await log_of(database, active, days=500, level="DEBUG"),
        await log_of(database, None, days=500, task_run_id=of_active),
        await log_of(database, new, days=500),
    }
    await execute(database, "UPDATE log SET level = 'INFO' WHERE level = 'CRITICAL'")  # written anew: not old any more
    context = keeping(database, logs_days=30, debug_logs_days=3)
    assert await apply(context, dry_run=True) == {"logs": 5}
    assert await ids(database, "log") == gone | kept
    assert await apply(context) == {"logs": 5}
    assert await ids(database, "log") == kept
    assert await apply(context) == {"logs": 0}
    assert len(await ids(database, "flow_run")) == 3


async def test_levels_that_are_kept_for_ever(database: Database, flow: Flow) -> None:
    done = await run_of(database, flow, days=50)
    kept = await log_of(database, done, days=400, level="INFO")
    await log_of(database, done, days=400, level="ERROR")
    assert await apply(keeping(database, logs_days=30, info_logs_days=0)) == {"logs": 1}
    assert await ids(database, "log") == {kept}


async def test_flow_runs_by_age_and_state(database: Database, flow: Flow) -> None:
    """With all below them; no unfinished one, whatever its age; nothing by which state history tells."""
    old = {state: await run_of(database, flow, days=100, state=state) for state in sorted(CONCRETE)}
    failed = await run_of(database, flow, days=20, state="Failed")
    success = await run_of(database, flow, days=20, state="Success")
    fresh = await run_of(database, flow, days=1, state="Success")
    await log_of(database, success, days=20)
    stateless = await make_flow_run(database, flow)
    await set_age(database, "flow_run", stateless, 100)
    context = keeping(
        database, flow_runs_days=90, success_flow_runs_days=10, cancelled_flow_runs_days=0, kept_flow_runs=0
    )
    expected = {failed, fresh, stateless} | {run for state, run in old.items() if state not in FINISHED - {"Cancelled"}}
    everything = await ids(database, "flow_run")
    assert await apply(context, dry_run=True) == {"flow_runs": len(everything - expected)}
    assert await ids(database, "flow_run") == everything
    assert await apply(context) == {"flow_runs": len(everything - expected)}
    assert await ids(database, "flow_run") == expected
    assert len(await ids(database, "task_run")) == len(expected)
    assert await ids(database, "log") == set()
    assert await fetch_all(database, "SELECT 1 FROM pending_removal") == []
    assert await ids(database, "flow") == {flow.id}


async def test_the_newest_runs_of_each_flow_stay(database: Database, flow: Flow) -> None:
    """The newest finished ones: by when they were to start, not counting those that are planned or at work."""
    other = await make_flow(database)
    runs = [await run_of(database, flow, days=40 - number, start=100 - number) for number in range(6)]
    # What started first changed last.
    await set_age(database, "flow_run", runs[0], 31)
    await run_of(database, flow, days=0, state="Scheduled", start=-10)
    await run_of(database, flow, days=0, state="Running", start=0)
    others = [await run_of(database, other, days=40), await run_of(database, other, days=41)]
    before = await ids(database, "flow_run")
    assert await apply(keeping(database, flow_runs_days=30, kept_flow_runs=2)) == {"flow_runs": 4}
    assert before - await ids(database, "flow_run") == set(runs[:4])
    assert await apply(keeping(database, flow_runs_days=30, kept_flow_runs=2)) == {"flow_runs": 0}
    assert await apply(keeping(database, flow_runs_days=30, kept_flow_runs=1)) == {"flow_runs": 2}
    assert before - await ids(database, "flow_run") == {*runs[:5], others[1]}


async def test_artifacts_and_messages(database: Database, flow: Flow) -> None:
    made = {}
    for state in ("Success", "Running"):
        run = await run_of(database, flow, days=50, state=state)
        [task_run] = await fetch_all(database, "SELECT id FROM task_run WHERE flow_run_id = $1", run)
        for days in (50, 5):
            async with database.transaction() as session:
                artifact = await factories.insert_artifact(
                    session, task_run_id=task_run["id"], tenant_id=flow.tenant_id
                )
            await set_age(database, "task_run_artifact", artifact, days)
            made[state, days] = artifact
    messages = [await insert(database, "message", tenant_id=flow.tenant_id, type="CLOUD_HOOK") for _ in range(2)]
    await set_age(database, "message", messages[0], 50)
    await execute(database, "UPDATE message SET read = true")  # reading it makes it no younger
    context = keeping(database, artifacts_days=30, messages_days=30)
    assert await apply(context, dry_run=True) == {"artifacts": 1, "messages": 1}
    assert await apply(context) == {"artifacts": 1, "messages": 1}
    assert await ids(database, "task_run_artifact") == set(made.values()) - {made["Success", 50]}
    assert await ids(database, "message") == {messages[1]}


async def test_silent_agents(database: Database, flow: Flow) -> None:
    """Row 19: the row goes, what it ran stays; an agent that comes back is left alone."""
    agents = {}
    for name, days in (("silent", 40), ("alive", 1), ("never", None)):
        asked = None if days is None else NOW - timedelta(days=days)
        async with database.transaction() as session:
            agents[name] = await factories.insert_agent(
                session, tenant_id=flow.tenant_id, name=name, last_queried=asked
            )
    await set_age(database, "agent", agents["never"], 40)
    runs = [await make_flow_run(database, flow, agent_id=agents["silent"]) for _ in range(5)]
    kept = await make_flow_run(database, flow, agent_id=agents["alive"])
    context = keeping(database, agents_days=30)
    assert await apply(context, dry_run=True) == {"agents": 2}
    assert await ids(database, "agent") == set(agents.values())
    assert await apply(context, first_rows=2) == {"agents": 2}
    assert await ids(database, "agent") == {agents["alive"]}
    found = await fetch_all(database, "SELECT id, agent_id FROM flow_run")
    assert {row["id"]: row["agent_id"] for row in found} == dict.fromkeys(runs) | {kept: agents["alive"]}


async def test_passes_that_are_cut_short(database: Database, flow: Flow) -> None:
    """Each looks at one page of two rows; together they get past rows that stay, also many of one time."""
    done = await run_of(database, flow, days=50)
    active = await run_of(database, flow, days=50, state="Running")
    stay = {await log_of(database, active, days=60) for _ in range(9)}
    for number in range(9):
        await log_of(database, done, days=60 - number / 10)
    context, progress = keeping(database, logs_days=30), Progress()
    budgets: list[Statements] = []

    def one(_: int) -> Statements:
        budgets.append(Statements(1))
        return budgets[-1]

    counted = 0
    for _ in range(40):
        counted += (await apply(context, budget=one, progress=progress, first_rows=2))["logs"]
        if not progress.places:
            break
    assert counted == 9
    assert await ids(database, "log") == stay
    assert max(len(each.rows) for each in budgets) == 1
    assert len(budgets) > 3


async def test_an_interrupted_pass_leaves_marked_runs(database: Database, flow: Flow) -> None:
    """The towel's removal goes on with them, and the next pass does not count them again."""
    old = {await run_of(database, flow, days=50) for _ in range(3)}
    context = keeping(database, flow_runs_days=30, kept_flow_runs=0)
    assert await apply(context, budget=lambda _: Statements(2)) == {"flow_runs": 3}
    assert await ids(database, "flow_run") == old
    assert len(await fetch_all(database, "SELECT 1 FROM pending_removal")) == 3
    assert (await remove_pending(context, budget=Statements(), rest=0))["removals"] == 3
    assert await ids(database, "flow_run") == set()
    assert await apply(context) == {"flow_runs": 0}


async def test_a_run_that_is_restarted_meanwhile_stays(database: Database, flow: Flow) -> None:
    """Who has the run's lock is changing it: it is passed over."""
    old = await run_of(database, flow, days=50, state="Failed")
    context = keeping(database, flow_runs_days=30, kept_flow_runs=0)
    async with database.transaction() as session:
        await session.fetch_value("SELECT id FROM flow_run WHERE id = $1 FOR NO KEY UPDATE", old)
        assert await apply(context) == {"flow_runs": 0}
        await factories.insert_flow_run_state(session, flow_run_id=old, state="Scheduled", version=2)
    assert await apply(context) == {"flow_runs": 0}
    assert await ids(database, "flow_run") == {old}
    assert len(await ids(database, "task_run")) == 1


async def test_two_passes_at_once(database: Database, flow: Flow) -> None:
    """Each row goes once and is counted once; the newest runs stay."""
    for number in range(12):
        run = await run_of(database, flow, days=50 - number)
        for _ in range(3):
            await log_of(database, run, days=50)
    context = keeping(database, flow_runs_days=30, logs_days=30, kept_flow_runs=5)
    both = await asyncio.gather(*(apply(context, first_rows=3) for _ in range(2)))
    assert sum(each["flow_runs"] for each in both) == 7
    while await fetch_all(database, "SELECT 1 FROM pending_removal"):
        await remove_pending(context, budget=Statements(), rest=0)
    assert len(await ids(database, "flow_run")) == 5
    assert await ids(database, "log") == set()


async def test_nothing_is_set(database: Database) -> None:
    async with recorded(database) as recorder:
        assert await Retention().run_once(ActionContext(database=database)) == {}
    assert recorder.sent == []


async def test_the_loop(database: Database, flow: Flow, caplog: pytest.LogCaptureFixture) -> None:
    done = await run_of(database, flow, days=50)
    await log_of(database, done, days=50)
    with caplog.at_level("INFO"):
        assert await Retention().run_once(keeping(database, logs_days=30, dry_run=True)) == {}
    assert "would have deleted 1 logs" in caplog.text
    assert len(await ids(database, "log")) == 1
    assert await Retention().run_once(keeping(database, logs_days=30)) == {"logs": 1}
    assert await ids(database, "log") == set()


async def test_no_time(database: Database, flow: Flow) -> None:
    done = await run_of(database, flow, days=50)
    await log_of(database, done, days=50)
    counts = await apply(keeping(database, logs_days=30), budget=lambda _: TimeBudget(0))
    assert counts == {"logs": 0}
    assert len(await ids(database, "log")) == 1
