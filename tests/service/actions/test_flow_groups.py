"""Verbs on flow groups (actions.md §2.5), and planning again at once when a schedule changes (demands.md row 11)."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.actions import flow_groups, flows
from server_core.actions.context import ActionContext
from server_core.actions.runs import create_flow_run
from server_core.db.session import Database
from server_core.errors import InvalidInput
from server_core.rules.schedules.groups import CronClockInput, IntervalClockInput
from tests.support import factories
from tests.support.factories import Flow
from tests.support.rows import execute, fetch_all, fetch_one, make_flow, make_flow_run

NOW = datetime(2020, 7, 1, 12, 0, 0, tzinfo=UTC)
HOURLY = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None}]}


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1, schedule=HOURLY)


async def group(database: Database, flow: Flow) -> dict[str, Any]:
    return await fetch_one(database, "flow_group", flow.flow_group_id)


async def run_ids(database: Database) -> set[UUID]:
    return {run["id"] for run in await fetch_all(database, "SELECT id FROM flow_run")}


async def test_default_parameters_are_replaced(context: ActionContext, database: Database, flow: Flow) -> None:
    for parameters in ({"a": 1, "b": None}, {"c": [1]}, {}):
        assert await flow_groups.set_flow_group_default_parameters(
            context, flow_group_id=flow.flow_group_id, parameters=parameters
        )
        assert (await group(database, flow))["default_parameters"] == parameters


@pytest.mark.parametrize("parameters", [None, [], "x", 1])
async def test_default_parameters_must_be_an_object(context: ActionContext, flow: Flow, parameters: Any) -> None:
    with pytest.raises(InvalidInput):
        await flow_groups.set_flow_group_default_parameters(
            context, flow_group_id=flow.flow_group_id, parameters=parameters
        )


async def test_labels(context: ActionContext, database: Database, flow: Flow) -> None:
    for labels, stored in ((["b", "a", "b"], ["a", "b"]), ([], []), (None, None), (["c"], ["c"])):
        assert await flow_groups.set_flow_group_labels(context, flow_group_id=flow.flow_group_id, labels=labels)
        assert (await group(database, flow))["labels"] == stored
    nulls = await fetch_all(database, "SELECT 1 FROM flow_group WHERE labels = 'null'")
    assert nulls == []


async def test_null_labels_are_a_null_column(context: ActionContext, database: Database, flow: Flow) -> None:
    await flow_groups.set_flow_group_labels(context, flow_group_id=flow.flow_group_id, labels=None)
    await flow_groups.set_flow_group_run_config(context, flow_group_id=flow.flow_group_id, run_config=None)
    await flow_groups.delete_flow_group_schedule(context, flow_group_id=flow.flow_group_id)
    rows = await fetch_all(
        database, "SELECT 1 FROM flow_group WHERE labels IS NULL AND run_config IS NULL AND schedule IS NULL"
    )
    assert len(rows) == 1


async def test_description_and_run_config(context: ActionContext, database: Database, flow: Flow) -> None:
    for value in ("words", None):
        assert await flow_groups.set_flow_group_description(
            context, flow_group_id=flow.flow_group_id, description=value
        )
        assert (await group(database, flow))["description"] == value
    for config in ({"type": "Anything", "labels": 1}, None):
        assert await flow_groups.set_flow_group_run_config(context, flow_group_id=flow.flow_group_id, run_config=config)
        assert (await group(database, flow))["run_config"] == config


async def test_a_schedule_without_a_timezone(context: ActionContext, database: Database, flow: Flow) -> None:
    assert await flow_groups.set_flow_group_schedule(
        context,
        flow_group_id=flow.flow_group_id,
        interval_clocks=[IntervalClockInput(interval=60), IntervalClockInput(interval=90, parameter_defaults={"a": 1})],
        cron_clocks=[
            CronClockInput(cron="0 * * * *"),
            CronClockInput(cron="1 * * * *", parameter_defaults={}, has_parameter_defaults=True),
        ],
    )
    assert (await group(database, flow))["schedule"] == {
        "type": "Schedule",
        "clocks": [
            {"type": "CronClock", "cron": "0 * * * *", "start_date": None},
            {"type": "CronClock", "cron": "1 * * * *", "parameter_defaults": {}, "start_date": None},
            {"type": "IntervalClock", "interval": 60_000_000, "start_date": None},
            {"type": "IntervalClock", "interval": 90_000_000, "parameter_defaults": {"a": 1}, "start_date": None},
        ],
    }


async def test_a_schedule_with_a_timezone(context: ActionContext, database: Database, flow: Flow) -> None:
    assert await flow_groups.set_flow_group_schedule(
        replace(context, clock=lambda: NOW),
        flow_group_id=flow.flow_group_id,
        cron_clocks=[CronClockInput(cron="0 * * * *")],
        timezone="America/New_York",
    )
    start = {"dt": "2020-07-01T08:00:00.000000", "tz": "America/New_York"}
    assert (await group(database, flow))["schedule"]["clocks"][0]["start_date"] == start


@pytest.mark.parametrize(
    ("clocks", "text"),
    [
        ({"cron_clocks": [CronClockInput(cron="not cron")]}, "cron"),
        ({"interval_clocks": [IntervalClockInput(interval=59)]}, "interval"),
        ({"interval_clocks": [IntervalClockInput(interval=-60)]}, "interval"),
        ({"cron_clocks": [CronClockInput(cron="0 * * * *")], "timezone": "Mars/Olympus"}, "(?i)timezone"),
        ({"cron_clocks": [], "timezone": ""}, "(?i)timezone"),
    ],
)
async def test_a_bad_schedule_changes_nothing(
    context: ActionContext, database: Database, flow: Flow, clocks: dict[str, Any], text: str
) -> None:
    await flows.set_schedule_active(context, flow_id=flow.id)
    before, planned = await group(database, flow), await run_ids(database)
    with pytest.raises(InvalidInput, match=text):
        await flow_groups.set_flow_group_schedule(context, flow_group_id=flow.flow_group_id, **clocks)
    assert (await group(database, flow), await run_ids(database)) == (before, planned)


async def test_a_new_schedule_replaces_anything(context: ActionContext, database: Database, flow: Flow) -> None:
    await execute(database, "UPDATE flow_group SET schedule = $1", {"garbage": True})
    assert await flow_groups.set_flow_group_schedule(context, flow_group_id=flow.flow_group_id)
    assert (await group(database, flow))["schedule"] == {"type": "Schedule", "clocks": []}


async def test_a_new_schedule_plans_again_at_once(context: ActionContext, database: Database, flow: Flow) -> None:
    await flows.set_schedule_active(context, flow_id=flow.id)
    manual = await create_flow_run(context, flow_id=flow.id)
    old = await run_ids(database)
    assert await flow_groups.set_flow_group_schedule(
        context, flow_group_id=flow.flow_group_id, cron_clocks=[CronClockInput(cron="17 3 * * *")]
    )
    new = await run_ids(database)
    assert new & old == {manual}
    planned = await fetch_all(database, "SELECT scheduled_start_time AS at FROM flow_run WHERE auto_scheduled")
    assert len(planned) == 10
    assert {(run["at"].hour, run["at"].minute) for run in planned} == {(3, 17)}


async def test_a_new_schedule_turns_nothing_on(context: ActionContext, database: Database, flow: Flow) -> None:
    manual = await create_flow_run(context, flow_id=flow.id)
    planned = await make_flow_run(database, flow, state="Scheduled", auto_scheduled=True)
    assert planned in await run_ids(database)
    assert await flow_groups.set_flow_group_schedule(
        context, flow_group_id=flow.flow_group_id, cron_clocks=[CronClockInput(cron="0 * * * *")]
    )
    assert await run_ids(database) == {manual}
    assert not (await fetch_one(database, "flow", flow.id))["is_schedule_active"]


async def test_removing_the_schedule(context: ActionContext, database: Database, flow: Flow) -> None:
    await flows.set_schedule_active(context, flow_id=flow.id)
    manual = await create_flow_run(context, flow_id=flow.id)
    assert await flow_groups.delete_flow_group_schedule(context, flow_group_id=flow.flow_group_id)
    assert await run_ids(database) == {manual}
    assert (await fetch_one(database, "flow", flow.id))["is_schedule_active"]


async def test_settings_are_set_kept_and_removed(context: ActionContext, database: Database, flow: Flow) -> None:
    await execute(database, "UPDATE flow_group SET settings = $1", {"other": 1, "lazarus_enabled": True})

    async def change(settings: dict[str, Any]) -> Any:
        assert await flow_groups.set_flow_group_settings(context, flow_group_id=flow.flow_group_id, settings=settings)
        return (await group(database, flow))["settings"]

    assert await change({"lazarus_enabled": False, "resurrection_attempt_limit": 0}) == {
        "other": 1,
        "lazarus_enabled": False,
        "resurrection_attempt_limit": 0,
    }
    assert await change({"lazarus_enabled": None, "heartbeat_timeout_seconds": 0.5, "late_policy": None}) == {
        "other": 1,
        "resurrection_attempt_limit": 0,
        "heartbeat_timeout_seconds": 0.5,
    }
    assert await change({"resurrection_attempt_limit": None, "heartbeat_timeout_seconds": None}) == {"other": 1}
    assert await change({}) == {"other": 1}
    await execute(database, "UPDATE flow_group SET settings = '[1]'")
    assert await change({"late_policy": "latest_only"}) == {"late_policy": "latest_only"}


async def test_the_heartbeat_setting_reaches_the_clients(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    """§9.4: they look at the flow's settings; with the setting removed, flows say nothing again."""
    await execute(database, "UPDATE flow SET settings = $1", {"mine": 1})
    for enabled, told in (
        (False, {"mine": 1, "heartbeat_enabled": False}),
        (True, {"mine": 1, "heartbeat_enabled": True}),
        (None, {"mine": 1}),
    ):
        assert await flow_groups.set_flow_group_settings(
            context, flow_group_id=flow.flow_group_id, settings={"heartbeat_enabled": enabled}
        )
        assert (await fetch_one(database, "flow", flow.id))["settings"] == told
        stored = (await group(database, flow))["settings"]
        assert (stored.get("heartbeat_enabled"), stored.get("disable_heartbeat")) == (
            enabled,
            None if enabled is None else not enabled,
        )
        assert len({"heartbeat_enabled", "disable_heartbeat"} & set(stored)) == (0 if enabled is None else 2)
    before = await fetch_one(database, "flow", flow.id)
    await flow_groups.set_flow_group_settings(
        context, flow_group_id=flow.flow_group_id, settings={"lazarus_enabled": False}
    )
    assert await fetch_one(database, "flow", flow.id) == before


