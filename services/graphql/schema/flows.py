"""Mutations on flows (actions.md §2.4): unpack the input, call one verb, shape the payload."""

from typing import Any
from uuid import UUID

import strawberry
from strawberry import UNSET

from server_core.actions import flows, registration
from services.graphql.context import ActionInfo
from services.graphql.scalars import JSON
from services.graphql.schema.payloads import FlowIdPayload, SuccessPayload


@strawberry.input(name="create_flow_input")
class CreateFlowInput:
    """A new version of a flow; `set_schedule_active` is true when omitted and false when null."""

    serialized_flow: JSON
    project_id: UUID
    version_group_id: str | None
    set_schedule_active: bool | None = UNSET
    description: str | None
    idempotency_key: str | None


@strawberry.input(name="create_flow_from_compressed_string_input")
class CreateFlowFromCompressedStringInput:
    """A new version of a flow, its document as base64(gzip(json))."""

    serialized_flow: str
    project_id: UUID
    version_group_id: str | None
    set_schedule_active: bool | None = UNSET
    description: str | None
    idempotency_key: str | None


@strawberry.input(name="register_tasks_input")
class RegisterTasksInput:
    """Tasks to add to a flow."""

    serialized_tasks: JSON
    flow_id: UUID


@strawberry.input(name="register_edges_input")
class RegisterEdgesInput:
    """Edges to add to a flow."""

    serialized_edges: JSON
    flow_id: UUID


@strawberry.input(name="delete_flow_input")
class DeleteFlowInput:
    """A flow to delete."""

    flow_id: UUID


@strawberry.input(name="archive_flow_input")
class ArchiveFlowInput:
    """A flow to archive."""

    flow_id: UUID


@strawberry.input(name="update_flow_project_input")
class UpdateFlowProjectInput:
    """A flow and the project it goes to."""

    flow_id: UUID
    project_id: UUID


@strawberry.input(name="disable_flow_heartbeat_input")
class DisableFlowHeartbeatInput:
    """A flow whose group's heartbeats are no longer watched."""

    flow_id: UUID


@strawberry.input(name="enable_flow_heartbeat_input")
class EnableFlowHeartbeatInput:
    """A flow whose group's heartbeats are watched."""

    flow_id: UUID


@strawberry.input(name="disable_flow_lazarus_process_input")
class DisableFlowLazarusProcessInput:
    """A flow whose group's silent runs are left alone."""

    flow_id: UUID


@strawberry.input(name="enable_flow_lazarus_process_input")
class EnableFlowLazarusProcessInput:
    """A flow whose group's silent runs are rescheduled."""

    flow_id: UUID


@strawberry.input(name="set_schedule_active_input")
class SetScheduleActiveInput:
    """A flow whose schedule is turned on."""

    flow_id: UUID


@strawberry.input(name="set_schedule_inactive_input")
class SetScheduleInactiveInput:
    """A flow whose schedule is turned off."""

    flow_id: UUID


