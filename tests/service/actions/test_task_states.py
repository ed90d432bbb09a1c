"""set_task_run_states on a real Postgres (actions.md §3.3, §3.5)."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from server_core import states
from server_core.actions.context import ActionContext
from server_core.actions.states import (
    StateReceipt,
    TaskRunStateInput,
    set_task_run_states,
)
from server_core.db.session import Database
from server_core.errors import StateUpdateFailed
from tests.service.actions.writing_states import at, set_flow, set_task
from tests.support.factories import Flow
from tests.support.rows import execute, fetch_all, fetch_one, history, make_flow, make_flow_run, task_runs_of

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)
LOCATION = {"type": "LocalResult", "location": "/x", "dir": "/", "__version__": "1.4.1"}


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=2)


@pytest.fixture
async def run(database: Database, flow: Flow) -> UUID:
    return await make_flow_run(database, flow)


async def test_a_task_run_state_is_stored(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    """§10: a task runs only while its run is Running."""
    [task_run, _] = await task_runs_of(database, run)
    await set_flow(context, run, "Running")
    assert await set_task(at(context, NOW), task_run, "Running", "Success") == [StateReceipt(id=task_run)] * 2
    rows = await history(database, "task_run", task_run)
    assert [(row["version"], row["state"]) for row in rows] == [(1, "Pending"), (2, "Running"), (3, "Success")]
    assert all(row["tenant_id"] == flow.tenant_id for row in rows)
    made = await fetch_one(database, "task_run", task_run)
    assert (made["version"], made["state"], made["heartbeat"], made["start_time"]) == (3, "Success", NOW, NOW)


async def test_unknown_task_run(context: ActionContext) -> None:
    with pytest.raises(StateUpdateFailed, match="State update failed"):
        await set_task(context, uuid4(), "Success")
    with pytest.raises(StateUpdateFailed, match="State update failed"):
        await set_task(context, uuid4(), "Running")


@pytest.mark.parametrize("flow_state", ["Pending", "Failed", "Success", "Cancelling", "Scheduled", None])
@pytest.mark.parametrize("task_state", ["Running", "Cancelling"])
async def test_no_task_runs_while_its_flow_does_not(
    context: ActionContext, database: Database, run: UUID, flow_state: str | None, task_state: str
) -> None:
    """§10: a task runs only while its run is Running."""
    [task_run, other] = await task_runs_of(database, run)
    if flow_state:
        await set_flow(context, run, flow_state)
    with pytest.raises(StateUpdateFailed, match=r"State update failed.*not in a running state"):
        await set_task_run_states(
            context,
            states=[
                TaskRunStateInput(task_run_id=task_run, state={"type": task_state}),
                TaskRunStateInput(task_run_id=other, state={"type": "Failed"}),
            ],
        )
    assert len(await history(database, "task_run", task_run)) == 1
    refused = await fetch_one(database, "task_run", task_run)
    assert (refused["state"], refused["version"], refused["heartbeat"]) == ("Pending", 1, None)
    assert (await fetch_one(database, "task_run", other))["state"] == "Failed"


@pytest.mark.parametrize("state", sorted(states.CONCRETE))
async def test_heartbeat_of_task_runs(context: ActionContext, database: Database, run: UUID, state: str) -> None:
    """§10: no other state is a heartbeat."""
    [task_run, other] = await task_runs_of(database, run)
    await set_flow(context, run, "Running")
    await set_task(at(context, NOW), task_run, state)
    expected = NOW if state in {"Running", "Cancelling"} else None
    assert (await fetch_one(database, "task_run", task_run))["heartbeat"] == expected
    assert (await fetch_one(database, "task_run", other))["heartbeat"] is None
    assert (await fetch_one(database, "flow_run", run))["heartbeat"] != NOW


async def test_cached_inputs_are_carried_over(context: ActionContext, database: Database, run: UUID) -> None:
    [task_run, other] = await task_runs_of(database, run)

    async def inputs(task_run_id: UUID) -> object:
        row = await fetch_one(database, "task_run", task_run_id)
        return row["serialized_state"].get("cached_inputs")

    held = {"type": "Retrying", "cached_inputs": {"x": LOCATION}}
    await set_task_run_states(context, states=[TaskRunStateInput(task_run_id=task_run, state=held)])
    await set_task(context, task_run, "Failed")
    assert await inputs(task_run) == {"x": LOCATION}
    replaced = {"type": "Failed", "cached_inputs": {"y": LOCATION}}
    await set_task_run_states(context, states=[TaskRunStateInput(task_run_id=task_run, state=replaced)])
    assert await inputs(task_run) == {"y": LOCATION}
    both = [TaskRunStateInput(task_run_id=other, state=state) for state in (held, {"type": "Failed"})]
    await set_task_run_states(context, states=both)
    assert await inputs(other) == {"x": LOCATION}
    assert (await history(database, "task_run", other))[-1]["serialized_state"]["cached_inputs"] == {"x": LOCATION}


async def test_concurrent_task_states(context: ActionContext, database: Database, run: UUID) -> None:
    await set_flow(context, run, "Running")
    ids = await task_runs_of(database, run)
    writers = [
        set_task_run_states(
            context,
            states=[
                TaskRunStateInput(task_run_id=task_run, state={"type": name})
                for task_run in (ids if n % 2 else reversed(ids))
                for name in ("Running", "Failed")
            ],
        )
        for n in range(12)
    ]
    await asyncio.gather(*writers)
    for task_run in ids:
        rows = await history(database, "task_run", task_run)
        assert [row["version"] for row in rows] == list(range(1, 26))


async def test_no_task_is_running_after_its_run_was_cancelled(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    runs = [await make_flow_run(database, flow) for _ in range(5)]
    for run in runs:
        await set_flow(context, run, "Running")
    writers = []
    for run in runs:
        ids = await task_runs_of(database, run)
        writers += [set_task(context, ids[0], "Running"), set_flow(context, run, "Cancelled")]
        writers += [set_task(context, ids[1], "Running"), set_task(context, ids[0], "Running")]
    await asyncio.gather(*writers, return_exceptions=True)
    rows = await fetch_all(database, "SELECT state FROM task_run")
    assert {row["state"] for row in rows} == {"Cancelled"}


async def test_task_runs_without_a_tenant_get_their_flow_runs(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    [task_run, _] = await task_runs_of(database, run)
    await execute(database, "UPDATE task_run SET tenant_id = NULL WHERE id = $1", task_run)
    await set_task(context, task_run, "Success")
    assert (await history(database, "task_run", task_run))[-1]["tenant_id"] == flow.tenant_id
