"""States that were written, as values: flow-run changes are handed to the cloud hooks after the commit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowRunStateChange:
    """One new row of `flow_run_state` and what the run was before it (actions.md §3.4, §7.3).

    Attributes:
        flow_run_id: the run.
        tenant_id: its tenant; None only on rows the legacy server left without one.
        previous_version: the run's version before this state.
        previous_state: the run's state before; None when it had none.
        state_id: id of the new state row.
        version: the run's version with this state.
        state: concrete class name.
        timestamp: when it was set.
        message: text for people, or None.
        start_time: the state's start time, if it has one.
        serialized_state: the stored document.
    """

    flow_run_id: UUID
    tenant_id: UUID | None
    previous_version: int
    previous_state: str | None
    state_id: UUID
    version: int
    state: str
    timestamp: datetime
    message: str | None
    start_time: datetime | None
    serialized_state: Mapping[str, Any]


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
