"""Verbs that maintain runs (actions.md §2.1, §2.7)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from server_core.actions import runs
from server_core.actions.context import ActionContext
from server_core.db.session import Database
from server_core.errors import InvalidInput, NotFound, Unavailable
from tests.support import factories
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, fetch_one, history, insert, make_flow, make_flow_run, task_runs_of

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=2, cache_key="key")


@pytest.fixture
async def run(database: Database, flow: Flow) -> UUID:
    return await make_flow_run(database, flow)


async def test_names_and_labels(context: ActionContext, database: Database, run: UUID) -> None:
    [task_run, _] = await task_runs_of(database, run)
    assert await runs.set_flow_run_name(context, flow_run_id=run, name="a")
    assert await runs.set_task_run_name(context, task_run_id=task_run, name="b")
    assert await runs.set_flow_run_labels(context, flow_run_id=run, labels=["y", "x"])
    assert (await fetch_one(database, "flow_run", run))["name"] == "a"
    assert (await fetch_one(database, "task_run", task_run))["name"] == "b"
    assert (await fetch_one(database, "flow_run", run))["labels"] == ["x", "y"]
    assert await runs.set_flow_run_labels(context, flow_run_id=run, labels=[])
    assert (await fetch_one(database, "flow_run", run))["labels"] == []


async def test_unknown_runs(context: ActionContext) -> None:
    assert not await runs.set_flow_run_name(context, flow_run_id=uuid4(), name="a")
    assert not await runs.set_task_run_name(context, task_run_id=uuid4(), name="a")
    assert not await runs.set_flow_run_labels(context, flow_run_id=uuid4(), labels=["a"])
    assert not await runs.delete_flow_run(context, flow_run_id=uuid4())
    assert await runs.update_flow_run_heartbeat(context, flow_run_id=uuid4())
    assert await runs.update_task_run_heartbeat(context, task_run_id=uuid4())
    with pytest.raises(NotFound):
        await runs.get_task_run_info(context, task_run_id=uuid4())


async def test_empty_names_are_refused(context: ActionContext, database: Database, run: UUID) -> None:
    [task_run, _] = await task_runs_of(database, run)
    with pytest.raises(InvalidInput):
        await runs.set_flow_run_name(context, flow_run_id=run, name="")
    with pytest.raises(InvalidInput):
        await runs.set_task_run_name(context, task_run_id=task_run, name="")
    with pytest.raises(InvalidInput):
        await runs.set_flow_run_name(context, flow_run_id=run, name="\x00")


async def test_heartbeats_touch_only_their_row(context: ActionContext, database: Database, run: UUID) -> None:
    """§10: a heartbeat is the time of the call."""
    [task_run, other] = await task_runs_of(database, run)
    await runs.update_task_run_heartbeat(replace(context, clock=lambda: NOW), task_run_id=task_run)
    assert (await fetch_one(database, "task_run", task_run))["heartbeat"] == NOW
    assert (await fetch_one(database, "task_run", other))["heartbeat"] is None
    assert (await fetch_one(database, "flow_run", run))["heartbeat"] is None
    before = datetime.now(UTC)
    async with recorded(database) as recorder:
        await runs.update_flow_run_heartbeat(context, flow_run_id=run)
    assert len(recorder.sent) == 1
    beat = (await fetch_one(database, "flow_run", run))["heartbeat"]
    assert before <= beat <= datetime.now(UTC)


async def test_delete_flow_run(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    kept = await make_flow_run(database, flow)
    async with database.transaction() as session:
        await factories.insert_log(session, flow_run_id=run, tenant_id=flow.tenant_id)
        await factories.insert_flow_run_state(session, flow_run_id=run, state="Running")
    assert await runs.delete_flow_run(context, flow_run_id=run)
    assert [row["id"] for row in await fetch_all(database, "SELECT id FROM flow_run")] == [kept]
    assert len(await fetch_all(database, "SELECT FROM task_run")) == 2
    assert len(await fetch_all(database, "SELECT FROM task_run_state")) == 2
    assert await fetch_all(database, "SELECT FROM log") == []
    assert not await runs.delete_flow_run(context, flow_run_id=run)


async def test_an_existing_task_run_is_found(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    async with database.read() as session:
        expected = await session.fetch_value(
            "SELECT id FROM task_run WHERE flow_run_id = $1 AND task_id = $2", run, flow.task_ids[0]
        )
    async with recorded(database) as recorder:
        info = await runs.get_or_create_task_run_info(context, flow_run_id=run, task_id=flow.task_ids[0])
    [sent] = recorder.sent
    assert "INSERT" not in sent
    assert info == runs.TaskRunInfo(
        id=expected,
        version=1,
        state="Pending",
        serialized_state={"type": "Pending", "message": "Task run created"},
    )
    assert (
        await runs.get_or_create_task_run(context, flow_run_id=run, task_id=flow.task_ids[0], map_index=-1) == expected
    )
    assert len(await history(database, "task_run", expected)) == 1
    assert await runs.get_task_run_info(context, task_run_id=expected) == info


async def test_a_missing_task_run_is_made(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    context = replace(context, clock=lambda: NOW)
    async with recorded(database) as recorder:
        info = await runs.get_or_create_task_run_info(context, flow_run_id=run, task_id=flow.task_ids[0], map_index=7)
    assert len(recorder.sent) == 1
    row = await fetch_one(database, "task_run", info.id)
    assert (row["map_index"], row["cache_key"], row["tenant_id"]) == (7, "key", flow.tenant_id)
    assert (row["version"], row["state"]) == (1, "Pending")
    assert row["serialized_state"] == info.serialized_state
    assert (info.state, info.version) == ("Pending", 1)
    [state] = await history(database, "task_run", info.id)
    assert (state["version"], state["state"], state["tenant_id"]) == (1, "Pending", flow.tenant_id)
    assert state["timestamp"] == NOW
    again = await runs.get_or_create_task_run_info(context, flow_run_id=run, task_id=flow.task_ids[0], map_index=7)
    assert again == info


@pytest.mark.parametrize("map_index", [None, -1, 0])
async def test_task_runs_made_at_once_are_one(
    context: ActionContext, database: Database, run: UUID, map_index: int | None
) -> None:
    """§2.7: race-safe, also for a task that was registered after the flow run was made."""
    flow_id = (await fetch_one(database, "flow_run", run))["flow_id"]
    tasks = [await insert(database, "task", flow_id=flow_id, slug=f"late-{n}") for n in range(3)]
    made = await asyncio.gather(
        *(
            runs.get_or_create_task_run(context, flow_run_id=run, task_id=tasks[n % 3], map_index=map_index)
            for n in range(30)
        )
    )
    assert len(set(made)) == 3
    for task_run in set(made):
        assert len(await history(database, "task_run", task_run)) == 1


async def test_unknown_ids_of_task_runs(context: ActionContext, flow: Flow, run: UUID) -> None:
    for flow_run_id, task_id in ((uuid4(), flow.task_ids[0]), (run, uuid4())):
        with pytest.raises(NotFound, match="Invalid ID"):
            await runs.get_or_create_task_run(context, flow_run_id=flow_run_id, task_id=task_id)
        with pytest.raises(NotFound, match="Invalid ID"):
            await runs.get_or_create_task_run_info(context, flow_run_id=flow_run_id, task_id=task_id, map_index=1)


async def children_of(context: ActionContext, task_run_id: UUID) -> runs.MappedChildren:
    [children] = await runs.mapped_children(context, task_run_ids=[task_run_id])
    return children


async def test_mapped_children(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    parent = await runs.get_or_create_task_run(context, flow_run_id=run, task_id=flow.task_ids[0])
    assert await children_of(context, parent) == runs.MappedChildren()
    times = [(NOW + timedelta(minutes=n), NOW + timedelta(hours=n)) for n in range(3)]
    for n, (start, end) in enumerate([*times, (None, None)]):
        child = await insert(
            database,
            "task_run",
            tenant_id=flow.tenant_id,
            flow_run_id=run,
            task_id=flow.task_ids[0],
            map_index=n,
            state="Success" if n < 2 else "Failed",
            start_time=start,
            end_time=end,
        )
    await runs.get_or_create_task_run(context, flow_run_id=run, task_id=flow.task_ids[1], map_index=0)
    assert await children_of(context, parent) == runs.MappedChildren(
        min_start_time=times[0][0], max_end_time=times[2][1], state_counts={"Success": 2, "Failed": 2}
    )
    assert await children_of(context, child) == runs.MappedChildren()
    assert await children_of(context, uuid4()) == runs.MappedChildren()
    await execute(database, "UPDATE task_run SET start_time = NULL, end_time = NULL")
    assert (await children_of(context, parent)).min_start_time is None


async def test_children_of_many_runs_are_one_statement(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    """§2.1, as the UI asks: a field per row of its table."""
    parents = await task_runs_of(database, run)
    for n, task_id in enumerate(flow.task_ids):
        for map_index in range(n):
            await runs.get_or_create_task_run(context, flow_run_id=run, task_id=task_id, map_index=map_index)
    asked = [*parents, *(uuid4() for _ in range(50)), *parents]
    async with recorded(database):
        await runs.mapped_children(context, task_run_ids=asked)  # asyncpg looks up array types once per connection
    async with recorded(database) as recorder:
        children = await runs.mapped_children(context, task_run_ids=asked)
    assert len(recorder.sent) == 1
    counted = {each.state_counts.get("Pending", 0) for each in children[: len(parents)]}
    assert counted == set(range(len(flow.task_ids)))
    assert children[-len(parents) :] == children[: len(parents)]


async def test_children_that_take_too_long(context: ActionContext, database: Database) -> None:
    """§2.1, §0.3: the legacy server gave up after half a second; the words are those that the UI compares."""
    async with database.transaction() as session:
        await session.execute("LOCK TABLE task_run")
        with pytest.raises(Unavailable, match=r"^Operation timed out$"):
            await children_of(context, uuid4())
    assert await children_of(context, uuid4()) == runs.MappedChildren()
