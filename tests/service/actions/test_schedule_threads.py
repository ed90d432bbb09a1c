"""What users asked about turning schedules on and off, a test per thread (demands.md 11; actions.md §2.4, §5.2)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.actions import flow_groups, flows
from server_core.actions.context import ActionContext
from server_core.actions.registration import create_flow
from server_core.actions.runs import delete_flow_run
from server_core.actions.states import cancel_flow_run
from server_core.config import GraphQLSettings, Settings
from server_core.db.session import Database
from server_core.rules.schedules import IntervalClockInput
from services.towel.loops.scheduler import Scheduler
from tests.service.towel.test_scheduler import HOURLY, interval, schedule
from tests.support import factories
from tests.support.factories import Flow, Tenant
from tests.support.rows import fetch_all, fetch_one, make_flow, make_flow_run

EVERY_HOUR = [IntervalClockInput(interval=3600)]
LEGACY = "INSERT INTO flow_run (flow_id, tenant_id, scheduled_start_time, idempotency_key, auto_scheduled)"


async def planned(database: Database, flow: Flow) -> dict[datetime, str]:
    """Return the states of the runs that hold the slots of a flow's schedule."""
    rows = await fetch_all(
        database,
        "SELECT scheduled_start_time, state FROM flow_run WHERE flow_id = $1 AND idempotency_key IS NOT NULL"
        " ORDER BY scheduled_start_time",
        flow.id,
    )
    return {row["scheduled_start_time"]: row["state"] for row in rows}


async def planned_flow(context: ActionContext, **columns: Any) -> Flow:
    flow = await make_flow(context.database, **{"schedule": HOURLY, **columns})
    assert await flows.set_schedule_active(context, flow_id=flow.id)
    return flow


async def cancel_some(context: ActionContext, flow: Flow, *places: int) -> None:
    """Cancel coming runs by their places in the plan."""
    rows = await fetch_all(
        context.database, "SELECT id FROM flow_run WHERE flow_id = $1 ORDER BY scheduled_start_time", flow.id
    )
    for place in places:
        await cancel_flow_run(context, flow_run_id=rows[place]["id"])


async def switch_off_and_on(context: ActionContext, flow: Flow) -> None:
    assert await flows.set_schedule_inactive(context, flow_id=flow.id)
    assert await flows.set_schedule_active(context, flow_id=flow.id)


async def archive_and_unarchive(context: ActionContext, flow: Flow) -> None:
    assert await flows.archive_flow(context, flow_id=flow.id)
    assert await flows.unarchive_flow(context, flow_id=flow.id)


async def replace_the_groups_schedule(context: ActionContext, flow: Flow) -> None:
    assert await flow_groups.delete_flow_group_schedule(context, flow_group_id=flow.flow_group_id)
    assert await flow_groups.set_flow_group_schedule(
        context, flow_group_id=flow.flow_group_id, interval_clocks=EVERY_HOUR
    )


@pytest.mark.parametrize("again", [switch_off_and_on, archive_and_unarchive, replace_the_groups_schedule])
@pytest.mark.parametrize("places", [(0,), (9,), (2, 5, 9)])
async def test_a_cancelled_slot_is_planned_again_by_reactivation(
    context: ActionContext, database: Database, again: Any, places: tuple[int, ...]
) -> None:
    """S#208, S#193: a coming run that was cancelled held its slot for ever, and the last one those before it too."""
    flow = await planned_flow(context)
    before = await planned(database, flow)
    await cancel_some(context, flow, *places)
    await again(context, flow)
    assert await planned(database, flow) == dict.fromkeys(before, "Scheduled")
    history = await fetch_all(database, "SELECT auto_scheduled FROM flow_run WHERE state = 'Cancelled'")
    assert history == [{"auto_scheduled": True}] * len(places)


