"""Rows of `cloud_hook`, and what the test of one says about a run. Called by actions/cloud_hooks."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession

HOOK = """
-- one hook
SELECT id, tenant_id, type, states, config, active, version_group_id
FROM cloud_hook
WHERE id = $1
"""

SUBJECTS = """
-- runs with the names of their flow and tenant
SELECT r.id AS flow_run_id, r.name AS flow_run_name, f.id AS flow_id, f.name AS flow_name,
       f.flow_group_id, f.version_group_id, t.id AS tenant_id, t.slug AS tenant_slug
FROM flow_run r
JOIN flow f ON f.id = r.flow_id
JOIN tenant t ON t.id = r.tenant_id
WHERE r.id = ANY($1::uuid[])
"""


async def insert_cloud_hook(
    session: WriteSession,
    *,
    tenant_id: UUID,
    type: str,
    states: Sequence[str],
    config: Mapping[str, Any],
    name: str | None,
    version_group_id: str | None,
) -> UUID:
    """Add an active hook and return its id.

    Raises:
        ForeignKeyViolation: there is no such tenant.
    """
    row_id: UUID = await session.fetch_value(
        """
        INSERT INTO cloud_hook (tenant_id, type, states, config, name, version_group_id, active)
        VALUES ($1, $2, $3, $4, $5, $6, true)
        RETURNING id
        """,
        tenant_id,
        type,
        list(states),
        config,
        name,
        version_group_id,
    )
    return row_id


async def set_active(session: WriteSession, *, cloud_hook_id: UUID, active: bool) -> bool:
    """Switch a hook on or off; say whether it exists."""
    return await session.execute("UPDATE cloud_hook SET active = $2 WHERE id = $1", cloud_hook_id, active) > 0


async def delete_cloud_hook(session: WriteSession, *, cloud_hook_id: UUID) -> bool:
    """Delete a hook; say whether it existed."""
    return await session.execute("DELETE FROM cloud_hook WHERE id = $1", cloud_hook_id) > 0


async def find_cloud_hook(session: ReadSession, *, cloud_hook_id: UUID) -> Row | None:
    """Return one hook, active or not."""
    return await session.fetch_row(HOOK, cloud_hook_id)


async def find_subjects(session: ReadSession, *, flow_run_ids: Sequence[UUID]) -> list[Row]:
    """Return what a notification says about each run: see SUBJECTS.

    A run that is gone, or that has no tenant, is left out.
    """
    return await session.fetch(SUBJECTS, flow_run_ids)


async def find_version(session: ReadSession, *, flow_run_id: UUID) -> int | None:
    """Return a run's current version, or None if there is no such run."""
    version: int | None = await session.fetch_value("SELECT version FROM flow_run WHERE id = $1", flow_run_id)
    return version
