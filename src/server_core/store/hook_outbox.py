"""Rows of `cloud_hook_delivery`: events that wait to be told to a hook's receiver, and what became of them.

They are written by the statements that write states (store/flow_run_states, store/runs), claimed and finished by
actions.hook_delivery. `next_attempt` is when a row is due: for one that is being sent, when its lease ends; for a
finished one, null.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from server_core.db.session import Row, WriteSession

WAITING = "WAITING"
SENDING = "SENDING"
DELIVERED = "DELIVERED"
FAILED = "FAILED"


def queue_events(source: str, *, now: str) -> str:
    """Return the body of a CTE that queues an event for every hook that wants one of some changes (actions.md §7.2).

    The event holds all that a receiver is told, so that nothing which happens to the run afterwards alters it. The
    hooks are locked against deletion, for the row's key; one that is just being deleted is passed over, so that no
    state is refused or kept waiting for it. A tenant without hooks costs one look into their index.

    Args:
        source: a CTE with flow_run_id, flow_run_name, flow_id, tenant_id, previous_state, state_id, version, state,
            message, start_time, document (JSON text) and timestamp.
        now: the parameter that holds the time.
    """
    return f"""
    INSERT INTO cloud_hook_delivery (cloud_hook_id, tenant_id, flow_run_id, version, event, created, next_attempt)
    SELECT
        hook.id,
        change.tenant_id,
        change.flow_run_id,
        change.version,
        jsonb_build_object(
            'flow_run', jsonb_build_object(
                'id', change.flow_run_id,
                'name', change.flow_run_name,
                'version', change.version - 1,
                'state', change.previous_state
            ),
            'state', jsonb_build_object(
                'id', change.state_id,
                'version', change.version,
                'state', change.state,
                'timestamp', change."timestamp",
                'message', change.message,
                'start_time', change.start_time,
                'serialized_state', change.document::jsonb
            ),
            'flow', subject.flow,
            'tenant', subject.tenant
        ),
        change."timestamp",
        {now}::timestamptz
    FROM {source} AS change
    JOIN cloud_hook AS hook
        ON hook.tenant_id = change.tenant_id AND hook.active AND hook.states ? upper(change.state)
    CROSS JOIN LATERAL (
        SELECT
            flow.version_group_id,
            jsonb_build_object(
                'id', flow.id,
                'name', flow.name,
                'flow_group_id', flow.flow_group_id,
                'version_group_id', flow.version_group_id
            ) AS flow,
            jsonb_build_object('id', tenant.id, 'slug', tenant.slug) AS tenant
        FROM flow JOIN tenant ON tenant.id = change.tenant_id
        WHERE flow.id = change.flow_id
        LIMIT 1
    ) AS subject
    WHERE hook.version_group_id IS NULL OR hook.version_group_id = subject.version_group_id
    FOR KEY SHARE OF hook SKIP LOCKED
    RETURNING cloud_hook_id"""  # noqa: S608 - made of constants


CLAIM = """
-- due deliveries, fairly by hook; they are the caller's until the lease ends
WITH busy AS (
    SELECT * FROM unnest($3::uuid[], $4::int[]) AS b(cloud_hook_id, sending)
),
hook AS (
    SELECT cloud_hook.id, coalesce(busy.sending, 0) AS sending
    FROM cloud_hook LEFT JOIN busy ON busy.cloud_hook_id = cloud_hook.id
    WHERE EXISTS (SELECT FROM cloud_hook_delivery WHERE next_attempt <= $1)
        AND (cloud_hook.id = ANY($5::uuid[])) = $6
),
due AS (
    SELECT picked.id
    FROM hook CROSS JOIN LATERAL (
        SELECT delivery.id, delivery.next_attempt, delivery.created
        FROM cloud_hook_delivery AS delivery
        WHERE delivery.cloud_hook_id = hook.id AND delivery.next_attempt <= $1
            AND NOT EXISTS (
                SELECT FROM cloud_hook_delivery AS earlier
                WHERE earlier.cloud_hook_id = delivery.cloud_hook_id
                    AND earlier.flow_run_id = delivery.flow_run_id
                    AND earlier.version < delivery.version
                    AND (earlier.status = 'SENDING' OR earlier.next_attempt <= $1)
            )
        ORDER BY delivery.next_attempt, delivery.created
        LIMIT greatest($7 - hook.sending, 0)
        FOR UPDATE OF delivery SKIP LOCKED
    ) AS picked
    ORDER BY
        hook.sending + row_number() OVER (PARTITION BY hook.id ORDER BY picked.next_attempt, picked.created),
        picked.next_attempt,
        picked.created
    LIMIT $8
)
UPDATE cloud_hook_delivery AS delivery
SET status = 'SENDING', attempts = delivery.attempts + 1, next_attempt = $2
FROM due, cloud_hook
WHERE delivery.id = due.id AND cloud_hook.id = delivery.cloud_hook_id
RETURNING
    delivery.id, delivery.created, delivery.attempts, delivery.answers, delivery.event, delivery.flow_run_id,
    cloud_hook.id AS cloud_hook_id, cloud_hook.tenant_id, cloud_hook.type, cloud_hook.states, cloud_hook.config,
    cloud_hook.active, cloud_hook.version_group_id
