"""Planning the runs of schedules: the verb and the loop on a real Postgres (actions.md §5.2)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.flows import set_schedule_inactive
from server_core.actions.schedules import schedule_flow_runs, schedule_runs_in
from server_core.config import Settings, TowelSettings
from server_core.db.session import Database
from services.towel.loops.scheduler import Scheduler
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, make_flow
from tests.support.waiting import wait_until

NOW = datetime(2020, 1, 1, 13, 30, tzinfo=UTC)
HOUR = 3_600_000_000


def schedule(*clocks: dict[str, Any]) -> dict[str, Any]:
    return {"clocks": list(clocks)}


def interval(microseconds: int = HOUR, **fields: Any) -> dict[str, Any]:
    return {"type": "IntervalClock", "interval": microseconds, "start_date": None, **fields}


HOURLY = schedule(interval())


@pytest.fixture
def context(database: Database) -> ActionContext:
    return ActionContext(database=database, clock=lambda: NOW)


async def active(database: Database, *clocks: dict[str, Any], **columns: Any) -> Flow:
    columns = {"schedule": schedule(*(clocks or (interval(),))), "is_schedule_active": True, **columns}
    return await make_flow(database, **columns)


async def runs_of(database: Database, flow: Flow) -> list[dict[str, Any]]:
    return await fetch_all(
        database, "SELECT * FROM flow_run WHERE flow_id = $1 ORDER BY scheduled_start_time, idempotency_key", flow.id
    )


async def test_ten_runs_then_none(context: ActionContext, database: Database) -> None:
    flow = await active(database, tasks=2)
    assert len(await schedule_flow_runs(context, flow_ids=[flow.id])) == 10
    assert await schedule_flow_runs(context, flow_ids=[flow.id]) == []
    runs = await runs_of(database, flow)
    assert [run["scheduled_start_time"] for run in runs] == [
        NOW.replace(minute=0) + timedelta(hours=hour) for hour in range(1, 11)
    ]
    assert {(run["state"], run["version"], run["auto_scheduled"]) for run in runs} == {("Scheduled", 1, True)}
    assert all(run["state_start_time"] == run["scheduled_start_time"] for run in runs)
    assert runs[0]["idempotency_key"] == "auto-scheduled:2020-01-01T14:00:00+00:00"
    [counted] = await fetch_all(database, "SELECT count(*) AS task_runs FROM task_run")
    assert counted["task_runs"] == 20


async def test_the_window_moves_on(context: ActionContext, database: Database) -> None:
    flow = await active(database)
    await schedule_flow_runs(context, flow_ids=[flow.id])
    later = replace(context, clock=lambda: NOW + timedelta(hours=3))
    assert len(await schedule_flow_runs(later, flow_ids=[flow.id])) == 3
    assert len(await runs_of(database, flow)) == 13


@pytest.mark.parametrize(
    "columns",
    [{"is_schedule_active": False}, {"archived": True}, {"schedule": None}, {"schedule": {"clocks": [{"type": "X"}]}}],
)
async def test_nothing_is_planned(context: ActionContext, database: Database, columns: dict[str, Any]) -> None:
    flow = await active(database, **columns)
    assert await schedule_flow_runs(context, flow_ids=[flow.id]) == []
    assert await Scheduler().run_once(context) == {"flow_runs": 0}


async def test_an_unknown_flow_is_left_out(context: ActionContext) -> None:
    assert await schedule_flow_runs(context, flow_ids=[uuid4()]) == []


async def test_the_groups_schedule_wins(context: ActionContext, database: Database) -> None:
    daily = schedule({"type": "CronClock", "cron": "0 9 * * *", "start_date": None})
    flow = await active(database, group={"schedule": daily})
    await schedule_flow_runs(context, flow_ids=[flow.id])
    assert {run["scheduled_start_time"].hour for run in await runs_of(database, flow)} == {9}
    only_group = await active(database, schedule=None, group={"schedule": HOURLY})
    assert len(await schedule_flow_runs(context, flow_ids=[only_group.id])) == 10


async def test_events_with_attributes(context: ActionContext, database: Database) -> None:
    """Same time, other attributes: both run. Identical events once. A second pass adds none, and returns the same."""
    flow = await active(
        database,
        interval(parameter_defaults={"x": "a"}),
        interval(labels=[]),
        interval(labels=["q", "b"], parameter_defaults={"x": "b"}),
        interval(),
        interval(),
        run_config={"labels": ["z", "flow"]},
        parameters=[{"name": "x", "slug": "x", "required": True, "default": None}],
        group={"default_parameters": {"x": "group"}},
    )
    first = await schedule_flow_runs(context, flow_ids=[flow.id], max_runs=8)
    runs = await runs_of(database, flow)
    assert [(run["parameters"], run["labels"]) for run in runs if run["scheduled_start_time"].hour == 14] == [
        ({"x": "group"}, ["flow", "z"]),
        ({"x": "a"}, ["flow", "z"]),
        ({"x": "group"}, []),
        ({"x": "b"}, ["b", "q"]),
    ]
    assert "auto-scheduled:2020-01-01T14:00:00+00:00:219b62d63bdbbd5bcf0c47c997d3dfec" in {
        run["idempotency_key"] for run in runs
    }
    before = await fetch_all(database, "SELECT id, updated FROM flow_run ORDER BY id")
    again = await schedule_flow_runs(context, flow_ids=[flow.id], max_runs=8)
    assert set(again) <= set(first)
    assert await fetch_all(database, "SELECT id, updated FROM flow_run ORDER BY id") == before


async def test_a_run_of_the_legacy_server_is_not_planned_twice(context: ActionContext, database: Database) -> None:
    """A legacy crash left a run without the flag; the key finds it, and the flag is set."""
    flow = await active(database)
    await schedule_flow_runs(context, flow_ids=[flow.id])
    await execute(database, "UPDATE flow_run SET auto_scheduled = false")
    assert len(await schedule_flow_runs(context, flow_ids=[flow.id])) == 10
    runs = await runs_of(database, flow)
    assert len(runs) == 10
    assert all(run["auto_scheduled"] for run in runs)


async def test_the_broken_flow_does_not_stop_its_page(
    context: ActionContext, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    good = [await active(database) for _ in range(3)]
    needs = [{"name": "x", "slug": "x", "required": True, "default": None}]
    broken = [
        await active(database, schedule={"clocks": [{"type": "CronClock", "cron": "nonsense"}]}),
        await active(database, schedule=["not", "an", "object"]),
        await active(database, parameters=needs),
        await active(database, run_config={"labels": "not a list"}),
    ]
    assert await Scheduler().run_once(context) == {"flow_runs": 30}
    assert {len(await runs_of(database, flow)) for flow in good} == {10}
    assert {len(await runs_of(database, flow)) for flow in broken} == {0}
    assert str(broken[0].id) in caplog.text


async def test_what_the_database_refuses_is_left_out(
    context: ActionContext, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of ours sends such a row, but a constraint of the operator's may refuse one: the others are planned."""
    flows = [await active(database) for _ in range(5)]
    bad = flows[3]
    await execute(database, f"ALTER TABLE flow_run ADD CONSTRAINT refused CHECK (flow_id <> '{bad.id}')")
    try:
        assert await Scheduler().run_once(context) == {"flow_runs": 40}
    finally:
        await execute(database, "ALTER TABLE flow_run DROP CONSTRAINT refused")
    assert await runs_of(database, bad) == []
    assert f"flow {bad.id} could not be scheduled" in caplog.text