@strawberry.type
class Mutation:
    """Mutations on flows."""

    @strawberry.mutation
    async def create_flow(self, info: ActionInfo, input: CreateFlowInput) -> FlowIdPayload | None:
        """Register a new version of a flow."""
        flow_id = await registration.create_flow(
            info.context.actions, serialized_flow=input.serialized_flow, **_options(input)
        )
        return FlowIdPayload(id=flow_id)

    @strawberry.mutation
    async def create_flow_from_compressed_string(
        self, info: ActionInfo, input: CreateFlowFromCompressedStringInput
    ) -> FlowIdPayload | None:
        """Register a new version of a flow whose document comes compressed."""
        flow_id = await registration.create_flow_from_compressed_string(
            info.context.actions, serialized_flow=input.serialized_flow, **_options(input)
        )
        return FlowIdPayload(id=flow_id)

    @strawberry.mutation
    async def register_tasks(self, info: ActionInfo, input: RegisterTasksInput) -> SuccessPayload | None:
        """Add tasks to a flow."""
        return SuccessPayload(
            success=await registration.register_tasks(
                info.context.actions, flow_id=input.flow_id, serialized_tasks=input.serialized_tasks
            )
        )

    @strawberry.mutation
    async def register_edges(self, info: ActionInfo, input: RegisterEdgesInput) -> SuccessPayload | None:
        """Add edges to a flow."""
        return SuccessPayload(
            success=await registration.register_edges(
                info.context.actions, flow_id=input.flow_id, serialized_edges=input.serialized_edges
            )
        )

    @strawberry.mutation
    async def delete_flow(self, info: ActionInfo, input: DeleteFlowInput) -> SuccessPayload | None:
        """Delete a flow and its runs."""
        return SuccessPayload(success=await flows.delete_flow(info.context.actions, flow_id=input.flow_id))

    @strawberry.mutation
    async def archive_flow(self, info: ActionInfo, input: ArchiveFlowInput) -> SuccessPayload | None:
        """Archive a flow."""
        return SuccessPayload(success=await flows.archive_flow(info.context.actions, flow_id=input.flow_id))

    @strawberry.mutation
    async def update_flow_project(self, info: ActionInfo, input: UpdateFlowProjectInput) -> FlowIdPayload | None:
        """Move a flow to another project."""
        return FlowIdPayload(
            id=await flows.update_flow_project(info.context.actions, flow_id=input.flow_id, project_id=input.project_id)
        )

    @strawberry.mutation
    async def disable_flow_heartbeat(self, info: ActionInfo, input: DisableFlowHeartbeatInput) -> SuccessPayload | None:
        """Stop watching the heartbeats of a flow's runs."""
        return SuccessPayload(
            success=await flows.set_flow_heartbeat(info.context.actions, flow_id=input.flow_id, enabled=False)
        )

    @strawberry.mutation
    async def enable_flow_heartbeat(self, info: ActionInfo, input: EnableFlowHeartbeatInput) -> SuccessPayload | None:
        """Watch the heartbeats of a flow's runs."""
        return SuccessPayload(
            success=await flows.set_flow_heartbeat(info.context.actions, flow_id=input.flow_id, enabled=True)
        )

    @strawberry.mutation
    async def disable_flow_lazarus_process(
        self, info: ActionInfo, input: DisableFlowLazarusProcessInput
    ) -> SuccessPayload | None:
        """Stop rescheduling silent runs of a flow."""
        return SuccessPayload(
            success=await flows.set_flow_lazarus_process(info.context.actions, flow_id=input.flow_id, enabled=False)
        )

    @strawberry.mutation
    async def enable_flow_lazarus_process(
        self, info: ActionInfo, input: EnableFlowLazarusProcessInput
    ) -> SuccessPayload | None:
        """Reschedule silent runs of a flow."""
        return SuccessPayload(
            success=await flows.set_flow_lazarus_process(info.context.actions, flow_id=input.flow_id, enabled=True)
        )

    @strawberry.mutation
    async def set_schedule_active(self, info: ActionInfo, input: SetScheduleActiveInput) -> SuccessPayload | None:
        """Turn a flow's schedule on."""
        return SuccessPayload(success=await flows.set_schedule_active(info.context.actions, flow_id=input.flow_id))

    @strawberry.mutation
    async def set_schedule_inactive(self, info: ActionInfo, input: SetScheduleInactiveInput) -> SuccessPayload | None:
        """Turn a flow's schedule off."""
        return SuccessPayload(success=await flows.set_schedule_inactive(info.context.actions, flow_id=input.flow_id))


def _options(input: CreateFlowInput | CreateFlowFromCompressedStringInput) -> dict[str, Any]:
    return {
        "project_id": input.project_id,
        "version_group_id": input.version_group_id,
        "set_schedule_active": True if input.set_schedule_active is UNSET else bool(input.set_schedule_active),
        "description": input.description,
        "idempotency_key": input.idempotency_key,
    }
