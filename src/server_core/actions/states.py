"""Verbs that move runs from state to state (actions.md §3.3–3.6). Called by the GraphQL service, the loops and the
verbs that archive or reschedule runs.

A batch's entries stand alone: those that can be written are, then an error of the others is raised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from server_core.actions.changes import FlowRunStateChange, TaskRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.life import note_life, overdue_before
from server_core.db.session import Row, WriteSession
from server_core.errors import NotFound, ServerError, StateUpdateFailed, VersionLocked
from server_core.ids import new_id
from server_core.rules import states as rules
from server_core.states import State, make_state, parse_state
from server_core.store import flow_run_states, task_run_states


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowRunStateInput:
    """A serialized state for a flow run; with a `version` it fits that one only, if the group locks versions (§3.7)."""

    flow_run_id: UUID
    state: Any
    version: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRunStateInput:
    """A serialized state for a task run; with versions it fits those only, if the group locks versions (§3.7)."""

    task_run_id: UUID
    state: Any
    version: int | None = None
    flow_run_version: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StateReceipt:
    """A state that was written: the run's id, and what the client should make of it (§3.8)."""

    id: UUID
    status: str = "SUCCESS"
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowRunStateWrite:
    """A checked state for a flow run, and the version it is meant for; None: any."""

    flow_run_id: UUID
    state: State
    version: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRunStateWrite:
    """A checked state for a task run, and the versions it is meant for; None: any."""

    task_run_id: UUID
    state: State
    version: int | None = None
    flow_run_version: int | None = None


async def set_flow_run_states(
    context: ActionContext, *, states: Sequence[FlowRunStateInput], agent_id: UUID | None = None
) -> list[StateReceipt]:
    """Write states of flow runs (§3.4); return a receipt per entry, in order.

    Args:
        agent_id: the agent that asks, which a Submitted run is then assigned to; an unknown one is ignored.

    Raises:
        StateUpdateFailed: a run does not exist, or someone else submitted it.
        VersionLocked: a run is not at the version given; raised before any other error, as clients act on its code.
        InvalidInput: a state cannot be read.
        PayloadTooLarge: a state is over the limit.
        In each case the other entries are written.
    """
    checked = _parse_all(context, [each.state for each in states])
    writes = {
        position: FlowRunStateWrite(
            flow_run_id=states[position].flow_run_id, state=state, version=states[position].version
        )
        for position, state in checked.items()
        if isinstance(state, State)
    }
    errors: dict[int, ServerError] = {
        position: error for position, error in checked.items() if isinstance(error, ServerError)
    }
    if writes:
        outcomes = await _commit_flow_run_states(context, list(writes.values()), agent_id=agent_id)
        notify(context, [outcome for outcome in outcomes if isinstance(outcome, FlowRunStateChange)])
        errors |= _errors(zip(writes, outcomes, strict=True))
    _raise_one(errors)
    return [StateReceipt(id=each.flow_run_id) for each in states]


async def set_task_run_states(context: ActionContext, *, states: Sequence[TaskRunStateInput]) -> list[StateReceipt]:
    """Write states of task runs (§3.5); return a receipt per entry, in order.

    Raises:
        StateUpdateFailed: a run does not exist, or it would be running while its flow run is not Running.
        VersionLocked: a run or its flow run is not at the version given; raised before any other error.
        InvalidInput: a state cannot be read.
        PayloadTooLarge: a state is over the limit.
        In each case the other entries are written.
    """
    checked = _parse_all(context, [each.state for each in states])
    writes = {
        position: TaskRunStateWrite(
            task_run_id=states[position].task_run_id,
            state=state,
            version=states[position].version,
            flow_run_version=states[position].flow_run_version,
        )
        for position, state in checked.items()
        if isinstance(state, State)
    }
    errors: dict[int, ServerError] = {
        position: error for position, error in checked.items() if isinstance(error, ServerError)
    }
    if writes:
        outcomes = await _commit_task_run_states(context, list(writes.values()))
        await note_life(context, [each.overdue for each in outcomes if isinstance(each, TaskRunStateChange)])
        errors |= _errors(zip(writes, outcomes, strict=True))
    _raise_one(errors)
    return [StateReceipt(id=each.task_run_id) for each in states]