async def test_run_once_goes_through_all_pages(database: Database) -> None:
    settings = Settings(towel=TowelSettings(max_scheduled_runs_per_flow=2))
    context = ActionContext(database=database, settings=settings, clock=lambda: NOW)
    flows = [await active(database) for _ in range(7)]
    assert await Scheduler(batch=3).run_once(context) == {"flow_runs": 14}
    assert await Scheduler(batch=3).run_once(context) == {"flow_runs": 0}
    assert {len(await runs_of(database, flow)) for flow in flows} == {2}


async def test_statements_do_not_grow_with_the_flows(context: ActionContext, database: Database) -> None:
    clocks = (interval(), interval(labels=["a"]))
    first, few, many = [[(await active(database, *clocks)).id for _ in range(count)] for count in (1, 2, 30)]
    counts = []
    async with recorded(database) as recorder:
        for flow_ids in (first, few, many, many):  # with the first the driver also asks for the types it does not know
            recorder.clear()
            await schedule_flow_runs(context, flow_ids=flow_ids)
            counts.append(len(recorder.statements))
    assert counts[1] == counts[2] == 5
    assert counts[3] == 2


async def test_three_schedulers_at_once_make_each_run_once(context: ActionContext, database: Database) -> None:
    flows = [await active(database, interval(), interval(parameter_defaults={"n": n})) for n in range(10)]
    counts = await asyncio.gather(*(Scheduler(batch=4).run_once(context) for _ in range(3)))
    assert sum(count["flow_runs"] for count in counts) == 100
    assert {len(await runs_of(database, flow)) for flow in flows} == {10}
    states = await fetch_all(database, "SELECT flow_run_id FROM flow_run_state")
    assert len(states) == len({state["flow_run_id"] for state in states}) == 100


