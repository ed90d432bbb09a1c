"""Verbs on registered flows: archive, schedules on and off, move, switches, delete (actions.md §2.4)."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.actions import flows
from server_core.actions.context import ActionContext
from server_core.actions.runs import create_flow_run
from server_core.actions.states import FlowRunStateInput, set_flow_run_states
from server_core.db.session import Database
from server_core.errors import InvalidInput, NotFound
from tests.support import factories
from tests.support.factories import Flow, Tenant
from tests.support.rows import execute, fetch_all, fetch_one, make_flow, make_flow_run

HOURLY = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None}]}
ZONED = {
    "clocks": [
        {
            "type": "CronClock",
            "cron": "30 9 * * *",
            "start_date": {"dt": "2020-01-01T00:00:00", "tz": "America/New_York"},
        }
    ]
}
REQUIRED = [{"name": "p", "slug": "p", "required": True, "default": None}]


def with_defaults(*defaults: dict[str, Any] | None) -> dict[str, Any]:
    return {"clocks": [{**HOURLY["clocks"][0], "parameter_defaults": each} for each in defaults]}


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1, schedule=HOURLY)


async def is_active(database: Database, flow: Flow) -> bool:
    return bool((await fetch_one(database, "flow", flow.id))["is_schedule_active"])


async def runs(database: Database, flow: Flow) -> list[dict[str, Any]]:
    return await fetch_all(database, "SELECT * FROM flow_run WHERE flow_id = $1 ORDER BY scheduled_start_time", flow.id)


async def planned_times(database: Database, flow: Flow) -> list[datetime]:
    return [run["scheduled_start_time"] for run in await runs(database, flow) if run["auto_scheduled"]]


async def put_in(context: ActionContext, run_id: UUID, state: str) -> None:
    await set_flow_run_states(context, states=[FlowRunStateInput(flow_run_id=run_id, state={"type": state})])


# --- schedule on -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [HOURLY, ZONED])
async def test_on_off_and_on_again(context: ActionContext, database: Database, schedule: dict[str, Any]) -> None:
    flow = await make_flow(database, tasks=1, schedule=schedule)
    assert await flows.set_schedule_active(context, flow_id=flow.id) is True
    first = await planned_times(database, flow)
    assert len(first) == 10
    assert await flows.set_schedule_active(context, flow_id=flow.id) is True
    assert await planned_times(database, flow) == first
    assert await is_active(database, flow)
    for _ in range(2):
        assert await flows.set_schedule_inactive(context, flow_id=flow.id) is True
        assert not await is_active(database, flow)
        assert await runs(database, flow) == []
    at_first = replace(context, clock=lambda: first[0] - timedelta(seconds=30))
    assert await flows.set_schedule_active(at_first, flow_id=flow.id) is True
    assert await planned_times(database, flow) == first


async def test_ten_runs_whatever_the_towel_is_set_to(context: ActionContext, database: Database, flow: Flow) -> None:
    towel = replace(context.settings.towel, max_scheduled_runs_per_flow=3)
    few = replace(context, settings=replace(context.settings, towel=towel))
    await flows.set_schedule_active(few, flow_id=flow.id)
    assert len(await runs(database, flow)) == 10


async def test_no_schedule_at_all(context: ActionContext, database: Database) -> None:
    flow = await make_flow(database)
    assert await flows.set_schedule_active(context, flow_id=flow.id) is False
    assert not await is_active(database, flow)


async def test_the_schedule_of_the_group_is_enough(context: ActionContext, database: Database) -> None:
    flow = await make_flow(database, group={"schedule": {"type": "Schedule", **HOURLY}})
    assert await flows.set_schedule_active(context, flow_id=flow.id) is True
    assert len(await runs(database, flow)) == 10


async def test_an_archived_flow_gets_the_flag_but_no_runs(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    await flows.archive_flow(context, flow_id=flow.id)
    assert await flows.set_schedule_active(context, flow_id=flow.id) is True
    assert await is_active(database, flow)
    assert await runs(database, flow) == []


@pytest.mark.parametrize(
    ("schedule", "group_defaults"),
    [(with_defaults(None), {}), (with_defaults({"p": 1}, {}), {}), (with_defaults({"q": 1}), {"q": 1})],
)
async def test_required_parameters_must_have_values(
    context: ActionContext, database: Database, schedule: dict[str, Any], group_defaults: dict[str, Any]
) -> None:
    flow = await make_flow(
        database, schedule=schedule, parameters=REQUIRED, group={"default_parameters": group_defaults}
    )
    with pytest.raises(InvalidInput, match=r"required parameters.*: p"):
        await flows.set_schedule_active(context, flow_id=flow.id)
    assert not await is_active(database, flow)
    assert await runs(database, flow) == []


@pytest.mark.parametrize(
    ("schedule", "group_defaults"),
    [(with_defaults({"p": 1}, {"p": 2}), {}), (with_defaults(None), {"p": 1}), (with_defaults({"q": 1}), {"p": 1})],
)
async def test_required_parameters_with_values(
    context: ActionContext, database: Database, schedule: dict[str, Any], group_defaults: dict[str, Any]
) -> None:
    flow = await make_flow(
        database, schedule=schedule, parameters=REQUIRED, group={"default_parameters": group_defaults}
    )
    assert await flows.set_schedule_active(context, flow_id=flow.id) is True
    assert len(await runs(database, flow)) >= 10


async def test_group_and_clocks_together_give_the_required_parameters(
    context: ActionContext, database: Database
) -> None:
    """§2.4: either source may have a name, but every clock must have what the group lacks."""
    two = [*REQUIRED, {**REQUIRED[0], "name": "q", "slug": "q"}]
    for defaults, possible in ((({"q": 1}, {"q": 2}), True), (({"q": 1}, {"p": 2}), False)):
        flow = await make_flow(
            database, schedule=with_defaults(*defaults), parameters=two, group={"default_parameters": {"p": 1}}
        )
        if possible:
            assert await flows.set_schedule_active(context, flow_id=flow.id) is True
        else:
            with pytest.raises(InvalidInput, match=r"required parameters.*: q"):
                await flows.set_schedule_active(context, flow_id=flow.id)
        assert await is_active(database, flow) is possible


# --- schedule off ------------------------------------------------------------------------------------------------


async def test_off_leaves_manual_runs_and_runs_that_left_scheduled(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    manual = await create_flow_run(context, flow_id=flow.id)
    await flows.set_schedule_active(context, flow_id=flow.id)
    _, started = [run["id"] for run in await runs(database, flow)][:2]
    assert started != manual
    await put_in(context, started, "Submitted")
    await flows.set_schedule_inactive(context, flow_id=flow.id)
    assert {run["id"] for run in await runs(database, flow)} == {manual, started}


# --- archive -----------------------------------------------------------------------------------------------------


async def test_archiving_deletes_planned_runs_and_cancels_waiting_ones(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    await flows.set_schedule_active(context, flow_id=flow.id)
    waiting = await create_flow_run(context, flow_id=flow.id)
    running = await create_flow_run(context, flow_id=flow.id)
    await put_in(context, running, "Running")
    assert await flows.archive_flow(context, flow_id=flow.id) is True
    left = {run["id"]: run for run in await runs(database, flow)}
    assert {run_id: run["state"] for run_id, run in left.items()} == {waiting: "Cancelled", running: "Running"}
    name = (await fetch_one(database, "flow", flow.id))["name"]
    assert name in left[waiting]["state_message"]
    assert "archived" in left[waiting]["state_message"]
    cancelled = await fetch_all(database, "SELECT state FROM task_run WHERE flow_run_id = $1", waiting)
    assert [row["state"] for row in cancelled] == ["Cancelled"]
    row = await fetch_one(database, "flow", flow.id)
    assert (row["archived"], row["is_schedule_active"]) == (True, True)
    assert await flows.archive_flow(context, flow_id=flow.id) is True
    assert left == {run["id"]: run for run in await runs(database, flow)}


async def test_unarchiving_plans_again_if_the_schedule_is_on(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    await flows.set_schedule_active(context, flow_id=flow.id)
    await flows.archive_flow(context, flow_id=flow.id)
    assert await flows.unarchive_flow(context, flow_id=flow.id) is True
    assert not (await fetch_one(database, "flow", flow.id))["archived"]
    assert len(await runs(database, flow)) == 10


async def test_unarchiving_plans_nothing_if_the_schedule_is_off(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    await flows.archive_flow(context, flow_id=flow.id)
    assert await flows.unarchive_flow(context, flow_id=flow.id) is True
    assert await runs(database, flow) == []


# --- the rest ----------------------------------------------------------------------------------------------------


async def test_moving_to_another_project(context: ActionContext, database: Database, flow: Flow) -> None:
    async with database.transaction() as session:
        project_id = await factories.insert_project(session, tenant_id=flow.tenant_id)
        stranger = await factories.make_tenant(session)
    before = await fetch_one(database, "flow", flow.id)
    for wrong in (stranger.project_id, uuid4()):
        with pytest.raises(NotFound, match="project"):
            await flows.update_flow_project(context, flow_id=flow.id, project_id=wrong)
    with pytest.raises(NotFound, match="flow"):
        await flows.update_flow_project(context, flow_id=uuid4(), project_id=project_id)
    assert await fetch_one(database, "flow", flow.id) == before
    assert await flows.update_flow_project(context, flow_id=flow.id, project_id=project_id) == flow.id
    after = await fetch_one(database, "flow", flow.id)
    assert after == {**before, "project_id": project_id, "updated": after["updated"]}


async def test_switches_are_kept_in_the_group(context: ActionContext, database: Database) -> None:
    flow = await make_flow(database, group={"settings": {"other": 1}})

    async def settings() -> dict[str, Any]:
        return dict((await fetch_one(database, "flow_group", flow.flow_group_id))["settings"])

    assert await flows.set_flow_heartbeat(context, flow_id=flow.id, enabled=False) is True
    assert await settings() == {"other": 1, "heartbeat_enabled": False, "disable_heartbeat": True}
    assert await flows.set_flow_heartbeat(context, flow_id=flow.id, enabled=True) is True
    assert await flows.set_flow_lazarus_process(context, flow_id=flow.id, enabled=False) is True
    assert await settings() == {
        "other": 1,
        "heartbeat_enabled": True,
        "disable_heartbeat": False,
        "lazarus_enabled": False,
    }
    for switch in (flows.set_flow_heartbeat, flows.set_flow_lazarus_process):
        with pytest.raises(NotFound):
            await switch(context, flow_id=uuid4(), enabled=True)


async def test_the_heartbeat_switch_reaches_the_clients(context: ActionContext, database: Database) -> None:
    """§9.4: they look at the flow. All flows of the group are told, nothing else in their settings changes."""
    flow = await make_flow(database, settings={"mine": [1]})
    async with database.transaction() as session:
        tenant = Tenant(id=flow.tenant_id, project_id=flow.project_id)
        sibling = await factories.make_flow(
            session, tenant=tenant, flow_group_id=flow.flow_group_id, archived=True, settings=["garbage"]
        )
    stranger = await make_flow(database)

    async def settings(flow_id: UUID) -> Any:
        return (await fetch_one(database, "flow", flow_id))["settings"]

    for enabled in (False, True):
        assert await flows.set_flow_heartbeat(context, flow_id=flow.id, enabled=enabled)
        assert await settings(flow.id) == {"mine": [1], "heartbeat_enabled": enabled}
        assert await settings(sibling.id) == {"heartbeat_enabled": enabled}
        assert await settings(stranger.id) == {}
    before = await fetch_one(database, "flow", flow.id)
    assert await flows.set_flow_heartbeat(context, flow_id=flow.id, enabled=True)
    assert await fetch_one(database, "flow", flow.id) == before
    assert await flows.set_flow_lazarus_process(context, flow_id=flow.id, enabled=False)
    assert await fetch_one(database, "flow", flow.id) == before


async def test_deleting_takes_the_runs_along(context: ActionContext, database: Database, flow: Flow) -> None:
    """§4.5: a flow's group stays."""
    for _ in range(3):
        await make_flow_run(database, flow)
    assert await flows.delete_flow(context, flow_id=flow.id) is True
    for table in ("flow", "task", "flow_run", "task_run", "task_run_state"):
        assert await fetch_all(database, f"SELECT 1 FROM {table}") == [], table
    assert await fetch_one(database, "flow_group", flow.flow_group_id)
    assert await fetch_one(database, "tenant", flow.tenant_id)
    assert await flows.delete_flow(context, flow_id=flow.id) is False


async def test_unknown_flows(context: ActionContext) -> None:
    for verb in (
        flows.archive_flow,
        flows.unarchive_flow,
        flows.set_schedule_active,
        flows.set_schedule_inactive,
        flows.delete_flow,
    ):
        assert await verb(context, flow_id=uuid4()) is False


@pytest.mark.parametrize("missing", [None, ""])
async def test_ids_are_required(context: ActionContext, missing: Any) -> None:
    """§0.4: a null or empty id is an error in every verb."""
    for verb in (
        flows.archive_flow,
        flows.unarchive_flow,
        flows.set_schedule_active,
        flows.set_schedule_inactive,
        flows.delete_flow,
    ):
        with pytest.raises(InvalidInput, match="flow_id"):
            await verb(context, flow_id=missing)


async def test_an_adopted_flow_without_a_tenant(context: ActionContext, database: Database, flow: Flow) -> None:
    await execute(database, "UPDATE flow SET tenant_id = NULL")
    assert await flows.set_schedule_inactive(context, flow_id=flow.id) is True
    assert await flows.archive_flow(context, flow_id=flow.id) is True
    assert await flows.delete_flow(context, flow_id=flow.id) is True
