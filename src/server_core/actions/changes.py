"""States that were written, as values. Those of flow runs are handed to cloud_hooks.notify after the commit."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowRunStateChange:
    """One new row of `flow_run_state` (actions.md §3.4).

    Attributes:
        flow_run_id: the run.
        state_id: id of the new state row.
        version: the run's version with this state.
        state: concrete class name.
        hooks_queued: the statement that wrote it queued events for cloud hooks: somebody should deliver them.
    """

    flow_run_id: UUID
    state_id: UUID
    version: int
    state: str
    hooks_queued: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRunStateChange:
    """One new row of `task_run_state` and the version it gave the run.

    Attributes:
        task_run_id: the run.
        state_id: id of the new state row.
        version: the run's version with this state.
        overdue: its flow run, if a sign of life of that was asked for and is overdue (actions.life).
    """

    task_run_id: UUID
    state_id: UUID
    version: int
    overdue: UUID | None
