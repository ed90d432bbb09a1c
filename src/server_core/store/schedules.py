"""SQL that finds what the scheduler must plan, and notes when to look again. Called by actions.schedules.

`flow_plan` says when each flow must be planned again. It may hold several rows of a flow: triggers add one whenever
something changes that decides about its runs (migrations/sql/triggers/flow_plan.sql), and planning replaces those it
saw by one. So a change that comes in meanwhile is never lost, and nobody waits for anybody.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession


@dataclass(frozen=True, kw_only=True, slots=True)
class NextLook:
    """When a flow must be planned again; `due` None: when something changes."""

    flow_id: UUID
    due: datetime | None


async def find_due_flows(session: ReadSession, *, now: datetime, max_runs: int, limit: int) -> list[UUID]:
    """Return the ids of flows that must be planned now, in rising order.

    Those are the flows of which an event has passed, those that were changed, and those that were planned with another
    `max_runs`.
    """
    rows = await session.fetch(
        """
        SELECT DISTINCT flow_id
        FROM (
            SELECT flow_id FROM flow_plan WHERE horizon < $2
            UNION ALL
            SELECT flow_id FROM flow_plan WHERE horizon > $2
            UNION ALL
            SELECT flow_id FROM flow_plan WHERE horizon = $2 AND due <= $1
            LIMIT $3
        ) AS due
        ORDER BY flow_id
        """,
        now,
        max_runs,
        limit,
    )
    return [row["flow_id"] for row in rows]


async def claim_flow_plans(session: WriteSession, *, flow_ids: Sequence[UUID]) -> list[Row]:
    """Return id and flow_id of the notes about some flows and lock them; those that another scheduler has stay out."""
    return await session.fetch(
        "SELECT id, flow_id FROM flow_plan WHERE flow_id = ANY($1::uuid[]) FOR UPDATE SKIP LOCKED", flow_ids
    )


async def replace_flow_plans(
    session: WriteSession, *, plan_ids: Sequence[UUID], looks: Sequence[NextLook], max_runs: int
) -> None:
    """Replace the notes that were claimed by when to look again; flows without such a time are forgotten."""
    await session.execute(
        """
        WITH gone AS (
            DELETE FROM flow_plan WHERE id = ANY($1::uuid[])
        )
        INSERT INTO flow_plan (flow_id, due, horizon)
        SELECT flow_id, coalesce(due, 'infinity'), $4
        FROM unnest($2::uuid[], $3::timestamptz[]) AS look(flow_id, due)
        """,
        plan_ids,
        [look.flow_id for look in looks],
        [look.due for look in looks],
        max_runs,
    )


async def note_unplanned_flows(session: WriteSession) -> int:
    """Make the active flows due of which nothing is noted (rows that came in while triggers were off)."""
    return await session.execute(
        """
        INSERT INTO flow_plan (flow_id)
        SELECT id FROM flow
        WHERE is_schedule_active AND NOT archived
          AND NOT EXISTS (SELECT FROM flow_plan WHERE flow_plan.flow_id = flow.id)
        """
    )


async def fetch_plans(session: ReadSession, *, flow_ids: Sequence[UUID]) -> list[Row]:
    """Return what planning needs of those flows that are on: flow_id, schedule, last.

    schedule is the group's if set, else the flow's, else null; last is the latest start time that was planned, or null.
    Runs that gave their slot back (free_cancelled_slots) count no more.
    """
    return await session.fetch(
        """
        SELECT
            flow.id AS flow_id,
            coalesce(nullif(flow_group.schedule, 'null'), nullif(flow.schedule, 'null')) AS schedule,
            planned.last
        FROM flow
        JOIN flow_group ON flow_group.id = flow.flow_group_id
        LEFT JOIN LATERAL (
            SELECT flow_run.scheduled_start_time AS last
            FROM flow_run
            WHERE flow_run.flow_id = flow.id AND flow_run.auto_scheduled AND flow_run.idempotency_key IS NOT NULL
            ORDER BY flow_run.scheduled_start_time DESC
            LIMIT 1
        ) AS planned ON true
        WHERE flow.id = ANY($1::uuid[]) AND flow.is_schedule_active AND NOT flow.archived
        ORDER BY flow.id
        """,
        flow_ids,
    )


async def free_cancelled_slots(session: WriteSession, *, flow_ids: Sequence[UUID], now: datetime) -> int:
    """Let the coming events of planned runs that were cancelled before they ran be planned anew; return how many.

    The cancelled runs stay as history, without the key that stands for the event.
    """
    return await session.execute(
        """
        UPDATE flow_run SET idempotency_key = NULL
        WHERE id IN (
            SELECT id FROM flow_run
            WHERE flow_id = ANY($1::uuid[])
              AND scheduled_start_time > $2
              AND auto_scheduled
              AND state = 'Cancelled'
              AND start_time IS NULL
              AND idempotency_key IS NOT NULL
            ORDER BY id
            FOR UPDATE
        )
        """,
        flow_ids,
        now,
    )


async def hold_plans(
    session: WriteSession, *, flow_ids: Sequence[UUID], groups: bool, wait: bool = True
) -> dict[UUID, Any]:
    """Return the schedules of those flows that can still be planned, and keep them so until the transaction ends.

    Whoever turns a schedule off waits for this transaction, and then finds and deletes what it planned.

    Args:
        flow_ids: flows to hold.
        groups: hold the flow groups as well, each before its flows (Postgres locks in the order of the list after OF).
            Not for a caller that has locked a flow: changing a group locks the group before its flows.
        wait: wait for those that somebody else is changing; else they are left out.
    """
    rows = await session.fetch(
        f"""
        SELECT flow.id, coalesce(nullif(flow_group.schedule, 'null'), nullif(flow.schedule, 'null')) AS schedule
        FROM flow JOIN flow_group ON flow_group.id = flow.flow_group_id
        WHERE flow.id = ANY($1::uuid[]) AND flow.is_schedule_active AND NOT flow.archived
        ORDER BY flow.id
        FOR SHARE OF {"flow_group, flow" if groups else "flow"} {"" if wait else "SKIP LOCKED"}
        """,  # noqa: S608 - made of constants
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
