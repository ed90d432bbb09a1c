"""Submitted is had by one agent per scheduling, in one round trip (actions.md §3.4.2, demands.md row 4)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from server_core import states
from server_core.actions.context import ActionContext
from server_core.actions.states import (
    FlowRunStateInput,
    FlowRunStateWrite,
    StateReceipt,
    set_flow_run_states,
    write_flow_run_states,
)
from server_core.db.session import Database, WriteSession
from server_core.errors import StateUpdateFailed
from server_core.states import make_state
from server_core.store.runs import update_flow_run_heartbeat
from tests.support.recorder import recorded
from tests.support.rows import fetch_all, fetch_one, history, insert, make_flow, make_flow_run
from tests.support.waiting import wait_until

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = timedelta(days=1)
"""Long after any hold."""

REFUSED = "State update failed"


@pytest.fixture
async def run(database: Database) -> UUID:
    return await make_flow_run(database, await make_flow(database))


async def enter(
    context: ActionContext, run_id: UUID, *names: str, after: timedelta = timedelta(0)
) -> list[StateReceipt]:
    """Set states of a run at once, at NOW and a while."""
    inputs = [FlowRunStateInput(flow_run_id=run_id, state={"type": name}) for name in names]
    return await set_flow_run_states(replace(context, clock=lambda: NOW + after), states=inputs)


async def test_an_agent_submits_in_one_round_trip(context: ActionContext, database: Database, run: UUID) -> None:
    await enter(context, run, "Scheduled")
    async with recorded(database) as recorder:
        await enter(context, run, "Submitted")
    assert len(recorder.sent) == 1
    recorder.clear()
    async with recorded(database) as recorder:
        with pytest.raises(StateUpdateFailed, match=REFUSED):
            await enter(context, run, "Submitted")
    assert len(recorder.sent) == 1


async def test_a_run_that_nobody_submitted_can_be_unless_it_is_finished(
    context: ActionContext, database: Database
) -> None:
    """§3.4: any transition is allowed. But what was cancelled while an agent held it stays so (demand 22)."""
    flow = await make_flow(database)
    for state in [*sorted(states.CONCRETE - {"Submitted"} - states.FINISHED), None]:
        run = await make_flow_run(database, flow)
        await enter(context, run, *([state] if state else []), "Submitted")
        assert (await fetch_one(database, "flow_run", run))["state"] == "Submitted"
    for state in sorted(states.FINISHED):
        run = await make_flow_run(database, flow)
        await enter(context, run, "Scheduled")
        await enter(context, run, state)
        with pytest.raises(StateUpdateFailed, match=REFUSED):
            await enter(context, run, "Submitted", after=LATER)
        assert (await fetch_one(database, "flow_run", run))["state"] == state
        await enter(context, run, "Scheduled", "Submitted", after=LATER)
        assert (await fetch_one(database, "flow_run", run))["state"] == "Submitted"


async def test_a_slow_agent_does_not_submit_what_was_taken(context: ActionContext, database: Database) -> None:
    """However long ago: until the run is put back it is the first agent's."""
    flow = await make_flow(database)
    for state in sorted(states.CONCRETE):
        run = await make_flow_run(database, flow)
        await enter(context, run, "Scheduled", "Submitted")
        if state != "Submitted":
            await enter(context, run, state, after=timedelta(seconds=40))
        before = await fetch_one(database, "flow_run", run)
        if state in {"Pending", "Scheduled", "Paused", "Resume", "Retrying", "Queued"}:
            await enter(context, run, "Submitted", after=LATER)
            assert (await fetch_one(database, "flow_run", run))["version"] == before["version"] + 1
        else:
            with pytest.raises(StateUpdateFailed, match=REFUSED):
                await enter(context, run, "Submitted", after=LATER)
            assert await fetch_one(database, "flow_run", run) == before
            await enter(context, run, "Scheduled", "Submitted", after=LATER)
            assert (await fetch_one(database, "flow_run", run))["version"] == before["version"] + 2