async def test_a_cancelled_slot_stays_cancelled_otherwise(context: ActionContext, database: Database) -> None:
    """Neither the scheduler, whatever has the flow planned anew, nor a repeated request brings it back."""
    flow = await planned_flow(context, schedule=schedule(interval(), interval(labels=["own"])))
    await cancel_some(context, flow, 0, 1, 4)
    before = await fetch_all(database, "SELECT id, state FROM flow_run ORDER BY id")
    assert await flows.set_schedule_active(context, flow_id=flow.id)
    await flow_groups.set_flow_group_labels(context, flow_group_id=flow.flow_group_id, labels=["x"])
    assert (await Scheduler().run_once(context))["flow_runs"] == 0
    assert await fetch_all(database, "SELECT id, state FROM flow_run ORDER BY id") == before


async def test_a_run_that_ran_before_it_was_cancelled_keeps_its_slot(
    context: ActionContext, database: Database
) -> None:
    flow = await planned_flow(context)
    [first, *_] = await fetch_all(database, "SELECT id FROM flow_run ORDER BY scheduled_start_time")
    async with database.transaction() as session:
        for version, state in ((2, "Running"), (3, "Cancelled")):
            await factories.insert_flow_run_state(session, flow_run_id=first["id"], state=state, version=version)
    await switch_off_and_on(context, flow)
    assert list((await planned(database, flow)).values()) == ["Cancelled"] + ["Scheduled"] * 9


async def test_a_schedule_that_is_set_on_a_flow_that_is_on_is_planned_at_once(
    context: ActionContext, database: Database
) -> None:
    """S#173: nothing happened until the next pass of the towel."""
    flow = await planned_flow(context, schedule=None, group={"schedule": HOURLY})
    assert await flow_groups.delete_flow_group_schedule(context, flow_group_id=flow.flow_group_id)
    assert await planned(database, flow) == {}
    assert await flow_groups.set_flow_group_schedule(
        context, flow_group_id=flow.flow_group_id, interval_clocks=EVERY_HOUR
    )
    assert len(await planned(database, flow)) == 10


async def test_the_flows_own_schedule_comes_back_with_the_next_pass(context: ActionContext, database: Database) -> None:
    flow = await planned_flow(context, group={"schedule": schedule(interval(labels=["own"]))})
    assert await flow_groups.delete_flow_group_schedule(context, flow_group_id=flow.flow_group_id)
    assert await planned(database, flow) == {}
    assert await Scheduler().run_once(context) == {"flow_runs": 10}


async def test_archiving_leaves_no_planned_run_as_cancelled(context: ActionContext, database: Database) -> None:
    """S#301, S#9: the runs of old versions flooded the UI as Cancelled. Only what a person asked for ends so."""
    flow = await planned_flow(context)
    await make_flow_run(database, flow, state="Scheduled")
    assert await flows.archive_flow(context, flow_id=flow.id)
    states = await fetch_all(database, "SELECT state, auto_scheduled FROM flow_run")
    assert states == [{"state": "Cancelled", "auto_scheduled": False}]


async def test_a_planned_run_that_is_deleted_leaves_room_for_the_last_one_only(
    context: ActionContext, database: Database
) -> None:
    flow = await planned_flow(context)
    [first, *_, last] = await fetch_all(database, "SELECT id FROM flow_run ORDER BY scheduled_start_time")
    for run in (first, last):
        assert await delete_flow_run(context, flow_run_id=run["id"])
    assert await Scheduler().run_once(context) == {"flow_runs": 1}
    assert len(await planned(database, flow)) == 9


@pytest.fixture
async def home(database: Database) -> Tenant:
    async with database.transaction() as session:
        return await factories.make_tenant(session)


async def register(context: ActionContext, home: Tenant, document: Any = HOURLY, *, asks: bool = True) -> UUID:
    """Register a version as `flow.register()` does: off, and then a request to turn it on."""
    flow_id = await create_flow(
        context,
        project_id=home.project_id,
        serialized_flow={"name": "etl", "schedule": document, "tasks": [], "edges": []},
        set_schedule_active=False,
    )
    if asks:
        await flows.set_schedule_active(context, flow_id=flow_id)
    return flow_id


