"""May this run enter that state, and what follows from it? Called by actions.states.

Decisions that need no look at the run are made here outright. Those that depend on what the run is at the moment of the
write become conditions that the store's one statement checks under the run's lock (actions.md §3.4, §3.5).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from server_core.errors import StateUpdateFailed, VersionLocked
from server_core.states import FINISHED, RUNNING, State, with_cached_inputs

SUBMISSION_HOLD: Final = timedelta(seconds=30)
"""For so long after a Submitted no other Submitted is accepted for the same flow run, whatever happens in between.

And never a second one before the run is put back (to Scheduled, say): an agent that was slow to submit what it polled
long ago must not run it once more. Nor a first one once the run is finished: agents hold a run until its time has come,
and it may have been cancelled meanwhile.
"""


def takes_submission(state: State) -> bool:
    """Say whether a flow run may enter the state only if nobody else has it since it was scheduled (§3.4.2)."""
    return state.name == "Submitted"


def cancels_task_runs(state: State) -> bool:
    """Say whether a flow run that enters the state takes its unfinished task runs along (§3.4.3)."""
    return state.name == "Cancelled"


def shows_life_of_flow_run(state: State) -> bool:
    """Say whether the state counts as a heartbeat of a flow run (§3.4.5)."""
    return state.name in RUNNING or state.name == "Submitted"


def needs_running_flow(state: State) -> bool:
    """Say whether a task run may enter the state only while its flow run is exactly Running (§3.5.2).

    The same states count as a heartbeat of a task run (§3.5.4).
    """
    return state.name in RUNNING


def inherits_cached_inputs(state: State) -> bool:
    """Say whether a task run's state takes over the cached inputs of the state before it (§3.5.3)."""
    return not state.cached_inputs


def carry_cached_inputs(writes: Sequence[tuple[UUID, State]]) -> list[State]:
    """Return the states of a batch, each run's inputs carried from an earlier entry of the batch to later ones."""
    held: dict[UUID, Mapping[str, Any]] = {}
    carried: list[State] = []
    for run_id, state in writes:
        if state.cached_inputs:
            held[run_id] = state.cached_inputs
        elif run_id in held:
            state = with_cached_inputs(state, held[run_id])
        carried.append(state)
    return carried


def cancelled_as(current: str | None) -> str | None:
    """Return the state that cancelling leads to from the current one; None: the run is finished, leave it (§3.6)."""
    if current in FINISHED:
        return None
    return "Cancelling" if current in RUNNING else "Cancelled"


def waves(entries: Sequence[tuple[UUID, bool]]) -> list[list[int]]:
    """Return the positions of a batch in groups to be written one after the other; nearly always there is one.

    Which version a run has at an entry of a batch depends on which of its entries before were refused. So where entries
    name versions, each further entry of a run comes in a later group.

    Args:
        entries: per entry, the run and whether a version is named.
    """
    versioned = {run_id for run_id, named in entries if named}
    if not versioned:
        return [[*range(len(entries))]] if entries else []
    found: list[list[int]] = []
    seen: Counter[UUID] = Counter()
    for position, (run_id, _) in enumerate(entries):
        depth = seen[run_id] if run_id in versioned else 0
        seen[run_id] += 1
        if depth == len(found):
            found.append([])
        found[depth].append(position)
    return found


def refuse_flow_run(flow_run_id: UUID, *, known: bool, stale: bool = False) -> StateUpdateFailed:
    """Return why a flow run was not moved; agents give up quietly on this class's text.

    Args:
        flow_run_id: the run.
        known: it exists.
        stale: another version of it was named.
    """
    if not known:
        return StateUpdateFailed(f"flow run {flow_run_id} does not exist.")
    if stale:
        return VersionLocked(f"flow run {flow_run_id} is at another version than the one given.")
    return StateUpdateFailed(
        f"flow run {flow_run_id} has finished, or was submitted by another agent, since it was last scheduled or less"
        f" than {SUBMISSION_HOLD.total_seconds():.0f} seconds ago."
    )


def refuse_task_run(task_run_id: UUID, *, known: bool, stale: bool = False) -> StateUpdateFailed:
    """Return why a task run was not moved.

    Args:
        task_run_id: the run.
        known: it exists.
        stale: another version of it, or of its flow run, was named.
    """
    if not known:
        return StateUpdateFailed(f"task run {task_run_id} does not exist.")
    if stale:
        return VersionLocked(f"task run {task_run_id} or its flow run is at another version than the one given.")
    return StateUpdateFailed(f"the flow run of task run {task_run_id} is not in a running state.")
