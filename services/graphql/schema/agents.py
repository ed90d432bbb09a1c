"""Mutations on agents and their configs (actions.md §2.11): unpack the input, call one verb, shape the payload."""

from uuid import UUID

import strawberry

from server_core.actions import agents
from services.graphql.context import ActionInfo
from services.graphql.scalars import JSON
from services.graphql.schema.payloads import AgentConfigIdPayload, AgentIdPayload, SuccessPayload


@strawberry.input(name="register_agent_input")
class RegisterAgentInput:
    """An agent that starts."""

    type: str
    tenant_id: UUID | None
    labels: list[str] | None
    agent_config_id: UUID | None
    name: str | None


@strawberry.input(name="delete_agent_input")
class DeleteAgentInput:
    """An agent to delete."""

    agent_id: UUID


@strawberry.input(name="create_agent_config_input")
class CreateAgentConfigInput:
    """A new agent config."""

    tenant_id: UUID
    name: str | None
    settings: JSON | None


@strawberry.input(name="delete_agent_config_input")
class DeleteAgentConfigInput:
    """An agent config to delete."""

    agent_config_id: UUID


@strawberry.input(name="update_agent_config_input")
class UpdateAgentConfigInput:
    """What to replace of an agent config; null leaves it as it is."""

    agent_config_id: UUID
    name: str | None
    settings: JSON | None


@strawberry.type
class Mutation:
    """Mutations on agents."""

    @strawberry.mutation
    async def register_agent(self, info: ActionInfo, input: RegisterAgentInput) -> AgentIdPayload | None:
        """Find the row of an agent, or create it."""
        return AgentIdPayload(
            id=await agents.register_agent(
                info.context.actions,
                type=input.type,
                tenant_id=input.tenant_id,
                name=input.name,
                labels=input.labels,
                core_version=info.context.core_version,
                agent_config_id=input.agent_config_id,
            )
        )

    @strawberry.mutation
    async def delete_agent(self, info: ActionInfo, input: DeleteAgentInput) -> SuccessPayload | None:
        """Delete an agent."""
        return SuccessPayload(success=await agents.delete_agent(info.context.actions, agent_id=input.agent_id))

    @strawberry.mutation
    async def create_agent_config(self, info: ActionInfo, input: CreateAgentConfigInput) -> AgentConfigIdPayload | None:
        """Create an agent config."""
        return AgentConfigIdPayload(
            id=await agents.create_agent_config(
                info.context.actions, tenant_id=input.tenant_id, name=input.name, settings=input.settings
            )
        )

    @strawberry.mutation
    async def delete_agent_config(self, info: ActionInfo, input: DeleteAgentConfigInput) -> SuccessPayload | None:
        """Delete an agent config."""
        return SuccessPayload(
            success=await agents.delete_agent_config(info.context.actions, agent_config_id=input.agent_config_id)
        )

    @strawberry.mutation
    async def update_agent_config(self, info: ActionInfo, input: UpdateAgentConfigInput) -> SuccessPayload | None:
        """Change an agent config."""
        return SuccessPayload(
            success=await agents.update_agent_config(
                info.context.actions,
                agent_config_id=input.agent_config_id,
                name=input.name,
                settings=input.settings,
            )
        )