async def is_on(context: ActionContext, flow_id: UUID) -> bool:
    return bool((await fetch_one(context.database, "flow", flow_id))["is_schedule_active"])


KEEPING = Settings(graphql=GraphQLSettings(keep_schedule_off_seconds=60))


@pytest.mark.parametrize("settings", [Settings(), KEEPING])
async def test_registering_anew_what_was_switched_off(context: ActionContext, home: Tenant, settings: Settings) -> None:
    """S#138, P#4246: registering turned schedules on. It still does, unless the server is told otherwise."""
    context = replace(context, settings=settings)
    keeps = settings is KEEPING
    first = await register(context, home)
    assert await is_on(context, first)
    assert await flows.set_schedule_inactive(context, flow_id=first)
    second = await register(context, home)
    assert await is_on(context, second) is not keeps
    third = await register(context, home)
    assert await is_on(context, third) is not keeps
    fourth = await create_flow(
        context,
        project_id=home.project_id,
        serialized_flow={"name": "etl", "schedule": HOURLY},
        set_schedule_active=True,
    )
    assert await is_on(context, fourth) is not keeps
    # The switch of the UI works when the client has had its say.
    later = replace(context, clock=lambda: datetime.now(UTC) + timedelta(seconds=61))
    assert await flows.set_schedule_active(later, flow_id=fourth)
    assert await is_on(context, fourth)
    assert await is_on(context, await register(context, home))


async def test_what_never_had_a_schedule_was_not_switched_off(context: ActionContext, home: Tenant) -> None:
    context = replace(context, settings=KEEPING)
    await register(context, home, None)
    assert await is_on(context, await register(context, home))


async def test_three_schedulers_on_a_legacy_database_make_no_run_twice(
    context: ActionContext, database: Database
) -> None:
    """Demand 12: the legacy server planned ten runs per flow, of both kinds; three schedulers start at once."""
    now = datetime(2020, 1, 1, 13, 30, tzinfo=UTC)
    context = replace(context, clock=lambda: now)
    digest = "219b62d63bdbbd5bcf0c47c997d3dfec"
    own = [
        await make_flow(database, schedule=schedule(interval(parameter_defaults={"x": "a"})), is_schedule_active=True)
        for _ in range(5)
    ]
    plain = [await make_flow(database, schedule=HOURLY, is_schedule_active=True) for _ in range(25)]
    async with database.transaction() as session:
        for flows_of, suffix in ((own, f":{digest}"), (plain, "")):
            await session.execute(
                f"{LEGACY} SELECT id, tenant_id, t,"
                " 'auto-scheduled:' || to_char(t, 'YYYY-MM-DD\"T\"HH24:MI:SS') || '+00:00' || $2, true"
                " FROM flow, generate_series($3::timestamptz, $3 + interval '9 hours', '1 hour') AS t"
                " WHERE id = ANY($1::uuid[])",
                [flow.id for flow in flows_of],
                suffix,
                now.replace(hour=14, minute=0),
            )
    before = await fetch_all(database, "SELECT id FROM flow_run ORDER BY id")
    assert len(before) == 300
    passes = await asyncio.gather(*(Scheduler(batch=7).run_once(context) for _ in range(3)))
    assert [each["flow_runs"] for each in passes] == [0, 0, 0]
    assert await fetch_all(database, "SELECT id FROM flow_run ORDER BY id") == before
    later = replace(context, clock=lambda: now + timedelta(hours=2))
    passes = await asyncio.gather(*(Scheduler(batch=7).run_once(later) for _ in range(3)))
    assert sum(each["flow_runs"] for each in passes) == 60
    doubled = await fetch_all(
        database, "SELECT FROM flow_run GROUP BY flow_id, parameters, scheduled_start_time HAVING count(*) > 1"
    )
    assert doubled == []
