"""What becomes of planned runs that nobody took in time: the late policy of a flow group (demands.md 29)."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.flow_groups import set_flow_group_settings
from server_core.actions.queue import get_runs_in_queue
from server_core.actions.runs import create_flow_run
from server_core.actions.states import FlowRunStateWrite, write_flow_run_states
from server_core.db.session import Database
from server_core.states import make_state
from services.towel.loops.scheduler import Scheduler
from tests.service.towel.test_scheduler import NOW, active, interval, runs_of
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import execute

DAY_LATER = NOW + timedelta(hours=24)
LATEST_ONLY = {"late_policy": "latest_only"}


@pytest.fixture
def context(database: Database) -> ActionContext:
    return ActionContext(database=database, clock=lambda: NOW)


def at(context: ActionContext, moment: datetime) -> ActionContext:
    return replace(context, clock=lambda: moment)


async def queue(context: ActionContext, flow: Flow) -> list[UUID]:
    return await get_runs_in_queue(context, tenant_id=flow.tenant_id)


async def plan_a_day(context: ActionContext, flow: Flow, settings: Mapping[str, Any] | None = None) -> ActionContext:
    """Plan what a towel plans in 24 hours without an agent, and cancel nothing; return the context of the day after."""
    scheduler = Scheduler()
    for hour in range(25):
        await scheduler.run_once(at(context, NOW + timedelta(hours=hour)))
    if settings:
        await execute(
            context.database,
            "UPDATE flow_group SET settings = settings || $2::jsonb WHERE id = $1",
            flow.flow_group_id,
            dict(settings),
        )
    return at(context, DAY_LATER)


async def states_of(context: ActionContext, flow: Flow) -> dict[int, str]:
    """Return the states of a flow's runs that are due, by the hours they are late."""
    return {
        round((DAY_LATER - run["scheduled_start_time"]) / timedelta(hours=1) - 0.5): run["state"]
        for run in await runs_of(context.database, flow)
        if run["scheduled_start_time"] <= DAY_LATER
    }


@pytest.mark.parametrize(("settings", "count"), [(None, 24), ({"late_policy": "run_all"}, 24), (LATEST_ONLY, 1)])
@pytest.mark.parametrize("towel_ran", [False, True])
async def test_an_agent_that_was_away_for_a_day(
    context: ActionContext, database: Database, settings: Mapping[str, Any] | None, count: int, towel_ran: bool
) -> None:
    flow = await active(database)
    later = await plan_a_day(context, flow, settings)
    if towel_ran:
        late = {"late_flow_runs": 24 - count} if count < 24 else {}
        assert await Scheduler().run_once(later) == {"flow_runs": 0, **late}
    found = await queue(later, flow)
    assert len(found) == count
    newest = [run["id"] for run in await runs_of(database, flow) if run["scheduled_start_time"] <= DAY_LATER][-1]
    assert found[-1] == newest
    states = await states_of(later, flow)
    cancelled = 24 - count if towel_ran else 0
    assert list(states.values()) == ["Cancelled"] * cancelled + ["Scheduled"] * (24 - cancelled)


async def test_runs_that_are_later_than_allowed_are_skipped(context: ActionContext, database: Database) -> None:
    flow = await active(database)
    later = await plan_a_day(context, flow, {"late_policy": "skip_after", "late_after_seconds": 3.5 * 3600})
    assert len(await queue(later, flow)) == 3 + 1
    assert await Scheduler().run_once(later) == {"flow_runs": 0, "late_flow_runs": 20}
    states = await states_of(later, flow)
    assert {hours for hours, state in states.items() if state == "Scheduled"} == {0, 1, 2, 3}
    [cancelled] = {run["state_message"] for run in await runs_of(database, flow) if run["state"] == "Cancelled"}
    assert cancelled == "Skipped: the run was not started in time."