"""

FINISH = """
-- what became of deliveries; one that somebody else has claimed since can only become finished
WITH outcome AS (
    SELECT *
    FROM unnest($1::uuid[], $2::int[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[])
        AS o(id, attempts, status, next_attempt, answers, error, message)
),
finished AS (
    UPDATE cloud_hook_delivery AS delivery
    SET
        status = outcome.status,
        next_attempt = outcome.next_attempt,
        answers = outcome.answers::jsonb,
        last_error = outcome.error,
        finished = CASE WHEN outcome.next_attempt IS NULL THEN $8::timestamptz END
    FROM outcome
    WHERE delivery.id = outcome.id
        AND delivery.next_attempt IS NOT NULL
        AND (outcome.status = 'DELIVERED' OR delivery.attempts = outcome.attempts)
    RETURNING delivery.tenant_id, outcome.message
)
INSERT INTO message (tenant_id, type, content)
SELECT tenant_id, 'CLOUD_HOOK', message::jsonb FROM finished WHERE message IS NOT NULL
"""

PROGRESS = """
-- a delivery of several requests goes on: its answers so far, and a longer lease
UPDATE cloud_hook_delivery
SET answers = $3, next_attempt = $4
WHERE id = $1 AND attempts = $2 AND status = 'SENDING'
"""

GIVE_BACK = """
-- deliveries that were claimed and not made: due at once, as if nobody had tried
UPDATE cloud_hook_delivery AS delivery
SET status = 'WAITING', attempts = delivery.attempts - 1, next_attempt = $3
FROM unnest($1::uuid[], $2::int[]) AS claimed(id, attempts)
WHERE delivery.id = claimed.id AND delivery.attempts = claimed.attempts AND delivery.status = 'SENDING'
"""

REMOVE = """
-- a batch of records that nobody needs any more
DELETE FROM cloud_hook_delivery
WHERE id IN (
    SELECT id FROM cloud_hook_delivery
    WHERE finished <= $1
    ORDER BY finished
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one attempt.

    Attributes:
        id: the delivery.
        attempts: its number of attempts with this one.
        status: DELIVERED, FAILED, or WAITING for the next attempt.
        next_attempt: when that is due; None when there is none.
        answers: HTTP status by number of the request, of those that need not be sent again.
        error: why it was not delivered.
        message: JSON text of the message that tells of it, instead of a request.
    """

    id: UUID
    attempts: int
    status: str
    next_attempt: datetime | None = None
    answers: str = "{}"
    error: str | None = None
    message: str | None = None


async def claim(
    session: WriteSession,
    *,
    now: datetime,
    lease_end: datetime,
    sending: Mapping[UUID, int],
    among: Sequence[UUID],
    excluded: bool,
    per_hook: int,
    limit: int,
) -> list[Row]:
    """Take due deliveries for sending; one statement, which commits by itself.

    Of one run's events for one hook, a later one is not due before the earlier one was tried.

    Args:
        lease_end: until when nobody else takes them.
        sending: by hook, how many the caller is sending already.
        among: hooks to take from; with `excluded`, all others.
        per_hook: most that may be sent for one hook at a time.
        limit: most to take; hooks with few under way come first.

    Returns:
        id, created, attempts (with this one), answers, event, flow_run_id; cloud_hook_id and the hook's columns.
    """
    return await session.fetch(
        CLAIM, now, lease_end, list(sending), list(sending.values()), list(among), not excluded, per_hook, limit
    )


async def finish(session: WriteSession, *, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Note what became of attempts; messages are stored in the same statement, each once however often it is tried."""
    await session.execute(
        FINISH,
        [outcome.id for outcome in outcomes],
        [outcome.attempts for outcome in outcomes],
        [outcome.status for outcome in outcomes],
        [outcome.next_attempt for outcome in outcomes],
        [outcome.answers for outcome in outcomes],
        [outcome.error for outcome in outcomes],
        [outcome.message for outcome in outcomes],
        now,
    )


async def note_progress(
    session: WriteSession, *, delivery_id: UUID, attempts: int, answers: Mapping[str, Any], lease_end: datetime
) -> bool:
    """Keep the answers so far and go on; say whether the delivery is still the caller's."""
    return await session.execute(PROGRESS, delivery_id, attempts, answers, lease_end) > 0


async def give_back(session: WriteSession, *, claimed: Mapping[UUID, int], now: datetime) -> int:
    """Undo the claim of deliveries (id → attempts); return how many were still the caller's."""
    return await session.execute(GIVE_BACK, list(claimed), list(claimed.values()), now)


async def remove_finished(session: WriteSession, *, before: datetime, limit: int) -> int:
    """Remove records of deliveries that were over before a time, oldest first; return how many."""
    return await session.execute(REMOVE, before, limit)
