"""SQL on agent and agent_config. Called by actions.agents inside its transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from server_core.db.session import ReadSession, WriteSession


async def fetch_some_tenants(session: ReadSession) -> list[UUID]:
    """Return up to two tenants: enough to know whether there is only one."""
    return [row["id"] for row in await session.fetch("SELECT id FROM tenant ORDER BY created, id LIMIT 2")]


async def find_or_insert_agent(
    session: WriteSession,
    *,
    tenant_id: UUID,
    name: str | None,
    type: str,
    core_version: str | None,
    labels: Sequence[str],
    agent_config_id: UUID | None,
) -> UUID:
    """Return the oldest agent of this identity; insert it if there is none.

    A null name or core version matches any, an equal one first (actions.md §0.5). Only with the identity locked do two
    calls at once make one row.
    """
    agent_id: UUID = await session.fetch_value(
        """
        WITH found AS (
            SELECT id
            FROM agent
            WHERE tenant_id = $1
                AND ($2::text IS NULL OR name = $2)
                AND type = $3::text
                AND ($4::text IS NULL OR core_version = $4)
                AND labels = $5::jsonb
            ORDER BY
                (name IS NOT DISTINCT FROM $2) DESC, (core_version IS NOT DISTINCT FROM $4) DESC, created, id
            LIMIT 1
        ),
        made AS (
            INSERT INTO agent (tenant_id, name, type, core_version, labels, agent_config_id)
            SELECT $1, $2, $3, $4, $5, $6::uuid WHERE NOT EXISTS (SELECT FROM found)
            RETURNING id
        )
        SELECT id FROM found UNION ALL SELECT id FROM made
        """,
        tenant_id,
        name,
        type,
        core_version,
        list(labels),
        agent_config_id,
    )
    return agent_id


async def delete_agent(session: WriteSession, *, agent_id: UUID) -> bool:
    """Delete an agent; its runs forget it."""
    return await session.execute("DELETE FROM agent WHERE id = $1", agent_id) > 0


async def insert_agent_config(
    session: WriteSession, *, tenant_id: UUID, name: str | None, settings: dict[str, Any]
) -> UUID:
    """Insert an agent config and return its id."""
    agent_config_id: UUID = await session.fetch_value(
        "INSERT INTO agent_config (tenant_id, name, settings) VALUES ($1, $2, $3) RETURNING id",
        tenant_id,
        name,
        settings,
    )
    return agent_config_id


async def update_agent_config(
    session: WriteSession, *, agent_config_id: UUID, name: str | None, settings: dict[str, Any] | None
) -> bool:
    """Replace what is given of an agent config."""
    count = await session.execute(
        "UPDATE agent_config SET name = coalesce($2, name), settings = coalesce($3::jsonb, settings) WHERE id = $1",
        agent_config_id,
        name,
        settings,
    )
    return count > 0


async def delete_agent_config(session: WriteSession, *, agent_config_id: UUID) -> bool:
    """Delete an agent config; its agents forget it."""
    return await session.execute("DELETE FROM agent_config WHERE id = $1", agent_config_id) > 0
