"""What clients send most costs one round trip, for a hundred items as for one (actions.md §2.7–2.9, §3.3)."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.actions import logs, runs, states
from server_core.actions.context import ActionContext
from server_core.actions.queue import get_runs_in_queue
from server_core.db.session import Database
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, insert, make_flow, make_flow_run, task_runs_of

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)
CHILDREN = 100

Verb = Callable[[ActionContext, "World", int], Awaitable[Any]]


class World:
    """A Running flow run with a task run and its hundred children, and a hundred runs that wait."""

    def __init__(self, flow: Flow, run: UUID, task_runs: list[UUID], waiting: list[UUID], agent: UUID) -> None:
        self.flow = flow
        self.run = run
        self.task_runs = task_runs
        self.waiting = waiting
        self.agent = agent


@pytest.fixture
async def world(context: ActionContext, database: Database) -> World:
    flow = await make_flow(database, tasks=1)
    run = await make_flow_run(database, flow)
    running = states.FlowRunStateInput(flow_run_id=run, state={"type": "Running"})
    await states.set_flow_run_states(context, states=[running])
    await execute(
        database,
        "INSERT INTO task_run (tenant_id, flow_run_id, task_id, map_index)"
        " SELECT $1, $2, $3, n FROM generate_series(1, $4) AS n",
        *(flow.tenant_id, run, flow.task_ids[0], CHILDREN),
    )
    await execute(
        database,
        "INSERT INTO flow_run (tenant_id, flow_id, state, state_start_time)"
        " SELECT $1, $2, 'Scheduled', $3 FROM generate_series(1, $4)",
        *(flow.tenant_id, flow.id, NOW, CHILDREN),
    )
    rows = await fetch_all(database, "SELECT id FROM flow_run WHERE state = 'Scheduled'")
    waiting = [row["id"] for row in rows]
    agent = await insert(database, "agent", tenant_id=flow.tenant_id)
    return World(flow, run, await task_runs_of(database, run), waiting, agent)


async def find_task_run(context: ActionContext, world: World, _: int) -> None:
    await runs.get_or_create_task_run_info(context, flow_run_id=world.run, task_id=world.flow.task_ids[0])


async def make_task_run(context: ActionContext, world: World, count: int) -> None:
    await runs.get_or_create_task_run_info(
        context, flow_run_id=world.run, task_id=world.flow.task_ids[0], map_index=1000 + count
    )


def set_task_runs(state: str) -> Verb:
    async def verb(context: ActionContext, world: World, count: int) -> None:
        entries = [
            states.TaskRunStateInput(task_run_id=task_run, state={"type": state})
            for task_run in world.task_runs[:count]
        ]
        await states.set_task_run_states(context, states=entries)

    return verb


def set_flow_runs(state: str) -> Verb:
    async def verb(context: ActionContext, world: World, count: int) -> None:
        entries = [states.FlowRunStateInput(flow_run_id=run, state={"type": state}) for run in world.waiting[:count]]
        await states.set_flow_run_states(context, states=entries)

    return verb


async def beat_flow_run(context: ActionContext, world: World, _: int) -> None:
    await runs.update_flow_run_heartbeat(context, flow_run_id=world.run)


async def beat_task_run(context: ActionContext, world: World, _: int) -> None:
    await runs.update_task_run_heartbeat(context, task_run_id=world.task_runs[0])


async def write_logs(context: ActionContext, world: World, count: int) -> None:
    lines = [
        logs.LogEntry(flow_run_id=world.run, timestamp=NOW + timedelta(seconds=n), message="m")
        for n in range(5 * count)
    ]
    await logs.write_run_logs(context, logs=lines)


async def poll(context: ActionContext, world: World, _: int) -> None:
    assert len(await get_runs_in_queue(context, tenant_id=world.flow.tenant_id, agent_id=world.agent)) == 25


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param(find_task_run, id="find-task-run"),
        pytest.param(make_task_run, id="make-task-run"),
        pytest.param(set_task_runs("Running"), id="task-runs-running"),
        pytest.param(set_task_runs("Success"), id="task-runs-success"),
        pytest.param(set_flow_runs("Running"), id="flow-runs-running"),
        pytest.param(set_flow_runs("Success"), id="flow-runs-success"),
        pytest.param(beat_flow_run, id="flow-run-heartbeat"),
        pytest.param(beat_task_run, id="task-run-heartbeat"),
        pytest.param(write_logs, id="logs"),
        pytest.param(poll, id="poll"),
    ],
)
async def test_one_round_trip(context: ActionContext, database: Database, world: World, verb: Verb) -> None:
    """§2.7–2.9, §3.3: one database round trip each where the rules allow it, never one per item."""
    for count in (1, CHILDREN):
        async with recorded(database):
            await verb(context, world, count)  # asyncpg looks up array types once per connection
        async with recorded(database) as recorder:
            await verb(context, world, count)
        assert len(recorder.sent) == 1, recorder.sent