async def cancel_flow_run(context: ActionContext, *, flow_run_id: UUID) -> str:
    """Cancel a flow run and return the state it is in then (§3.6).

    A run that executes becomes Cancelling, which its client sees and obeys; a finished one is left alone.

    Raises:
        NotFound: there is no such run.
    """
    changes: list[FlowRunStateChange] = []
    async with context.database.transaction() as session:
        found = await flow_run_states.lock_flow_runs(session, flow_run_ids=[flow_run_id])
        if flow_run_id not in found:
            raise NotFound(f"Flow run {flow_run_id} not found.")
        current = found[flow_run_id]
        name = rules.cancelled_as(current)
        if name is not None:
            state = make_state(name, now=context.clock(), message="The flow run was cancelled through the API.")
            written = await write_flow_run_states(
                session, context, [FlowRunStateWrite(flow_run_id=flow_run_id, state=state)]
            )
            changes += [outcome for outcome in written if isinstance(outcome, FlowRunStateChange)]
    notify(context, changes)
    return name or str(current)


async def write_flow_run_states(
    session: WriteSession,
    context: ActionContext,
    states: Sequence[FlowRunStateWrite],
    *,
    agent_id: UUID | None = None,
) -> list[FlowRunStateChange | StateUpdateFailed]:
    """Write states of flow runs inside the caller's transaction: at most three statements, however many states.

    Cancelled takes the unfinished task runs along. The caller hands the changes to cloud_hooks.notify once it has
    committed.

    Returns:
        Per entry, in order: the change, or why the entry was refused; a refused entry leaves no trace.
    """
    if any(rules.takes_submission(each.state) for each in states):
        await flow_run_states.lock_flow_runs(session, flow_run_ids=[each.flow_run_id for each in states])
    outcomes: dict[int, FlowRunStateChange | StateUpdateFailed] = {}
    for positions in _waves_of_flow_runs(states):
        wave = [states[position] for position in positions]
        written = await _insert_flow_run_states(session, context, wave, agent_id=agent_id)
        if written is None:
            raise AssertionError("a locked run was changed by somebody else")
        outcomes |= zip(positions, written, strict=True)
    cancelled: dict[UUID, State] = {}
    for position, each in enumerate(states):
        if rules.cancels_task_runs(each.state) and isinstance(outcomes[position], FlowRunStateChange):
            cancelled.setdefault(each.flow_run_id, each.state)
    if cancelled:
        await task_run_states.cancel_task_runs(session, states=list(cancelled.items()), now=context.clock())
    return [outcomes[position] for position in range(len(states))]


async def write_task_run_states(
    session: WriteSession,
    context: ActionContext,
    states: Sequence[TaskRunStateWrite],
    *,
    overdue_before: datetime | None = None,
) -> list[TaskRunStateChange | StateUpdateFailed]:
    """Write states of task runs inside the caller's transaction: one statement, however many states.

    Only a batch that gives a version for a run and has further states of it costs more: one for each further state.

    Args:
        overdue_before: a client reports, which shows that its flow run lives: its heartbeat is overdue if older.

    Returns:
        Per entry, in order: the change, or why the entry was refused; a refused entry leaves no trace.
    """
    outcomes: dict[int, TaskRunStateChange | StateUpdateFailed] = {}
    waves = _waves_of_task_runs(states)
    if len(waves) > 1:
        await task_run_states.hold_flow_runs_of(session, task_run_ids=[each.task_run_id for each in states])
    for positions in waves:
        wave = [states[position] for position in positions]
        written = await _insert_task_run_states(session, context, wave, overdue_before=overdue_before)
        outcomes |= zip(positions, written, strict=True)
    return [outcomes[position] for position in range(len(states))]


async def _commit_flow_run_states(
    context: ActionContext, states: Sequence[FlowRunStateWrite], *, agent_id: UUID | None
) -> list[FlowRunStateChange | StateUpdateFailed]:
    """Write states in a transaction of their own: one round trip, if one statement can do it."""
    cancels = any(rules.cancels_task_runs(each.state) for each in states)
    if not cancels and len(_waves_of_flow_runs(states)) == 1:
        async with context.database.autocommit() as session:
            written = await _insert_flow_run_states(session, context, states, agent_id=agent_id)
        if written is not None:
            return written
    async with context.database.transaction() as session:
        return await write_flow_run_states(session, context, states, agent_id=agent_id)


