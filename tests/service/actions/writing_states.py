"""Short ways to write states."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.states import (
    FlowRunStateInput,
    StateReceipt,
    TaskRunStateInput,
    set_flow_run_states,
    set_task_run_states,
)


def at(context: ActionContext, now: datetime) -> ActionContext:
    """Return a context whose time is set."""
    return replace(context, clock=lambda: now)


async def set_flow(context: ActionContext, run_id: UUID, *names: str, **more: Any) -> list[StateReceipt]:
    """Write states of a flow run, in one batch."""
    inputs = [FlowRunStateInput(flow_run_id=run_id, state={"type": name, "message": name.lower()}) for name in names]
    return await set_flow_run_states(context, states=inputs, **more)


async def set_task(context: ActionContext, run_id: UUID, *names: str) -> list[StateReceipt]:
    """Write states of a task run, in one batch."""
    inputs = [TaskRunStateInput(task_run_id=run_id, state={"type": name, "message": name.lower()}) for name in names]
    return await set_task_run_states(context, states=inputs)