@pytest.mark.parametrize(
    "settings",
    [
        {"late_policy": "skip_after"},
        {"late_policy": "skip_after", "late_after_seconds": "60"},
        {"late_policy": "skip_after", "late_after_seconds": 10**400},
        {"late_policy": "skip_after", "late_after_seconds": -5},
        {"late_policy": ["latest_only"]},
        {"late_policy": "LATEST_ONLY"},
    ],
)
async def test_settings_that_cannot_be_read_run_all(
    context: ActionContext, database: Database, settings: Mapping[str, Any]
) -> None:
    flow = await active(database)
    later = await plan_a_day(context, flow, settings)
    assert len(await queue(later, flow)) == 24
    assert await Scheduler().run_once(later) == {"flow_runs": 0}


async def test_the_run_that_was_taken_supersedes_the_older_ones(context: ActionContext, database: Database) -> None:
    """Between the poll that took the newest and the next pass of the towel no older one comes back."""
    flow = await active(database)
    later = await plan_a_day(context, flow, LATEST_ONLY)
    [newest] = await queue(later, flow)
    await set_state(later, newest, "Submitted")
    assert await queue(later, flow) == []
    await Scheduler().run_once(later)
    assert await queue(later, flow) == []
    assert list((await states_of(later, flow)).values()).count("Cancelled") == 23


async def test_a_run_cancelled_unseen_leaves_the_one_before(context: ActionContext, database: Database) -> None:
    flow = await active(database)
    later = await plan_a_day(context, flow, LATEST_ONLY)
    [newest] = await queue(later, flow)
    await set_state(later, newest, "Cancelled")
    due = [run["id"] for run in await runs_of(database, flow) if run["scheduled_start_time"] <= DAY_LATER]
    assert await queue(later, flow) == [due[-2]]


async def test_what_people_made_or_moved_is_never_late(context: ActionContext, database: Database) -> None:
    flow = await active(database)
    by_hand = await create_flow_run(context, flow_id=flow.id, scheduled_start_time=NOW)
    later = await plan_a_day(context, flow, LATEST_ONLY)
    due = [run["id"] for run in await runs_of(database, flow) if run["scheduled_start_time"] <= DAY_LATER]
    moved = due[3]
    await set_state(later, moved, "Scheduled", start_time=NOW + timedelta(hours=7, minutes=1))
    await Scheduler().run_once(later)
    assert set(await queue(later, flow)) == {by_hand, moved, due[-1]}


async def test_clocks_with_parameters_of_their_own_are_streams_of_their_own(
    context: ActionContext, database: Database
) -> None:
    flow = await active(database, interval(parameter_defaults={"x": 1}), interval(labels=[]))
    later = await plan_a_day(context, flow, LATEST_ONLY)
    found = await queue(later, flow)
    await Scheduler().run_once(later)
    assert await queue(later, flow) == found
    runs = {run["id"]: run for run in await runs_of(database, flow)}
    assert sorted(str(runs[id]["parameters"]) for id in found) == ["{'x': 1}", "{}"]
    assert len({runs[id]["scheduled_start_time"] for id in found}) == 1


async def test_the_policy_is_set_by_a_verb_and_the_poll_stays_one_statement(
    context: ActionContext, database: Database
) -> None:
    flow = await active(database)
    later = await plan_a_day(context, flow)
    assert await set_flow_group_settings(later, flow_group_id=flow.flow_group_id, settings=LATEST_ONLY)
    await queue(later, flow)
    async with recorded(database) as recorder:
        assert len(await queue(later, flow)) == 1
    assert len(recorder.statements) == 1


async def test_a_pass_cancels_in_batches_and_two_share_the_work(context: ActionContext, database: Database) -> None:
    flow = await active(database)
    later = await plan_a_day(context, flow, LATEST_ONLY)
    counts = await asyncio.gather(*(Scheduler(batch=5).run_once(later) for _ in range(2)))
    assert sum(count.get("late_flow_runs", 0) for count in counts) == 23
    history = await runs_of(database, flow)
    assert {run["version"] for run in history if run["state"] == "Cancelled"} == {2}


async def set_state(context: ActionContext, run_id: UUID, state: str, **fields: Any) -> None:
    made = make_state(state, now=context.clock(), message=state, **fields)
    async with context.database.transaction() as session:
        await write_flow_run_states(session, context, [FlowRunStateWrite(flow_run_id=run_id, state=made)])
