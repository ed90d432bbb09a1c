"""Verbs on agents and their configs (actions.md §2.11, §7.5). Called by the GraphQL service."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.errors import InvalidInput
from server_core.rules.arguments import require
from server_core.store import agents as store
from server_core.store.locks import wait_for


async def register_agent(
    context: ActionContext,
    *,
    type: str,
    tenant_id: UUID | None = None,
    name: str | None = None,
    labels: Sequence[str] | None = None,
    core_version: str | None = None,
    agent_config_id: UUID | None = None,
) -> UUID:
    """Return the agent with this tenant, name, type, client version and set of labels; add it if there is none.

    An agent that starts again, or twice at once, keeps its one row; nothing of it is changed.

    Args:
        tenant_id: None: the only tenant there is.
        core_version: version of the client library that the agent runs.

    Raises:
        InvalidInput: the type is empty, or no tenant is named and there is not exactly one.
        ForeignKeyViolation: there is no such tenant or agent config.
    """
    require(type=type)
    given = sorted(labels or ())
    async with context.database.transaction() as session:
        if tenant_id is None:
            tenants = await store.fetch_some_tenants(session)
            if len(tenants) != 1:
                raise InvalidInput("`tenant_id` is required.")
            [tenant_id] = tenants
        await wait_for(session, "agent:" + json.dumps([str(tenant_id), type, given]))
        return await store.find_or_insert_agent(
            session,
            tenant_id=tenant_id,
            name=name,
            type=type,
            core_version=core_version,
            labels=given,
            agent_config_id=agent_config_id,
        )


async def delete_agent(context: ActionContext, *, agent_id: UUID) -> bool:
    """Delete an agent; return whether it existed."""
    require(agent_id=agent_id)
    async with context.database.autocommit() as session:
        return await store.delete_agent(session, agent_id=agent_id)


async def create_agent_config(
    context: ActionContext, *, tenant_id: UUID, name: str | None = None, settings: Any = None
) -> UUID:
    """Add an agent config and return its id; settings default to an empty object.

    Raises:
        InvalidInput: the settings are not an object.
        ForeignKeyViolation: there is no such tenant.
    """
    require(tenant_id=tenant_id)
    checked = _object(settings)
    async with context.database.autocommit(repeatable=False) as session:
        return await store.insert_agent_config(
            session, tenant_id=tenant_id, name=name, settings={} if checked is None else checked
        )


async def update_agent_config(
    context: ActionContext, *, agent_config_id: UUID, name: str | None = None, settings: Any = None
) -> bool:
    """Replace name and settings of an agent config, each unless None; return whether it exists.

    Raises:
        InvalidInput: the settings are not an object.
    """
    require(agent_config_id=agent_config_id)
    checked = _object(settings)
    async with context.database.autocommit() as session:
        return await store.update_agent_config(session, agent_config_id=agent_config_id, name=name, settings=checked)


async def delete_agent_config(context: ActionContext, *, agent_config_id: UUID) -> bool:
    """Delete an agent config; return whether it existed."""
    require(agent_config_id=agent_config_id)
    async with context.database.autocommit() as session:
        return await store.delete_agent_config(session, agent_config_id=agent_config_id)


def _object(settings: object) -> dict[str, Any] | None:
    if settings is not None and not isinstance(settings, dict):
        raise InvalidInput("`settings` must be a JSON object.")
    return settings
