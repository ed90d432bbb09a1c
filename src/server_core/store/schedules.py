"""SQL that finds what the scheduler must plan. Called by actions.schedules and by the towel's scheduler loop."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession


async def find_active_flows(session: ReadSession, *, before: UUID | None, limit: int) -> list[UUID]:
    """Return the ids of flows whose schedule is on, a page of them in falling order.

    Args:
        before: the last id of the page before; None for the first page.
    """
    rows = await session.fetch(
        """
        SELECT id
        FROM flow
        WHERE is_schedule_active AND NOT archived AND ($1::uuid IS NULL OR id < $1)
        ORDER BY id DESC
        LIMIT $2
        """,
        before,
        limit,
    )
    return [row["id"] for row in rows]


async def fetch_plans(session: ReadSession, *, flow_ids: Sequence[UUID]) -> list[Row]:
    """Return what planning needs of those flows that can be planned: flow_id, schedule, last.

    schedule is the group's if set, else the flow's; last is the latest start time that was planned, or null. Flows that
    are archived, off, or without any schedule are left out.
    """
    return await session.fetch(
        """
        SELECT
            flow.id AS flow_id,
            coalesce(nullif(flow_group.schedule, 'null'), flow.schedule) AS schedule,
            planned.last
        FROM flow
        JOIN flow_group ON flow_group.id = flow.flow_group_id
        LEFT JOIN LATERAL (
            SELECT flow_run.scheduled_start_time AS last
            FROM flow_run
            WHERE flow_run.flow_id = flow.id AND flow_run.auto_scheduled
            ORDER BY flow_run.scheduled_start_time DESC
            LIMIT 1
        ) AS planned ON true
        WHERE flow.id = ANY($1::uuid[])
          AND flow.is_schedule_active
          AND NOT flow.archived
          AND coalesce(nullif(flow_group.schedule, 'null'), flow.schedule) <> 'null'
        ORDER BY flow.id
        """,
        flow_ids,
    )


async def hold_plans(session: WriteSession, *, flow_ids: Sequence[UUID], groups: bool) -> dict[UUID, Any]:
    """Return the schedules of those flows that can still be planned, and keep them so until the transaction ends.

    Whoever turns a schedule off waits for this transaction, and then finds and deletes what it planned.

    Args:
        flow_ids: flows to hold.
        groups: hold the flow groups as well, each before its flows (Postgres locks in the order of the list after OF).
            Not for a caller that has locked a flow: changing a group locks the group before its flows.
    """
    rows = await session.fetch(
        f"""
        SELECT flow.id, coalesce(nullif(flow_group.schedule, 'null'), flow.schedule) AS schedule
        FROM flow JOIN flow_group ON flow_group.id = flow.flow_group_id
        WHERE flow.id = ANY($1::uuid[]) AND flow.is_schedule_active AND NOT flow.archived
        ORDER BY flow.id
        FOR SHARE OF {"flow_group, flow" if groups else "flow"}
        """,  # noqa: S608 - one of two constants
        flow_ids,
    )
    return {row["id"]: row["schedule"] for row in rows}


async def find_planned_runs(
    session: ReadSession, *, flow_ids: Sequence[UUID], idempotency_keys: Sequence[str]
) -> dict[tuple[UUID, str], UUID]:
    """Return the planned runs that have one of the keys, by (flow, key); the two lists are pairs."""
    rows = await session.fetch(
        """
        SELECT flow_run.id, flow_run.flow_id, flow_run.idempotency_key
        FROM unnest($1::uuid[], $2::text[]) AS wanted(flow_id, idempotency_key)
        JOIN flow_run
          ON flow_run.flow_id = wanted.flow_id AND flow_run.idempotency_key = wanted.idempotency_key
        WHERE flow_run.auto_scheduled
        """,
        flow_ids,
        idempotency_keys,
    )
    return {(row["flow_id"], row["idempotency_key"]): row["id"] for row in rows}
