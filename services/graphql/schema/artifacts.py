"""Mutations on task-run artifacts (actions.md §2.12): unpack the input, call one verb, shape the payload."""

from uuid import UUID

import strawberry

from server_core.actions import artifacts
from services.graphql.context import ActionInfo
from services.graphql.scalars import JSON
from services.graphql.schema.payloads import SuccessPayload, TaskRunArtifactIdPayload


@strawberry.input(name="create_task_run_artifact_input")
class CreateTaskRunArtifactInput:
    """A new artifact of a task run."""

    task_run_id: UUID
    kind: str
    data: JSON
    tenant_id: UUID | None


@strawberry.input(name="update_task_run_artifact_input")
class UpdateTaskRunArtifactInput:
    """New data for an artifact."""

    task_run_artifact_id: UUID
    data: JSON


@strawberry.input(name="delete_task_run_artifact_input")
class DeleteTaskRunArtifactInput:
    """An artifact to delete."""

    task_run_artifact_id: UUID


@strawberry.type
class Mutation:
    """Mutations on artifacts."""

    @strawberry.mutation
    async def create_task_run_artifact(
        self, info: ActionInfo, input: CreateTaskRunArtifactInput
    ) -> TaskRunArtifactIdPayload | None:
        """Attach an artifact to a task run."""
        return TaskRunArtifactIdPayload(
            id=await artifacts.create_task_run_artifact(
                info.context.actions,
                task_run_id=input.task_run_id,
                kind=input.kind,
                data=input.data,
                tenant_id=input.tenant_id,
            )
        )

    @strawberry.mutation
    async def update_task_run_artifact(
        self, info: ActionInfo, input: UpdateTaskRunArtifactInput
    ) -> SuccessPayload | None:
        """Replace an artifact's data."""
        return SuccessPayload(
            success=await artifacts.update_task_run_artifact(
                info.context.actions, task_run_artifact_id=input.task_run_artifact_id, data=input.data
            )
        )

    @strawberry.mutation
    async def delete_task_run_artifact(
        self, info: ActionInfo, input: DeleteTaskRunArtifactInput
    ) -> SuccessPayload | None:
        """Delete an artifact."""
        return SuccessPayload(
            success=await artifacts.delete_task_run_artifact(
                info.context.actions, task_run_artifact_id=input.task_run_artifact_id
            )
        )
