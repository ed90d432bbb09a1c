"""Versions given with states: real where the flow group says so, ignored elsewhere (actions.md §3.7)."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.runs import get_or_create_task_run_info, get_task_run_info
from server_core.actions.states import (
    FlowRunStateInput,
    TaskRunStateInput,
    set_flow_run_states,
    set_task_run_states,
)
from server_core.db.session import Database
from server_core.errors import InvalidInput, StateUpdateFailed, VersionLocked
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import fetch_all, fetch_one, history, make_flow, make_flow_run, task_runs_of

LOCKING: dict[str, Any] = {"settings": {"version_locking_enabled": True, "heartbeat_enabled": True}}


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=3, group=LOCKING)


@pytest.fixture
async def run(context: ActionContext, database: Database, flow: Flow) -> UUID:
    """A run that is Running, at version 2."""
    run_id = await make_flow_run(database, flow)
    await set_flow(context, (run_id, "Scheduled", None), (run_id, "Running", 1))
    return run_id


async def set_flow(context: ActionContext, *entries: tuple[UUID, str, int | None]) -> None:
    await set_flow_run_states(
        context,
        states=[
            FlowRunStateInput(flow_run_id=run, state={"type": name}, version=given) for run, name, given in entries
        ],
    )


async def set_task(context: ActionContext, *entries: tuple[UUID, str, int | None, int | None]) -> None:
    await set_task_run_states(
        context,
        states=[
            TaskRunStateInput(task_run_id=run, state={"type": name}, version=given, flow_run_version=of_flow)
            for run, name, given, of_flow in entries
        ],
    )


async def names(database: Database, kind: str, run: UUID) -> list[str]:
    return [row["state"] for row in await history(database, kind, run)]


@pytest.mark.parametrize(
    ("state", "version"), [("Running", 1), ("Submitted", 3), ("Cancelled", 0), ("Failed", -1), ("Success", 2**31 - 1)]
)
async def test_a_stale_flow_run_state_is_refused(
    context: ActionContext, database: Database, run: UUID, version: int, state: str
) -> None:
    before = [
        await fetch_one(database, "flow_run", run),
        *await fetch_all(database, "SELECT * FROM task_run ORDER BY id"),
    ]
    with pytest.raises(VersionLocked, match="State update failed") as refused:
        await set_flow(context, (run, state, version))
    assert refused.value.code == "VERSION_LOCKING_ERROR"
    assert await names(database, "flow_run", run) == ["Scheduled", "Running"]
    after = [
        await fetch_one(database, "flow_run", run),
        *await fetch_all(database, "SELECT * FROM task_run ORDER BY id"),
    ]
    assert after == before


async def test_a_stale_task_run_state_is_refused(context: ActionContext, database: Database, run: UUID) -> None:
    [task_run, *_] = await task_runs_of(database, run)
    before = await fetch_one(database, "task_run", task_run)
    for state in ("Running", "Success"):
        for version, of_flow in ((0, None), (2, None), (1, 1), (None, 3), (2, 2)):
            with pytest.raises(VersionLocked, match="State update failed"):
                await set_task(context, (task_run, state, version, of_flow))
    assert await fetch_one(database, "task_run", task_run) == before
    assert await names(database, "task_run", task_run) == ["Pending"]


async def test_true_versions_and_none_are_accepted(context: ActionContext, database: Database, run: UUID) -> None:
    [task_run, *_] = await task_runs_of(database, run)
    given: list[tuple[int | None, int | None]] = [(1, None), (2, 2), (None, 2), (None, None)]
    for version, of_flow in given:
        await set_task(context, (task_run, "Running", version, of_flow))
    await set_flow(context, (run, "Retrying", 2))
    await set_flow(context, (run, "Failed", None))
    assert await names(database, "task_run", task_run) == ["Pending", *["Running"] * 4]
    assert await names(database, "flow_run", run) == ["Scheduled", "Running", "Retrying", "Failed"]


async def test_versions_are_ignored_elsewhere(context: ActionContext, database: Database) -> None:
    """Wrong values succeed."""
    for settings in ({}, {"version_locking_enabled": False}, {"version_locking_enabled": "true"}, ["odd"], 1):
        flow = await make_flow(database, tasks=1, group={"settings": settings})
        run = await make_flow_run(database, flow)
        await set_flow(context, (run, "Running", 17), (run, "Running", 17))
        [task_run] = await task_runs_of(database, run)
        await set_task(context, (task_run, "Running", 17, 99), (task_run, "Success", 17, 99))
        assert await names(database, "task_run", task_run) == ["Pending", "Running", "Success"]
        assert await names(database, "flow_run", run) == ["Running", "Running"]


async def test_the_other_entries_are_written_and_the_code_is_told(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    """§3.3. Clients act on the code, so it comes before what failed otherwise."""
    other = await make_flow_run(database, flow)
    inputs = [
        FlowRunStateInput(flow_run_id=other, state={"type": "Nope"}),
        FlowRunStateInput(flow_run_id=UUID(int=0), state={"type": "Running"}),
        FlowRunStateInput(flow_run_id=run, state={"type": "Running"}, version=1),
        FlowRunStateInput(flow_run_id=other, state={"type": "Running"}, version=0),
    ]
    with pytest.raises(VersionLocked):
        await set_flow_run_states(context, states=inputs)
    assert await names(database, "flow_run", other) == ["Running"]
    assert await names(database, "flow_run", run) == ["Scheduled", "Running"]
    with pytest.raises(InvalidInput):
        await set_flow_run_states(context, states=inputs[:2])


@pytest.mark.parametrize("batch", [False, True], ids=["each alone", "one batch"])
async def test_of_many_with_one_version_one_wins(
    context: ActionContext, database: Database, run: UUID, batch: bool
) -> None:
    [first, second, _] = await task_runs_of(database, run)
    if batch:
        with pytest.raises(VersionLocked):
            await set_flow(context, *[(run, "Running", 2)] * 5)
        with pytest.raises(VersionLocked):
            await set_task(context, *[(each, "Running", 1, 3) for each in (first, second)] * 5)
    else:
        writes = [set_flow(context, (run, "Running", 2)) for _ in range(5)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(each) for each in outcomes if each] == [VersionLocked] * 4
        writes = [set_task(context, (each, "Running", 1, 3)) for each in (first, second) for _ in range(5)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        assert [type(each) for each in outcomes if each] == [VersionLocked] * 8
    assert await names(database, "flow_run", run) == ["Scheduled", "Running", "Running"]
    for each in (first, second):
        assert await names(database, "task_run", each) == ["Pending", "Running"]


async def test_versions_follow_through_a_batch(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    """An entry meets the run as the entries before it left it, refused ones not counted."""
    other = await make_flow_run(database, flow)
    with pytest.raises(VersionLocked):
        await set_flow(
            context,
            (run, "Retrying", 2),
            (other, "Running", None),
            (run, "Running", 2),
            (run, "Running", 3),
            (other, "Success", None),
            (run, "Success", None),
        )
    assert await names(database, "flow_run", run) == ["Scheduled", "Running", "Retrying", "Running", "Success"]
    assert await names(database, "flow_run", other) == ["Running", "Success"]
    await set_flow(context, (run, "Running", None))
    [task_run, *_] = await task_runs_of(database, run)
    with pytest.raises(VersionLocked):
        await set_task(context, (task_run, "Failed", 1, None), (task_run, "Running", 1, 6), (task_run, "Running", 2, 6))
    assert await names(database, "task_run", task_run) == ["Pending", "Failed", "Running"]


async def test_a_task_that_may_not_run_is_told_so(context: ActionContext, database: Database, run: UUID) -> None:
    """§3.5.2 comes before the versions: there is nothing that the client could adopt."""
    [task_run, *_] = await task_runs_of(database, run)
    await set_flow(context, (run, "Cancelling", None))
    with pytest.raises(StateUpdateFailed, match="not in a running state") as refused:
        await set_task(context, (task_run, "Running", 9, 9))
    assert refused.value.code == "STATE_UPDATE_FAILED"


async def test_versions_cost_no_statement(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    runs = [run, await make_flow_run(database, flow)]
    tasks = [task_run for each in runs for task_run in await task_runs_of(database, each)]
    async with recorded(database):  # asyncpg looks up array types once per connection
        await set_flow(context, *[(each, "Running", None) for each in runs])
    async with recorded(database) as recorder:
        await set_flow(context, *[(each, "Running", None) for each in runs])
        await set_task(context, *[(each, "Running", None, None) for each in tasks])
    plain = len(recorder.sent)
    assert not any("version_locking_enabled" in text for text in recorder.sent)
    async with recorded(database) as recorder:
        await set_flow(context, (runs[0], "Running", 4), (runs[1], "Running", 2))
        await set_task(context, *[(each, "Running", 2, None) for each in tasks])
    assert len(recorder.sent) == plain == 2
    assert all("version_locking_enabled" in text for text in recorder.sent)


async def test_the_versions_that_clients_are_told_are_true(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    """get_or_create_task_run_info, §2.7: new rows too, whose version the client gives back with Running."""
    for map_index in (-1, 0):
        info = await get_or_create_task_run_info(
            context, flow_run_id=run, task_id=flow.task_ids[0], map_index=map_index
        )
        assert info.version == 1
        await set_task(context, (info.id, "Running", info.version, None), (info.id, "Retrying", None, None))
        again = await get_or_create_task_run_info(
            context, flow_run_id=run, task_id=flow.task_ids[0], map_index=map_index
        )
        assert (again.id, again.version, again.state) == (info.id, 3, "Retrying")
        assert await get_task_run_info(context, task_run_id=info.id) == again
        assert (await fetch_one(database, "task_run", info.id))["version"] == 3