async def test_three_schedulers_at_once_repeat_no_run_of_a_legacy_server(
    context: ActionContext, database: Database
) -> None:
    """§5.2, demand 12: of two clocks in an adopted database, ten events are runs already, under the legacy keys."""
    clocks = interval(), interval(parameter_defaults={"x": "a"})
    flows = [await active(database, *clocks, tasks=1) for _ in range(10)]
    for hour in range(14, 19):
        start = NOW.replace(hour=hour, minute=0)
        key = f"auto-scheduled:2020-01-01T{hour}:00:00+00:00"
        for each in (key, f"{key}:219b62d63bdbbd5bcf0c47c997d3dfec"):
            await execute(
                database,
                """
                INSERT INTO flow_run
                    (flow_id, tenant_id, scheduled_start_time, auto_scheduled, idempotency_key, state, version)
                SELECT id, tenant_id, $1, true, $2, 'Scheduled', 1 FROM flow
                """,
                start,
                each,
            )
    before = await fetch_all(database, "SELECT id, updated FROM flow_run ORDER BY id")
    assert len(before) == 100
    counts = await asyncio.gather(*(Scheduler(batch=4).run_once(context) for _ in range(3)))
    assert [count["flow_runs"] for count in counts] == [0, 0, 0]
    assert await fetch_all(database, "SELECT id, updated FROM flow_run ORDER BY id") == before
    assert len(flows) * 10 == len(before)


async def test_a_scheduler_killed_before_its_commit_leaves_nothing(context: ActionContext, database: Database) -> None:
    flow = await active(database)

    async def killed() -> None:
        async with database.transaction() as session:
            scheduled = await schedule_runs_in(session, context, flow_ids=[flow.id], max_runs=10)
            assert scheduled.created == 10
            await session.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Exception, match="cannot be reached"):
        await killed()
    assert await runs_of(database, flow) == []
    assert len(await schedule_flow_runs(context, flow_ids=[flow.id])) == 10


async def test_turning_a_schedule_off_meanwhile_wins(context: ActionContext, database: Database) -> None:
    """Whoever turns it off waits for the pass under way, and then finds what it planned."""
    flow = await active(database)
    async with database.transaction() as session:
        scheduled = await schedule_runs_in(session, context, flow_ids=[flow.id], max_runs=10)
        off = asyncio.create_task(set_schedule_inactive(context, flow_id=flow.id))
        await until_somebody_waits(database)
        assert scheduled.created == 10
    assert await off
    assert await runs_of(database, flow) == []


async def test_a_schedule_that_changes_meanwhile_is_not_planned(context: ActionContext, database: Database) -> None:
    flow = await active(database, group={"schedule": HOURLY})
    daily = schedule({"type": "CronClock", "cron": "0 9 * * *", "start_date": None})
    async with database.transaction() as session:
        await session.execute("UPDATE flow_group SET schedule = $2::jsonb WHERE id = $1", flow.flow_group_id, daily)
        planning = asyncio.create_task(schedule_flow_runs(context, flow_ids=[flow.id]))
        await until_somebody_waits(database)
    assert await planning == []
    await schedule_flow_runs(context, flow_ids=[flow.id])
    assert {run["scheduled_start_time"].hour for run in await runs_of(database, flow)} == {9}


async def test_reactivation_makes_the_same_times(context: ActionContext, database: Database) -> None:
    """§2.4: turning on again makes the same times, in any zone."""
    start = {"dt": "2020-01-01T09:17:00", "tz": "America/New_York"}
    flow = await active(database, {"type": "CronClock", "cron": "10 0 * * *", "start_date": start})
    await schedule_flow_runs(context, flow_ids=[flow.id])
    first = [run["scheduled_start_time"] for run in await runs_of(database, flow)]
    await execute(database, "DELETE FROM flow_run")
    await schedule_flow_runs(context, flow_ids=[flow.id])
    assert [run["scheduled_start_time"] for run in await runs_of(database, flow)] == first
    assert {(time.hour, time.minute) for time in first} == {(5, 10)}


async def until_somebody_waits(database: Database) -> None:
    """Return when a statement waits for a lock."""

    async def waiting() -> bool:
        return bool(
            await fetch_all(
                database,
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
            )
        )

    await wait_until(waiting, seconds=10, what="a statement waits for a lock")
