"""get_runs_in_queue (actions.md §2.8)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.queue import get_runs_in_queue
from server_core.actions.runs import create_flow_run
from server_core.actions.states import FlowRunStateInput, TaskRunStateInput, set_flow_run_states, set_task_run_states
from server_core.config import Settings
from server_core.db.session import Database
from server_core.store.queue import _FETCH_DUE_RUNS
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_one, insert, make_flow, make_flow_run, task_runs_of

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)
ALL_STATES = ["Pending", "Submitted", "Cancelling", "Success", "Failed", "Cancelled"]


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1)


async def set_state(context: ActionContext, run_id: UUID, **state: Any) -> None:
    await set_flow_run_states(context, states=[FlowRunStateInput(flow_run_id=run_id, state=state)])


async def set_task_state(context: ActionContext, database: Database, run_id: UUID, **state: Any) -> None:
    [task_run] = await task_runs_of(database, run_id)
    await set_task_run_states(context, states=[TaskRunStateInput(task_run_id=task_run, state=state)])


@pytest.mark.parametrize("state", ["Scheduled", "Paused", "Queued", "Resume", "Retrying"])
async def test_runs_that_wait_to_start(context: ActionContext, database: Database, flow: Flow, state: str) -> None:
    """§10: what is due later than asked is not there."""
    run = await make_flow_run(database, flow)
    await set_state(context, run, type=state, start_time=NOW.isoformat())
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == [run]
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == [run]
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, before=NOW) == [run]
    before = NOW - timedelta(microseconds=1)
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, before=before) == []
    assert await get_runs_in_queue(context, tenant_id=uuid4()) == []


@pytest.mark.parametrize("state", [*ALL_STATES, "Running"])
async def test_runs_that_do_not_wait(context: ActionContext, database: Database, flow: Flow, state: str) -> None:
    """§10: a run leaves the queue with its state, or with its task."""
    run = await create_flow_run(context, flow_id=flow.id)
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == [run]
    await set_state(context, run, type=state)
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == []


async def test_a_paused_run_without_a_start_time_is_not_due(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    run = await create_flow_run(context, flow_id=flow.id)
    await set_state(context, run, type="Paused")
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == []


async def test_a_paused_task_without_a_start_time_is_not_due(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    """§2.8: with one it is, as any other task that waits."""
    run = await create_flow_run(context, flow_id=flow.id)
    await set_state(context, run, type="Running")
    await set_task_state(context, database, run, type="Paused")
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == []
    await set_task_state(context, database, run, type="Paused", start_time=NOW.isoformat())
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == [run]


@pytest.mark.parametrize("state", ["Scheduled", "Queued", "Resume", "Retrying"])
async def test_running_runs_with_a_due_task(context: ActionContext, database: Database, flow: Flow, state: str) -> None:
    """§10: a run leaves the queue with its state, or with its task."""
    run = await create_flow_run(context, flow_id=flow.id)
    await set_state(context, run, type="Running")
    await set_task_state(context, database, run, type=state, start_time=NOW.isoformat())
    scheduled = await create_flow_run(context, flow_id=flow.id)
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == [scheduled, run]
    before = NOW - timedelta(microseconds=1)
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, before=before) == []
    await set_task_state(context, database, run, type="Success")
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == [scheduled]


async def test_tasks_of_runs_that_are_not_running_do_not_count(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    run = await create_flow_run(context, flow_id=flow.id)
    await set_task_state(context, database, run, type="Retrying", start_time=NOW.isoformat())
    for state in ALL_STATES:
        await set_state(context, run, type=state)
        if state == "Cancelled":
            break
        assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == []


async def test_longest_due_first_and_no_more_than_the_limit(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    """§10: what is due later than asked is not there."""
    runs = [
        await create_flow_run(context, flow_id=flow.id, scheduled_start_time=NOW + timedelta(minutes=n))
        for n in reversed(range(30))
    ][::-1]
    running = await create_flow_run(context, flow_id=flow.id)
    await set_state(context, running, type="Running")
    await set_task_state(context, database, running, type="Retrying", start_time=NOW.isoformat())
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == runs[:25]
    wide = replace(context, settings=replace(Settings(), queued_runs_returned_limit=100))
    assert await get_runs_in_queue(wide, tenant_id=flow.tenant_id) == [*runs, running]
    before = NOW + timedelta(minutes=9)
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, before=before) == [*runs[:10], running]


@pytest.mark.parametrize(
    ("run_labels", "agent_labels", "given"),
    [
        ([], [], True),
        ([], None, True),
        ([], ["a"], False),
        (["a"], [], False),
        (["a"], ["a"], True),
        (["a"], ["a", "b"], True),
        (["a", "b"], ["b", "a"], True),
        (["a", "b"], ["a"], False),
        (["a", "b"], ["b", "c"], False),
        (["a"], ["b"], False),
        (["a", "a"], ["a"], True),
    ],
)
async def test_labels(
    context: ActionContext,
    database: Database,
    flow: Flow,
    run_labels: list[str],
    agent_labels: list[str] | None,
    given: bool,
) -> None:
    run = await create_flow_run(context, flow_id=flow.id, labels=run_labels)
    expected = [run] if given else []
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, labels=agent_labels) == expected
    await set_state(context, run, type="Running")
    await set_task_state(context, database, run, type="Retrying", start_time=NOW.isoformat())
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, labels=agent_labels) == expected


@pytest.mark.parametrize("environment", [{}, {"labels": None}, None])
async def test_odd_environments_do_no_harm(
    context: ActionContext, database: Database, environment: dict[str, Any] | None
) -> None:
    """§10: odd environments do no harm."""
    flow = await make_flow(database, environment=environment)
    run = await create_flow_run(context, flow_id=flow.id)
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == [run]


async def test_runs_nobody_can_take_starve_no_others(context: ActionContext, database: Database, flow: Flow) -> None:
    async with database.transaction() as session:
        await session.execute(
            """
            INSERT INTO flow_run (tenant_id, flow_id, labels, state, state_start_time)
            SELECT $1, $2, '["x"]', 'Scheduled', $3::timestamptz - n * interval '1 second'
            FROM generate_series(1, 200) AS n
            """,
            flow.tenant_id,
            flow.id,
            NOW,
        )
    run = await create_flow_run(context, flow_id=flow.id, labels=["a"])
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, labels=["a"]) == [run]


async def test_a_poll_shows_that_the_agent_lives(context: ActionContext, database: Database, flow: Flow) -> None:
    agent = await insert(database, "agent", tenant_id=flow.tenant_id)
    other = await insert(database, "agent", tenant_id=flow.tenant_id, last_queried=None)
    run = await create_flow_run(context, flow_id=flow.id, scheduled_start_time=NOW)
    context = replace(context, clock=lambda: NOW)
    await get_runs_in_queue(context, tenant_id=flow.tenant_id)
    assert (await fetch_one(database, "agent", agent))["last_queried"] != NOW
    async with recorded(database) as recorder:
        assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, agent_id=agent) == [run]
    assert len(recorder.sent) == 1
    assert (await fetch_one(database, "agent", agent))["last_queried"] == NOW
    assert (await fetch_one(database, "agent", other))["last_queried"] is None
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, agent_id=uuid4()) == [run]
    await execute(database, "DELETE FROM agent")
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, agent_id=agent) == [run]


EXPLAIN = "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON) "


def rows_read(node: dict[str, Any]) -> float:
    """Return how many rows of tables a plan read, those it threw away included."""
    read = 0.0
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        kept = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        read = kept * node["Actual Loops"]
    return read + sum(rows_read(each) for each in node.get("Plans", ()))


async def test_a_poll_reads_what_it_answers(context: ActionContext, database: Database, flow: Flow) -> None:
    """§2.8, demand 14: runs that nobody can take, are planned for later or are over cost a poll nothing.

    Nor does what is being deleted, however much that is.
    """
    run = await create_flow_run(context, flow_id=flow.id, labels=["a", "b"])
    running = await create_flow_run(context, flow_id=flow.id, labels=["a"])
    await set_state(context, running, type="Running")
    await set_task_state(context, database, running, type="Retrying", start_time=NOW.isoformat())
    empty_flow = (await make_flow(database)).id  # whose runs get no task runs
    for state, labels, due in (
        ("Scheduled", ["x"], NOW),
        ("Paused", ["x", "z"], NOW),
        ("Scheduled", [], NOW),
        ("Scheduled", ["a"], datetime(2999, 1, 1, tzinfo=UTC)),
        ("Success", ["a"], None),
    ):
        await execute(
            database,
            """
            INSERT INTO flow_run (tenant_id, flow_id, labels, state, state_start_time)
            SELECT $1, $2, $3, $4, $5 FROM generate_series(1, 4000)
            """,
            *(flow.tenant_id, empty_flow, labels, state, due),
        )
    await execute(
        database,
        """
        INSERT INTO task_run (tenant_id, flow_run_id, task_id, state, state_start_time)
        SELECT tenant_id, id, $1, 'Retrying', $2 FROM flow_run WHERE state = 'Success'
        """,
        *(flow.task_ids[0], NOW),
    )
    await execute(
        database,
        "INSERT INTO pending_removal (id, kind) SELECT gen_random_uuid(), 'flow' FROM generate_series(1, 4000)",
    )
    await execute(database, "ANALYZE flow_run, task_run, pending_removal")
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id, labels=["a", "b"]) == [run, running]
    asked = (flow.tenant_id, datetime.now(UTC), ["a", "b"], 25, datetime.now(UTC), None)
    async with database.read() as session:
        explained = await session.fetch_value(EXPLAIN + _FETCH_DUE_RUNS, *asked)
    assert rows_read(explained[0]["Plan"]) <= 6