async def _commit_task_run_states(
    context: ActionContext, states: Sequence[TaskRunStateWrite]
) -> list[TaskRunStateChange | StateUpdateFailed]:
    """Write states in a transaction of their own: one round trip, if one statement can do it."""
    alone = len(_waves_of_task_runs(states)) == 1
    async with context.database.autocommit() if alone else context.database.transaction() as session:
        return await write_task_run_states(session, context, states, overdue_before=overdue_before(context))


async def _insert_flow_run_states(
    session: WriteSession, context: ActionContext, states: Sequence[FlowRunStateWrite], *, agent_id: UUID | None
) -> list[FlowRunStateChange | StateUpdateFailed] | None:
    """Write states by one statement, without what a cancellation does; None: it has to be done under lock_flow_runs."""
    now = context.clock()
    entries = [
        flow_run_states.FlowRunEntry(
            flow_run_id=each.flow_run_id,
            state_id=new_id(),
            state=each.state,
            submits=rules.takes_submission(each.state),
            alive=rules.shows_life_of_flow_run(each.state),
            version=each.version,
        )
        for each in states
    ]
    rows = await flow_run_states.insert_flow_run_states(
        session, entries=entries, now=now, held_since=now - rules.SUBMISSION_HOLD, agent_id=agent_id
    )
    if rows is None:
        return None
    return [_flow_run_outcome(entry, row) for entry, row in zip(entries, rows, strict=True)]


async def _insert_task_run_states(
    session: WriteSession,
    context: ActionContext,
    states: Sequence[TaskRunStateWrite],
    *,
    overdue_before: datetime | None,
) -> list[TaskRunStateChange | StateUpdateFailed]:
    """Write states by one statement."""
    carried = rules.carry_cached_inputs([(each.task_run_id, each.state) for each in states])
    entries = [
        task_run_states.TaskRunEntry(
            task_run_id=each.task_run_id,
            state_id=new_id(),
            state=state,
            needs_running=rules.needs_running_flow(state),
            inherits=rules.inherits_cached_inputs(state),
            version=each.version,
            flow_run_version=each.flow_run_version,
        )
        for each, state in zip(states, carried, strict=True)
    ]
    rows = await task_run_states.insert_task_run_states(
        session, entries=entries, now=context.clock(), overdue_before=overdue_before
    )
    return [
        rules.refuse_task_run(entry.task_run_id, known=row["known"], stale=row["stale"])
        if row["version"] is None
        else TaskRunStateChange(
            task_run_id=entry.task_run_id, state_id=entry.state_id, version=row["version"], overdue=row["overdue"]
        )
        for entry, row in zip(entries, rows, strict=True)
    ]


def _waves_of_flow_runs(states: Sequence[FlowRunStateWrite]) -> list[list[int]]:
    return rules.waves([(each.flow_run_id, each.version is not None) for each in states])


def _waves_of_task_runs(states: Sequence[TaskRunStateWrite]) -> list[list[int]]:
    return rules.waves([(each.task_run_id, each.version is not None) for each in states])


def _flow_run_outcome(entry: flow_run_states.FlowRunEntry, row: Row) -> FlowRunStateChange | StateUpdateFailed:
    if row["version"] is None:
        return rules.refuse_flow_run(entry.flow_run_id, known=row["known"], stale=row["stale"])
    return FlowRunStateChange(
        flow_run_id=entry.flow_run_id,
        state_id=entry.state_id,
        version=row["version"],
        state=entry.state.name,
        hooks_queued=row["hooks_queued"],
    )


def _parse_all(context: ActionContext, documents: Sequence[object]) -> dict[int, State | ServerError]:
    now = context.clock()
    checked: dict[int, State | ServerError] = {}
    for position, document in enumerate(documents):
        try:
            checked[position] = parse_state(document, now=now, max_bytes=context.settings.states_max_payload_bytes)
        except ServerError as error:
            checked[position] = error
    return checked


def _errors(outcomes: Any) -> dict[int, ServerError]:
    return {position: outcome for position, outcome in outcomes if isinstance(outcome, ServerError)}


def _raise_one(errors: Mapping[int, ServerError]) -> None:
    """Raise an error of a batch: one that clients act on by its code, else the first."""
    if errors:
        raise errors[min(errors, key=lambda position: (not isinstance(errors[position], VersionLocked), position))]
