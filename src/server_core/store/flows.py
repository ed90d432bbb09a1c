"""SQL on table flow and its runs. Called by actions.flows inside its transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession
from server_core.flow_document import Flow
from server_core.store.removal import is_kept


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowHome:
    """Where a flow belongs, as far as verbs need it."""

    id: UUID
    tenant_id: UUID | None
    flow_group_id: UUID
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowSchedule:
    """What decides whether and how a flow is scheduled."""

    is_schedule_active: bool
    parameters: Any
    schedule: dict[str, Any] | None
    group_schedule: dict[str, Any] | None
    group_defaults: dict[str, Any]


async def find_project_tenant(session: ReadSession, *, project_id: UUID) -> UUID | None:
    """Return the tenant of a project and keep the project from being deleted; None if there is none."""
    tenant_id: UUID | None = await session.fetch_value(
        "SELECT tenant_id FROM project WHERE id = $1 FOR KEY SHARE", project_id
    )
    return tenant_id


async def find_version_group(session: ReadSession, *, project_id: UUID, name: str) -> str | None:
    """Return the version group of the project's most recently created flow of a name, archived ones included.

    What is being deleted does not count, here and below: it is as good as gone.
    """
    version_group_id: str | None = await session.fetch_value(
        f"""
        SELECT version_group_id FROM flow
        WHERE project_id = $1 AND name = $2 AND {is_kept("flow.id")}
        ORDER BY created DESC, version DESC
        LIMIT 1
        """,  # noqa: S608 - made of constants
        project_id,
        name,
    )
    return version_group_id


async def next_version(session: ReadSession, *, tenant_id: UUID, version_group_id: str) -> int:
    """Return one more than the highest version of a version group, archived flows included."""
    version: int = await session.fetch_value(
        f"""
        SELECT coalesce(max(version), 0) + 1
        FROM flow
        WHERE version_group_id = $2 AND tenant_id = $1 AND {is_kept("flow.id")}
        """,  # noqa: S608 - made of constants
        tenant_id,
        version_group_id,
    )
    return version


async def find_latest_of_group(session: ReadSession, *, flow_group_id: UUID) -> UUID | None:
    """Return the unarchived flow of a flow group with the highest version."""
    flow_id: UUID | None = await session.fetch_value(
        "SELECT id FROM flow WHERE flow_group_id = $1 AND NOT archived ORDER BY version DESC NULLS LAST LIMIT 1",
        flow_group_id,
    )
    return flow_id


async def insert_flow(
    session: WriteSession,
    flow: Flow,
    *,
    tenant_id: UUID,
    project_id: UUID,
    flow_group_id: UUID,
    version_group_id: str,
    version: int,
    description: str | None,
    settings: dict[str, Any],
) -> UUID:
    """Insert the row of a flow, unarchived and with an inactive schedule; return its id."""
    flow_id: UUID = await session.fetch_value(
        """
        INSERT INTO flow (
            tenant_id, project_id, flow_group_id, version_group_id, version, name, description, core_version,
            parameters, environment, run_config, storage, schedule, serialized_flow, settings
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        RETURNING id
        """,
        tenant_id,
        project_id,
        flow_group_id,
        version_group_id,
        version,
        flow.name,
        description,
        flow.core_version,
        flow.parameters,
        flow.environment,
        flow.run_config,
        flow.storage,
        flow.schedule,
        flow.document,
        settings,
    )
    return flow_id


async def lock_flow(session: WriteSession, *, flow_id: UUID) -> FlowHome | None:
    """Return a flow, or None, and make other verbs on it wait until this transaction ends."""
    row = await session.fetch_row(
        f"""
        SELECT id, tenant_id, flow_group_id, name
        FROM flow
        WHERE id = $1 AND {is_kept("flow.id")}
        FOR NO KEY UPDATE
        """,  # noqa: S608 - made of constants
        flow_id,
    )
    return None if row is None else FlowHome(**row)


async def lock_flows(session: WriteSession, *, flow_ids: Sequence[UUID]) -> list[UUID]:
    """Return those of some flows that exist, and make other verbs on them wait; all in one order, so none deadlocks."""
    rows = await session.fetch(
        f"""
        SELECT id FROM flow
        WHERE id = ANY($1::uuid[]) AND {is_kept("flow.id")}
        ORDER BY id
        FOR NO KEY UPDATE
        """,  # noqa: S608 - made of constants
        flow_ids,
    )
    return [row["id"] for row in rows]


async def find_schedule(session: ReadSession, *, flow_id: UUID) -> FlowSchedule | None:
    """Return what decides about a flow's scheduling."""
    row = await session.fetch_row(
        """
        SELECT f.is_schedule_active, f.parameters, f.schedule,
               g.schedule AS group_schedule, g.default_parameters AS group_defaults
        FROM flow f JOIN flow_group g ON g.id = f.flow_group_id
        WHERE f.id = $1
        """,
        flow_id,
    )
    return None if row is None else FlowSchedule(**row)


async def is_successor_of_inactive(session: ReadSession, *, flow_id: UUID, registered_after: datetime) -> bool:
    """Tell whether a flow is new and the version before it had a schedule that was switched off."""
    found: bool = await session.fetch_value(
        """
        SELECT EXISTS (
            SELECT
            FROM flow
            JOIN flow_group ON flow_group.id = flow.flow_group_id
            CROSS JOIN LATERAL (
                SELECT is_schedule_active, schedule
                FROM flow AS other
                WHERE other.version_group_id = flow.version_group_id
                  AND other.flow_group_id = flow.flow_group_id
                  AND other.version < flow.version
                ORDER BY other.version DESC
                LIMIT 1
            ) AS previous
            WHERE flow.id = $1
              AND flow.created > $2
              AND NOT previous.is_schedule_active
              AND coalesce(nullif(flow_group.schedule, 'null'), nullif(previous.schedule, 'null')) IS NOT NULL
        )
        """,
        flow_id,
        registered_after,
    )
    return found


async def set_schedule_flag(session: WriteSession, *, flow_id: UUID, active: bool) -> int:
    """Set is_schedule_active; return how many rows matched."""
    return await session.execute("UPDATE flow SET is_schedule_active = $2 WHERE id = $1", flow_id, active)


async def set_archived(session: WriteSession, *, flow_ids: Sequence[UUID], archived: bool) -> list[Row]:
    """Set the flag of flows that are locked; return id, name and is_schedule_active of those that exist."""
    return await session.fetch(
        """
        UPDATE flow SET archived = $2 WHERE id = ANY($1::uuid[])
        RETURNING id, name, is_schedule_active
        """,
        flow_ids,
        archived,
    )


async def find_other_versions(
    session: WriteSession, *, tenant_id: UUID, version_group_id: str, flow_id: UUID
) -> list[UUID]:
    """Return the unarchived flows of a version group but one."""
    rows = await session.fetch(
        """
        SELECT id FROM flow
        WHERE version_group_id = $2 AND tenant_id = $1 AND NOT archived AND id <> $3
        ORDER BY id
        """,
        tenant_id,
        version_group_id,
        flow_id,
    )
    return [row["id"] for row in rows]


async def delete_planned_runs(session: WriteSession, *, flow_ids: Sequence[UUID]) -> int:
    """Delete the runs that the scheduler planned and that are still exactly Scheduled; return how many."""
    return await session.execute(
        """
        -- locked in order of id, as state writes do, so that two of these never wait for each other
        DELETE FROM flow_run
        WHERE id IN (
            SELECT id FROM flow_run
            WHERE flow_id = ANY($1::uuid[]) AND state = 'Scheduled' AND auto_scheduled
            ORDER BY id
            FOR UPDATE
        )
        """,
        flow_ids,
    )


async def find_waiting_runs(session: WriteSession, *, flow_ids: Sequence[UUID]) -> list[Row]:
    """Return id and flow name of the manual runs that are still exactly Scheduled."""
    return await session.fetch(
        """
        SELECT r.id, f.name AS flow_name
        FROM flow_run r JOIN flow f ON f.id = r.flow_id
        WHERE r.flow_id = ANY($1::uuid[]) AND r.state = 'Scheduled' AND NOT r.auto_scheduled
        ORDER BY r.id
        """,
        flow_ids,
    )


async def update_project(session: WriteSession, *, flow_id: UUID, project_id: UUID) -> int:
    """Move a flow to another project of its tenant; return how many rows matched."""
    return await session.execute(
        """
        UPDATE flow SET project_id = p.id
        FROM project p
        WHERE flow.id = $1 AND p.id = $2 AND p.tenant_id IS NOT DISTINCT FROM flow.tenant_id
        """,
        flow_id,
        project_id,
    )
