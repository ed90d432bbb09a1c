"""The scheduler looks only at flows that are due, and whatever changes a flow's plan makes it due (actions.md §5.2)."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.actions import flow_groups, flows
from server_core.actions.context import ActionContext
from server_core.actions.runs import delete_flow_run
from server_core.config import Settings, TowelSettings
from server_core.db.session import Database
from services.towel.loops.scheduler import Scheduler
from tests.service.towel.test_scheduler import HOURLY, NOW, active, interval, runs_of, schedule
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all

NEVER, EVER = datetime.max, datetime.min  # noqa: DTZ901 - as the driver has the infinities


@pytest.fixture
def context(database: Database) -> ActionContext:
    return ActionContext(database=database, clock=lambda: NOW)


def at(context: ActionContext, moment: datetime) -> ActionContext:
    return replace(context, clock=lambda: moment)


async def looks(database: Database) -> dict[UUID, datetime]:
    """Return when each flow is due next; one that was changed is due since ever."""
    rows = await fetch_all(database, "SELECT flow_id, min(due) AS due FROM flow_plan GROUP BY flow_id")
    return {row["flow_id"]: row["due"] for row in rows}


async def is_due(database: Database, flow: Flow) -> bool:
    """Tell whether something noted a change of a flow."""
    return bool(await fetch_all(database, "SELECT FROM flow_plan WHERE flow_id = $1 AND horizon = 0", flow.id))


async def test_a_pass_with_nothing_due_is_two_statements(context: ActionContext, database: Database) -> None:
    for _ in range(7):
        await active(database)
    scheduler = Scheduler(batch=3)
    assert await scheduler.run_once(context) == {"flow_runs": 70}
    async with recorded(database) as recorder:
        assert await scheduler.run_once(context) == {"flow_runs": 0}
        assert len(recorder.statements) == 2  # which flows are due, which runs come too late


async def test_ten_thousand_flows_would_take_less_than_300_statements(
    context: ActionContext, database: Database
) -> None:
    """A batch of 500 costs what a batch of 2 costs; 20 batches and the look that finds no more."""
    counts = []
    for size in (1, 2, 12):  # with the first the driver also asks for the types it does not know
        for _ in range(size):
            await active(database, interval(), interval(labels=["a"]))
        async with recorded(database) as recorder:
            await Scheduler().run_once(context)
            counts.append(len(recorder.statements))
    assert counts[1] == counts[2]
    assert counts[1] * 20 < 300


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE flow_group SET schedule = '{\"clocks\": []}'",
        "UPDATE flow_group SET default_parameters = '{\"x\": 1}'",
        "UPDATE flow SET schedule = '{\"clocks\": []}'",
        "UPDATE flow SET is_schedule_active = true",
        "UPDATE flow SET archived = false",
        "DELETE FROM flow_run WHERE scheduled_start_time > '2020-01-01 20:00Z'",
    ],
)
async def test_whoever_changes_a_flow_makes_it_due(context: ActionContext, database: Database, change: str) -> None:
    """By the data API or by the legacy server on the same database: triggers see it."""
    flow = await active(database)
    await Scheduler().run_once(context)
    assert not await is_due(database, flow)
    await execute(database, change)
    assert await is_due(database, flow)
    await Scheduler().run_once(context)
    assert not await is_due(database, flow)
    [counted] = await fetch_all(database, "SELECT count(*) AS notes FROM flow_plan")
    assert counted["notes"] == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE flow SET name = 'other', settings = '{\"a\": 1}', serialized_flow = '{}'",
        "UPDATE flow SET is_schedule_active = false",
        "UPDATE flow SET archived = true",
        "UPDATE flow_group SET description = 'x', settings = '{}', schedule = schedule",
        "DELETE FROM flow_run WHERE scheduled_start_time = '2020-01-01 14:00Z'",
    ],
)
async def test_what_cannot_change_the_plan_makes_nothing_due(
    context: ActionContext, database: Database, change: str
) -> None:
    flow = await active(database)
    await Scheduler().run_once(context)
    await execute(
        database,
        "INSERT INTO flow_run_state (flow_run_id, state, version, serialized_state)"
        " SELECT id, 'Success', 2, '{}' FROM flow_run",
    )
    await execute(database, change)
    assert not await is_due(database, flow)


async def test_a_new_active_flow_is_due_and_a_deleted_one_forgotten(context: ActionContext, database: Database) -> None:
    flow, off = await active(database), await active(database, is_schedule_active=False)
    assert await looks(database) == {flow.id: EVER}
    await Scheduler().run_once(context)
    assert await looks(database) == {flow.id: NOW.replace(hour=14, minute=0)}
    await execute(database, "DELETE FROM flow WHERE id = ANY($1::uuid[])", [flow.id, off.id])
    assert await looks(database) == {}


@pytest.mark.parametrize("starts", [True, False])
async def test_a_flow_of_which_nothing_is_noted_is_planned_at_a_start_and_each_hour(
    context: ActionContext, database: Database, starts: bool
) -> None:
    """Rows may come in while triggers are off, as with `pg_restore --disable-triggers`."""
    flow = await active(database)
    scheduler = Scheduler()
    await scheduler.run_once(context)
    await execute(database, "DELETE FROM flow_run")
    await execute(database, "DELETE FROM flow_plan")
    assert await scheduler.run_once(context) == {"flow_runs": 0}
    later = context if starts else at(context, NOW + timedelta(hours=1))
    assert await (Scheduler() if starts else scheduler).run_once(later) == {"flow_runs": 10}
    assert len(await runs_of(database, flow)) == 10


async def test_flows_that_are_off_are_forgotten_until_they_are_on(context: ActionContext, database: Database) -> None:
    flow = await active(database)
    await Scheduler().run_once(context)
    await flows.archive_flow(context, flow_id=flow.id)
    await Scheduler().run_once(at(context, NOW + timedelta(hours=1)))
    assert await looks(database) == {}
    assert await flows.unarchive_flow(context, flow_id=flow.id)
    await Scheduler().run_once(context)
    assert await looks(database) == {flow.id: NOW.replace(hour=14, minute=0)}
    assert len(await runs_of(database, flow)) == 10


async def test_a_schedule_without_events_is_looked_at_when_it_changes(
    context: ActionContext, database: Database
) -> None:
    flow, none = await active(database, group={"schedule": schedule()}), await active(database, schedule=None)
    assert await Scheduler().run_once(context) == {"flow_runs": 0}
    assert await looks(database) == {flow.id: NEVER, none.id: NEVER}
    for group_id in (flow.flow_group_id, none.flow_group_id):
        await execute(database, "UPDATE flow_group SET schedule = $2::jsonb WHERE id = $1", group_id, HOURLY)
    assert await Scheduler().run_once(context) == {"flow_runs": 20}


async def test_another_number_of_runs_to_plan_makes_all_due(context: ActionContext, database: Database) -> None:
    flow = await active(database)
    for count, made in ((3, 3), (5, 2), (2, 0), (5, 0)):
        settings = Settings(towel=TowelSettings(max_scheduled_runs_per_flow=count))
        assert await Scheduler().run_once(replace(context, settings=settings)) == {"flow_runs": made}
    assert len(await runs_of(database, flow)) == 5


async def test_a_deleted_run_with_its_own_parameters_is_made_again(context: ActionContext, database: Database) -> None:
    """§5.2.4: key (b) is always created; of the others only what is later than the last one planned."""
    own = await active(database, interval(parameter_defaults={"x": 1}))
    plain = await active(database)
    await Scheduler().run_once(context)
    for flow in (own, plain):
        assert await delete_flow_run(context, flow_run_id=(await runs_of(database, flow))[0]["id"])
    assert await Scheduler().run_once(context) == {"flow_runs": 1}
    assert [len(await runs_of(database, flow)) for flow in (own, plain)] == [10, 9]
    assert await delete_flow_run(context, flow_run_id=(await runs_of(database, plain))[-1]["id"])
    assert await Scheduler().run_once(context) == {"flow_runs": 1}
    assert len(await runs_of(database, plain)) == 9


@pytest.mark.parametrize(
    "columns",
    [
        {"schedule": {"clocks": [{"type": "CronClock", "cron": "nonsense"}]}},
        {"parameters": [{"name": "x", "slug": "x", "required": True, "default": None}]},
    ],
)
async def test_a_flow_that_cannot_be_planned_is_told_once_and_tried_again_later(
    context: ActionContext, database: Database, caplog: pytest.LogCaptureFixture, columns: Mapping[str, Any]
) -> None:
    flow = await active(database, **columns)
    scheduler = Scheduler()
    told = []
    for minutes in (0, 2, 29, 61):
        caplog.clear()
        assert await scheduler.run_once(at(context, NOW + timedelta(minutes=minutes))) == {"flow_runs": 0}
        told.append(str(flow.id) in caplog.text)
    assert told == [True, False, False, True] if "schedule" in columns else told[:2] == [True, False]


async def test_a_default_for_a_missing_parameter_plans_the_flow(context: ActionContext, database: Database) -> None:
    flow = await active(database, parameters=[{"name": "x", "slug": "x", "required": True, "default": None}])
    assert await Scheduler().run_once(context) == {"flow_runs": 0}
    await flow_groups.set_flow_group_default_parameters(context, flow_group_id=flow.flow_group_id, parameters={"x": 1})
    assert await Scheduler().run_once(context) == {"flow_runs": 10}


async def test_a_change_during_a_pass_is_not_lost(context: ActionContext, database: Database) -> None:
    """It is noted in a row of its own, which the pass that did not see it leaves alone."""
    flow = await active(database)
    async with database.transaction() as session:
        seen = await session.fetch("SELECT id FROM flow_plan FOR UPDATE")
        await execute(database, "UPDATE flow SET schedule = $1::jsonb", {"clocks": []})
        await session.execute("DELETE FROM flow_plan WHERE id = ANY($1::uuid[])", [row["id"] for row in seen])
    assert await is_due(database, flow)


async def test_what_another_scheduler_has_in_hand_is_left_to_it(context: ActionContext, database: Database) -> None:
    flow = await active(database)
    async with database.transaction() as session:
        await session.fetch("SELECT FROM flow_plan FOR UPDATE")
        assert await Scheduler().run_once(context) == {"flow_runs": 0}
        # Nobody waits for it either.
        await execute(database, "DELETE FROM flow WHERE id = $1", flow.id)
    assert await Scheduler().run_once(context) == {"flow_runs": 0}
    assert await looks(database) == {}


@pytest.mark.parametrize("table", ["flow", "flow_group"])
async def test_a_transaction_left_open_holds_up_no_other_flow(
    context: ActionContext, database: Database, table: str
) -> None:
    """Somebody's psql, say; the flow it holds is planned by a pass after it."""
    held, other = await active(database), await active(database)
    ids = {"flow": held.id, "flow_group": held.flow_group_id}
    async with database.transaction() as session, asyncio.timeout(20):
        await session.execute(f"UPDATE {table} SET name = name WHERE id = $1", ids[table])
        assert await Scheduler().run_once(context) == {"flow_runs": 10}
        assert [len(await runs_of(database, flow)) for flow in (held, other)] == [0, 10]
        assert await Scheduler().run_once(context) == {"flow_runs": 0}
    assert await Scheduler().run_once(at(context, NOW + timedelta(seconds=1))) == {"flow_runs": 10}
    assert len(await runs_of(database, held)) == 10
