"""Mutations on projects (actions.md §2.3): unpack the input, call one verb, shape the payload."""

from uuid import UUID

import strawberry
from strawberry import UNSET

from server_core.actions import projects
from server_core.errors import InvalidInput
from services.graphql.context import ActionInfo
from services.graphql.schema.payloads import ProjectIdPayload, SuccessPayload


@strawberry.input(name="create_project_input")
class CreateProjectInput:
    """A new project."""

    tenant_id: UUID
    name: str
    description: str | None


@strawberry.input(name="delete_project_input")
class DeleteProjectInput:
    """A project to delete."""

    project_id: UUID


@strawberry.input(name="set_project_name_input")
class SetProjectNameInput:
    """A new name for a project."""

    project_id: UUID
    name: str


@strawberry.input(name="set_project_description_input")
class SetProjectDescriptionInput:
    """A new description for a project; null clears it, omitted is an error."""

    project_id: UUID
    description: str | None = UNSET


@strawberry.type
class Mutation:
    """Mutations on projects."""

    @strawberry.mutation
    async def create_project(self, info: ActionInfo, input: CreateProjectInput) -> ProjectIdPayload | None:
        """Create a project."""
        return ProjectIdPayload(
            id=await projects.create_project(
                info.context.actions, tenant_id=input.tenant_id, name=input.name, description=input.description
            )
        )

    @strawberry.mutation
    async def delete_project(self, info: ActionInfo, input: DeleteProjectInput) -> SuccessPayload | None:
        """Delete a project and its flows."""
        return SuccessPayload(success=await projects.delete_project(info.context.actions, project_id=input.project_id))

    @strawberry.mutation
    async def set_project_name(self, info: ActionInfo, input: SetProjectNameInput) -> ProjectIdPayload | None:
        """Rename a project."""
        return ProjectIdPayload(
            id=await projects.set_project_name(info.context.actions, project_id=input.project_id, name=input.name)
        )

    @strawberry.mutation
    async def set_project_description(
        self, info: ActionInfo, input: SetProjectDescriptionInput
    ) -> ProjectIdPayload | None:
        """Describe a project."""
        if input.description is UNSET:
            raise InvalidInput("`description` is required; null clears it.")
        return ProjectIdPayload(
            id=await projects.set_project_description(
                info.context.actions, project_id=input.project_id, description=input.description
            )
        )
