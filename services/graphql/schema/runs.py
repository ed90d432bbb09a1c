"""Mutations and queries on flow runs and task runs (actions.md §2.1, §2.6–2.8): unpack the input, call one verb, shape
the payload.
"""

from datetime import datetime
from typing import Any, cast
from uuid import UUID

import strawberry

from server_core.actions import queue, runs
from services.graphql.context import ActionInfo
from services.graphql.scalars import JSON
from services.graphql.schema.payloads import FlowRunIdPayload, SuccessPayload, TaskRunIdPayload


@strawberry.input(name="create_flow_run_input")
class CreateFlowRunInput:
    """A new flow run, of a flow or of the newest flow of a version group."""

    flow_id: UUID | None
    version_group_id: str | None
    parameters: JSON | None
    labels: list[str] | None
    run_config: JSON | None
    context: JSON | None
    scheduled_start_time: datetime | None
    idempotency_key: str | None
    flow_run_name: str | None


@strawberry.input(name="set_flow_run_labels_input")
class SetFlowRunLabelsInput:
    """New labels for a flow run."""

    flow_run_id: UUID
    labels: list[str]


@strawberry.input(name="set_flow_run_name_input")
class SetFlowRunNameInput:
    """A new name for a flow run."""

    flow_run_id: UUID
    name: str


@strawberry.input(name="set_task_run_name_input")
class SetTaskRunNameInput:
    """A new name for a task run."""

    task_run_id: UUID
    name: str


@strawberry.input(name="get_or_create_task_run_input")
class GetOrCreateTaskRunInput:
    """What identifies a task run; no map index is -1."""

    flow_run_id: UUID
    task_id: UUID
    map_index: int | None


@strawberry.input(name="get_or_create_task_run_info_input")
class GetOrCreateTaskRunInfoInput:
    """What identifies a task run; no map index is -1."""

    flow_run_id: UUID
    task_id: UUID
    map_index: int | None


@strawberry.input(name="get_or_create_mapped_task_run_children_input")
class GetOrCreateMappedTaskRunChildrenInput:
    """Used by no field; part of the legacy schema."""

    flow_run_id: UUID
    task_id: UUID
    max_map_index: int


@strawberry.input(name="update_flow_run_heartbeat_input")
class UpdateFlowRunHeartbeatInput:
    """A flow run that is alive."""

    flow_run_id: UUID


@strawberry.input(name="update_task_run_heartbeat_input")
class UpdateTaskRunHeartbeatInput:
    """A task run that is alive."""

    task_run_id: UUID


@strawberry.input(name="delete_flow_run_input")
class DeleteFlowRunInput:
    """A flow run to delete."""

    flow_run_id: UUID


@strawberry.input(name="get_runs_in_queue_input")
class GetRunsInQueueInput:
    """Whose queue, until when, and the labels of the agent that asks."""

    tenant_id: UUID
    before: datetime | None
    labels: list[str] | None


@strawberry.type(name="task_run_info_payload")
class TaskRunInfoPayload:
    """Where a task run stands."""

    id: UUID | None
    version: int | None
    state: str | None
    serialized_state: JSON | None


@strawberry.type(name="get_or_create_task_run_info_payload")
class GetOrCreateTaskRunInfoPayload:
    """Where a task run stands."""

    id: UUID | None
    version: int | None
    state: str | None
    serialized_state: JSON | None


@strawberry.type(name="runs_in_queue_payload")
class RunsInQueuePayload:
    """The flow runs to take, longest due first."""

    flow_run_ids: list[str] | None


@strawberry.type(name="mapped_children_payload")
class MappedChildrenPayload:
    """The children of a mapped task run, summed up."""

    min_start_time: datetime | None
    max_end_time: datetime | None
    state_counts: JSON | None


@strawberry.type
class Query:
    """Queries on task runs."""

    @strawberry.field
    async def mapped_children(self, info: ActionInfo, task_run_id: UUID) -> MappedChildrenPayload | None:
        """Sum up the children of a mapped task run."""
        children = await info.context.mapped_children.load(task_run_id)
        return MappedChildrenPayload(
            min_start_time=children.min_start_time,
            max_end_time=children.max_end_time,
            state_counts=cast(JSON, children.state_counts),
        )

    @strawberry.field
    async def get_task_run_info(self, info: ActionInfo, task_run_id: UUID) -> TaskRunInfoPayload | None:
        """Say where a task run stands."""
        found = await runs.get_task_run_info(info.context.actions, task_run_id=task_run_id)
        return TaskRunInfoPayload(
            id=found.id, version=found.version, state=found.state, serialized_state=found.serialized_state
        )