@pytest.mark.parametrize(
    "settings", [None, [], "x", {"nonsense": 1}, {"lazarus_enabled": False, "late_policy": "never"}]
)
async def test_bad_settings_change_nothing(
    context: ActionContext, database: Database, flow: Flow, settings: Any
) -> None:
    before = await group(database, flow)
    with pytest.raises(InvalidInput):
        await flow_groups.set_flow_group_settings(context, flow_group_id=flow.flow_group_id, settings=settings)
    assert await group(database, flow) == before


async def second_version(database: Database, flow: Flow) -> Flow:
    """Another active flow of the same group."""
    async with database.transaction() as session:
        tenant = factories.Tenant(id=flow.tenant_id, project_id=flow.project_id)
        return await factories.make_flow(
            session, tenant=tenant, flow_group_id=flow.flow_group_id, schedule=HOURLY, is_schedule_active=True
        )


@pytest.mark.parametrize("removes", [True, False])
async def test_planned_runs_of_every_flow_of_the_group_go(
    context: ActionContext, database: Database, flow: Flow, removes: bool
) -> None:
    """§2.5: planned runs that are exactly Scheduled; runs made by hand, other states and other groups stay."""
    other = await second_version(database, flow)
    stranger = await make_flow(database)
    kept = {
        await make_flow_run(database, other, state="Scheduled"),
        await make_flow_run(database, other, state="Submitted", auto_scheduled=True),
        await make_flow_run(database, flow, state="Retrying", auto_scheduled=True),
        await make_flow_run(database, stranger, state="Scheduled", auto_scheduled=True),
    }
    gone = {await make_flow_run(database, each, state="Scheduled", auto_scheduled=True) for each in (flow, other)}
    verb = flow_groups.delete_flow_group_schedule if removes else flow_groups.set_flow_group_schedule
    assert await verb(context, flow_group_id=flow.flow_group_id) is True
    left = await run_ids(database)
    assert kept <= left
    assert not gone & left


