"""Mutations that move runs from state to state (actions.md §3): unpack the input, call one verb, shape the payload."""

from uuid import UUID

import strawberry

from server_core.actions import states
from server_core.actions.states import FlowRunStateInput, StateReceipt, TaskRunStateInput
from services.graphql.context import ActionInfo, RequestContext
from services.graphql.inputs import built_at_once
from services.graphql.scalars import JSON


@built_at_once
@strawberry.input(name="set_flow_run_state_input")
class SetFlowRunStateInput:
    """A state for a flow run; the version counts where the flow group locks versions."""

    flow_run_id: UUID
    version: int | None
    state: JSON


@built_at_once
@strawberry.input(name="set_flow_run_states_input")
class SetFlowRunStatesInput:
    """States for flow runs."""

    states: list[SetFlowRunStateInput]


@built_at_once
@strawberry.input(name="set_task_run_state_input")
class SetTaskRunStateInput:
    """A state for a task run; the versions count where the flow group locks versions."""

    task_run_id: UUID
    version: int | None
    state: JSON
    flow_run_version: int | None


@built_at_once
@strawberry.input(name="set_task_run_states_input")
class SetTaskRunStatesInput:
    """States for task runs."""

    states: list[SetTaskRunStateInput]


@strawberry.input(name="cancel_flow_run_input")
class CancelFlowRunInput:
    """A flow run to cancel."""

    flow_run_id: UUID


@strawberry.type(name="set_flow_run_state_payload")
class SetFlowRunStatePayload:
    """A state that was written."""

    id: UUID | None
    status: str | None
    message: str | None


@strawberry.type(name="set_flow_run_states_payload")
class SetFlowRunStatesPayload:
    """The states that were written, in the order of the input."""

    states: list[SetFlowRunStatePayload] | None


@strawberry.type(name="set_task_run_state_payload")
class SetTaskRunStatePayload:
    """A state that was written."""

    id: UUID | None
    status: str | None
    message: str | None


@strawberry.type(name="set_task_run_states_payload")
class SetTaskRunStatesPayload:
    """The states that were written, in the order of the input."""

    states: list[SetTaskRunStatePayload] | None


@strawberry.type(name="cancel_flow_run_payload")
class CancelFlowRunPayload:
    """The state that the flow run is in now."""

    state: str | None


@strawberry.type
class Mutation:
    """Mutations on states."""

    @strawberry.mutation
    async def set_flow_run_states(
        self, info: ActionInfo, input: SetFlowRunStatesInput
    ) -> SetFlowRunStatesPayload | None:
        """Move flow runs to new states."""
        receipts = await states.set_flow_run_states(
            info.context.actions,
            states=[
                FlowRunStateInput(flow_run_id=each.flow_run_id, state=each.state, version=each.version)
                for each in input.states
            ],
            agent_id=_sender(info.context, input.states),
        )
        return SetFlowRunStatesPayload(states=[_flow_run_payload(receipt) for receipt in receipts])

    @strawberry.mutation
    async def set_task_run_states(
        self, info: ActionInfo, input: SetTaskRunStatesInput
    ) -> SetTaskRunStatesPayload | None:
        """Move task runs to new states."""
        receipts = await states.set_task_run_states(
            info.context.actions,
            states=[
                TaskRunStateInput(
                    task_run_id=each.task_run_id,
                    state=each.state,
                    version=each.version,
                    flow_run_version=each.flow_run_version,
                )
                for each in input.states
            ],
        )
        return SetTaskRunStatesPayload(states=[_task_run_payload(receipt) for receipt in receipts])

    @strawberry.mutation
    async def cancel_flow_run(self, info: ActionInfo, input: CancelFlowRunInput) -> CancelFlowRunPayload | None:
        """Cancel a flow run."""
        return CancelFlowRunPayload(
            state=await states.cancel_flow_run(info.context.actions, flow_run_id=input.flow_run_id)
        )


def _sender(context: RequestContext, inputs: list[SetFlowRunStateInput]) -> UUID | None:
    """Return the agent that asks, if it matters: only Submitted assigns a run, so only then is its id looked at."""
    submits = any(isinstance(each.state, dict) and each.state.get("type") == "Submitted" for each in inputs)
    return context.agent_id if submits else None


def _flow_run_payload(receipt: StateReceipt) -> SetFlowRunStatePayload:
    return SetFlowRunStatePayload(id=receipt.id, status=receipt.status, message=receipt.message)


def _task_run_payload(receipt: StateReceipt) -> SetTaskRunStatePayload:
    return SetTaskRunStatePayload(id=receipt.id, status=receipt.status, message=receipt.message)