@strawberry.type
class Mutation:
    """Mutations on runs."""

    @strawberry.mutation
    async def create_flow_run(self, info: ActionInfo, input: CreateFlowRunInput) -> FlowRunIdPayload | None:
        """Create a flow run."""
        return FlowRunIdPayload(
            id=await runs.create_flow_run(
                info.context.actions,
                flow_id=input.flow_id,
                version_group_id=input.version_group_id,
                parameters=cast(Any, input.parameters),
                labels=input.labels,
                run_config=cast(Any, input.run_config),
                run_context=cast(Any, input.context),
                scheduled_start_time=input.scheduled_start_time,
                idempotency_key=input.idempotency_key,
                flow_run_name=input.flow_run_name,
            )
        )

    @strawberry.mutation
    async def set_flow_run_name(self, info: ActionInfo, input: SetFlowRunNameInput) -> SuccessPayload | None:
        """Rename a flow run."""
        return SuccessPayload(
            success=await runs.set_flow_run_name(info.context.actions, flow_run_id=input.flow_run_id, name=input.name)
        )

    @strawberry.mutation
    async def set_task_run_name(self, info: ActionInfo, input: SetTaskRunNameInput) -> SuccessPayload | None:
        """Rename a task run."""
        return SuccessPayload(
            success=await runs.set_task_run_name(info.context.actions, task_run_id=input.task_run_id, name=input.name)
        )

    @strawberry.mutation
    async def set_flow_run_labels(self, info: ActionInfo, input: SetFlowRunLabelsInput) -> SuccessPayload | None:
        """Replace the labels of a flow run."""
        return SuccessPayload(
            success=await runs.set_flow_run_labels(
                info.context.actions, flow_run_id=input.flow_run_id, labels=input.labels
            )
        )

    @strawberry.mutation
    async def get_or_create_task_run(self, info: ActionInfo, input: GetOrCreateTaskRunInput) -> TaskRunIdPayload | None:
        """Find a task run, or create it."""
        return TaskRunIdPayload(
            id=await runs.get_or_create_task_run(
                info.context.actions,
                flow_run_id=input.flow_run_id,
                task_id=input.task_id,
                map_index=input.map_index,
            )
        )

    @strawberry.mutation
    async def get_or_create_task_run_info(
        self, info: ActionInfo, input: GetOrCreateTaskRunInfoInput
    ) -> GetOrCreateTaskRunInfoPayload | None:
        """Find a task run, or create it, and say where it stands."""
        found = await runs.get_or_create_task_run_info(
            info.context.actions, flow_run_id=input.flow_run_id, task_id=input.task_id, map_index=input.map_index
        )
        return GetOrCreateTaskRunInfoPayload(
            id=found.id, version=found.version, state=found.state, serialized_state=found.serialized_state
        )

    @strawberry.mutation
    async def update_flow_run_heartbeat(
        self, info: ActionInfo, input: UpdateFlowRunHeartbeatInput
    ) -> SuccessPayload | None:
        """Note that a flow run is alive."""
        return SuccessPayload(
            success=await runs.update_flow_run_heartbeat(info.context.actions, flow_run_id=input.flow_run_id)
        )

    @strawberry.mutation
    async def update_task_run_heartbeat(
        self, info: ActionInfo, input: UpdateTaskRunHeartbeatInput
    ) -> SuccessPayload | None:
        """Note that a task run is alive."""
        return SuccessPayload(
            success=await runs.update_task_run_heartbeat(info.context.actions, task_run_id=input.task_run_id)
        )

    @strawberry.mutation
    async def delete_flow_run(self, info: ActionInfo, input: DeleteFlowRunInput) -> SuccessPayload | None:
        """Delete a flow run."""
        return SuccessPayload(success=await runs.delete_flow_run(info.context.actions, flow_run_id=input.flow_run_id))

    @strawberry.mutation
    async def get_runs_in_queue(self, info: ActionInfo, input: GetRunsInQueueInput) -> RunsInQueuePayload | None:
        """List the flow runs that an agent should take."""
        flow_run_ids = await queue.get_runs_in_queue(
            info.context.actions,
            tenant_id=input.tenant_id,
            before=input.before,
            labels=input.labels,
            agent_id=info.context.agent_id,
        )
        return RunsInQueuePayload(flow_run_ids=[str(flow_run_id) for flow_run_id in flow_run_ids])


TYPES = (GetOrCreateMappedTaskRunChildrenInput,)