async def test_the_30_seconds(context: ActionContext, database: Database) -> None:
    """Whatever happened in between, a second Submitted comes 30 seconds after the first."""
    flow = await make_flow(database)
    for seconds, accepted in ((0, False), (29.9, False), (30, True), (31, True)):
        run = await make_flow_run(database, flow)
        await enter(context, run, "Scheduled", "Submitted")
        taken = (await history(database, "flow_run", run))[-1]["timestamp"]
        await enter(context, run, "Running", "Failed", "Scheduled", after=timedelta(seconds=1))
        after = taken - NOW + timedelta(seconds=seconds)
        if accepted:
            await enter(context, run, "Submitted", after=after)
        else:
            with pytest.raises(StateUpdateFailed, match=REFUSED):
                await enter(context, run, "Submitted", after=after)
        assert len(await history(database, "flow_run", run)) == 5 + accepted


async def test_a_row_written_by_hand_counts_by_its_version(
    context: ActionContext, database: Database, run: UUID
) -> None:
    """A row older than the run's version is history only (§4.2), but the hold looks at all of it."""
    await enter(context, run, "Scheduled", "Running")
    by_hand = {"flow_run_id": run, "state": "Submitted", "serialized_state": {"type": "Submitted"}}
    await insert(database, "flow_run_state", version=0, timestamp=NOW, **by_hand)
    await enter(context, run, "Submitted", after=LATER)
    await enter(context, run, "Scheduled", after=LATER)
    await insert(database, "flow_run_state", version=1, timestamp=NOW + 2 * LATER, **by_hand)
    with pytest.raises(StateUpdateFailed, match=REFUSED):
        await enter(context, run, "Submitted", after=2 * LATER)


# --- what happens between a statement's look at the history and its lock on the run ---------------------------------


@asynccontextmanager
async def holding(database: Database) -> AsyncIterator[WriteSession]:
    """A transaction whose end lets go somebody who waits for it by then."""

    async def somebody_waits() -> bool:
        rows = await fetch_all(
            database, "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return len(rows) > 0

    async with database.transaction() as session:
        yield session
        await wait_until(somebody_waits, seconds=20, what="somebody waits for the lock")


async def overtaken(
    context: ActionContext,
    run: UUID,
    change: Callable[[WriteSession], Awaitable[object]],
    *names: str,
) -> BaseException | list[StateReceipt]:
    """Set states while another transaction has changed the run and not committed yet; return what came of it."""
    async with holding(context.database) as session:
        await change(session)
        writer = asyncio.ensure_future(enter(context, run, *names, after=timedelta(seconds=5)))
    [outcome] = await asyncio.gather(writer, return_exceptions=True)
    return outcome


async def taken(session: WriteSession, context: ActionContext, run: UUID, *names: str) -> None:
    writes = [FlowRunStateWrite(flow_run_id=run, state=make_state(name, now=NOW)) for name in names]
    await write_flow_run_states(session, replace(context, clock=lambda: NOW), writes)


@pytest.mark.parametrize("then", [[], ["Running"], ["Running", "Scheduled"]])
async def test_a_submission_that_was_not_seen_wins(
    context: ActionContext, database: Database, run: UUID, then: list[str]
) -> None:
    outcome = await overtaken(
        context, run, lambda session: taken(session, context, run, "Submitted", *then), "Submitted"
    )
    assert isinstance(outcome, StateUpdateFailed)
    assert [row["state"] for row in await history(database, "flow_run", run)] == ["Submitted", *then]


async def test_a_change_that_takes_nothing_only_costs_another_look(
    context: ActionContext, database: Database, run: UUID
) -> None:
    async def beat(session: WriteSession) -> bool:
        return await update_flow_run_heartbeat(session, flow_run_id=run, now=NOW)

    outcome = await overtaken(context, run, beat, "Scheduled", "Submitted", "Running")
    assert outcome == [StateReceipt(id=run)] * 3
    rows = await history(database, "flow_run", run)
    assert [(row["version"], row["state"]) for row in rows] == [(1, "Scheduled"), (2, "Submitted"), (3, "Running")]