async def test_deleting(context: ActionContext, database: Database, flow: Flow) -> None:
    await make_flow_run(database, flow)
    await make_flow_run(database, await second_version(database, flow))
    assert await flow_groups.delete_flow_group(context, flow_group_id=flow.flow_group_id) is True
    for table in ("flow_group", "flow", "flow_run", "task"):
        assert await fetch_all(database, f"SELECT 1 FROM {table}") == [], table
    assert await fetch_one(database, "project", flow.project_id)


async def test_unknown_groups(context: ActionContext) -> None:
    unknown = uuid4()
    answers = [
        await flow_groups.set_flow_group_default_parameters(context, flow_group_id=unknown, parameters={}),
        await flow_groups.set_flow_group_description(context, flow_group_id=unknown, description="x"),
        await flow_groups.set_flow_group_labels(context, flow_group_id=unknown, labels=[]),
        await flow_groups.set_flow_group_run_config(context, flow_group_id=unknown, run_config={}),
        await flow_groups.set_flow_group_settings(
            context, flow_group_id=unknown, settings={"heartbeat_enabled": False}
        ),
        await flow_groups.set_flow_group_schedule(context, flow_group_id=unknown),
        await flow_groups.delete_flow_group_schedule(context, flow_group_id=unknown),
        await flow_groups.delete_flow_group(context, flow_group_id=unknown),
    ]
    assert answers == [False] * 8


@pytest.mark.parametrize("missing", [None, ""])
async def test_ids_are_required(context: ActionContext, missing: Any) -> None:
    """§0.4: a null or empty id is an error in every verb."""
    for call in (
        flow_groups.set_flow_group_default_parameters(context, flow_group_id=missing, parameters={}),
        flow_groups.set_flow_group_description(context, flow_group_id=missing, description="x"),
        flow_groups.set_flow_group_labels(context, flow_group_id=missing, labels=[]),
        flow_groups.set_flow_group_run_config(context, flow_group_id=missing, run_config={}),
        flow_groups.set_flow_group_settings(context, flow_group_id=missing, settings={}),
        flow_groups.set_flow_group_schedule(context, flow_group_id=missing),
        flow_groups.delete_flow_group_schedule(context, flow_group_id=missing),
        flow_groups.delete_flow_group(context, flow_group_id=missing),
    ):
        with pytest.raises(InvalidInput, match="flow_group_id"):
            await call
