"""SQL on table flow_group. Called by actions.flow_groups and actions.registration inside their transactions."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession

_MERGED_SETTINGS = """
    (CASE WHEN jsonb_typeof(settings) = 'object' THEN settings ELSE '{}'::jsonb END || $2::jsonb) - $3::text[]
"""
"""The settings under keys `$2` and without keys `$3`; what is no object (an adopted database may hold it) has none."""


async def find_flow_group(session: ReadSession, *, tenant_id: UUID, name: str) -> Row | None:
    """Return id, schedule and settings of the tenant's flow group of a name, the oldest if there are several."""
    return await session.fetch_row(
        """
        SELECT id, schedule, settings FROM flow_group
        WHERE tenant_id = $1 AND name = $2
        ORDER BY created, id
        LIMIT 1
        FOR NO KEY UPDATE
        """,
        tenant_id,
        name,
    )


async def insert_flow_group(session: WriteSession, *, tenant_id: UUID, name: str, settings: dict[str, Any]) -> UUID:
    """Insert a flow group and return its id."""
    flow_group_id: UUID = await session.fetch_value(
        "INSERT INTO flow_group (tenant_id, name, settings) VALUES ($1, $2, $3) RETURNING id",
        tenant_id,
        name,
        settings,
    )
    return flow_group_id


async def merge_settings(
    session: WriteSession, *, flow_group_id: UUID, settings: Mapping[str, Any], removed: Sequence[str] = ()
) -> int:
    """Overlay keys on the settings of a flow group and remove others; return how many rows matched."""
    return await session.execute(
        f"UPDATE flow_group SET settings = {_MERGED_SETTINGS} WHERE id = $1",  # noqa: S608 - a constant
        flow_group_id,
        settings,
        removed,
    )


async def merge_settings_of_flow(session: WriteSession, *, flow_id: UUID, settings: Mapping[str, Any]) -> UUID | None:
    """Overlay keys on the settings of a flow's group; return the group, None if there is no such flow."""
    flow_group_id: UUID | None = await session.fetch_value(
        f"""
        UPDATE flow_group SET settings = {_MERGED_SETTINGS}
        WHERE id = (SELECT flow_group_id FROM flow WHERE id = $1)
        RETURNING id
        """,  # noqa: S608 - a constant
        flow_id,
        settings,
        (),
    )
    return flow_group_id


async def set_heartbeat_of_flows(session: WriteSession, *, flow_group_id: UUID, enabled: bool | None) -> int:
    """Say in the group's flows, where running clients look, whether heartbeats are on; None: say nothing.

    The caller holds the group's lock. Other keys of a flow's settings stay; flows that say so already are not touched.

    Returns:
        How many flows were changed.
    """
    return await session.execute(
        """
        WITH stale AS (
            SELECT id FROM flow
            WHERE flow_group_id = $1 AND settings -> 'heartbeat_enabled' IS DISTINCT FROM to_jsonb($2::boolean)
            ORDER BY id
            FOR NO KEY UPDATE
        )
        UPDATE flow SET settings = CASE
            WHEN $2::boolean IS NULL THEN settings - 'heartbeat_enabled'
            WHEN jsonb_typeof(settings) = 'object'
            THEN settings || jsonb_build_object('heartbeat_enabled', $2::boolean)
            ELSE jsonb_build_object('heartbeat_enabled', $2::boolean)
        END
        WHERE id IN (SELECT id FROM stale)
        """,
        flow_group_id,
        enabled,
    )


async def update_default_parameters(session: WriteSession, *, flow_group_id: UUID, parameters: dict[str, Any]) -> int:
    """Replace the default parameters; return how many rows matched."""
    return await session.execute(
        "UPDATE flow_group SET default_parameters = $2 WHERE id = $1", flow_group_id, parameters
    )


async def update_description(session: WriteSession, *, flow_group_id: UUID, description: str | None) -> int:
    """Set or clear the description; return how many rows matched."""
    return await session.execute("UPDATE flow_group SET description = $2 WHERE id = $1", flow_group_id, description)


async def update_labels(session: WriteSession, *, flow_group_id: UUID, labels: Sequence[str] | None) -> int:
    """Replace the labels, or with None remove them; return how many rows matched."""
    return await session.execute("UPDATE flow_group SET labels = $2 WHERE id = $1", flow_group_id, labels)


async def update_run_config(session: WriteSession, *, flow_group_id: UUID, run_config: object) -> int:
    """Replace the run config, or with None remove it; return how many rows matched."""
    return await session.execute("UPDATE flow_group SET run_config = $2 WHERE id = $1", flow_group_id, run_config)


async def update_schedule(session: WriteSession, *, flow_group_id: UUID, schedule: dict[str, Any] | None) -> int:
    """Replace the schedule, or with None remove it; return how many rows matched."""
    return await session.execute("UPDATE flow_group SET schedule = $2 WHERE id = $1", flow_group_id, schedule)


async def lock_flows(session: WriteSession, *, flow_group_id: UUID) -> list[Row]:
    """Return id and whether to plan it of the group's flows, and make other verbs on them wait.

    Whoever locks several of these does it in one order: the group, its flows by id, their runs by id.
    """
    return await session.fetch(
        """
        SELECT id, is_schedule_active AND NOT archived AS is_planned FROM flow
        WHERE flow_group_id = $1
        ORDER BY id
        FOR NO KEY UPDATE
        """,
        flow_group_id,
    )
