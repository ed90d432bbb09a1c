"""SQL that finds the flow runs an agent should take. Called by actions.queue."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server_core.db.session import WriteSession
from server_core.states import SCHEDULED

_DUE = ", ".join(f"'{name}'" for name in sorted(SCHEDULED))

_FETCH_DUE_RUNS = f"""
WITH seen AS (
    UPDATE agent SET last_queried = $5 WHERE id = $6::uuid
),
due AS (
    SELECT id, state_start_time
    FROM flow_run
    WHERE tenant_id = $1
        AND state IN ({_DUE})
        AND state_start_time <= $2
        AND CASE WHEN $3::jsonb = '[]' THEN labels = '[]' ELSE labels <> '[]' AND labels <@ $3::jsonb END
        AND flow_id NOT IN (SELECT id FROM pending_removal)
        AND id NOT IN (SELECT id FROM pending_removal)
    ORDER BY state_start_time, id
    LIMIT $4
),
waiting AS (
    SELECT id
    FROM flow_run
    WHERE (SELECT count(*) FROM due) < $4
        AND tenant_id = $1
        AND state = 'Running'
        AND CASE WHEN $3::jsonb = '[]' THEN labels = '[]' ELSE labels <> '[]' AND labels <@ $3::jsonb END
        AND flow_id NOT IN (SELECT id FROM pending_removal)
        AND id NOT IN (SELECT id FROM pending_removal)
        AND EXISTS (
            SELECT FROM task_run
            WHERE task_run.flow_run_id = flow_run.id
                AND task_run.state IN ({_DUE})
                AND task_run.state_start_time <= $2
        )
    ORDER BY state_start_time NULLS LAST, id
    LIMIT $4
)
SELECT id
FROM (
    SELECT id, 1 AS part, state_start_time FROM due
    UNION ALL
    SELECT id, 2, NULL FROM waiting
) AS queue
ORDER BY part, state_start_time, id
LIMIT $4
"""  # noqa: S608 - only names of state classes are put in


async def fetch_due_runs(
    session: WriteSession,
    *,
    tenant_id: UUID,
    before: datetime,
    labels: Sequence[str],
    limit: int,
    agent_id: UUID | None,
    now: datetime,
) -> list[UUID]:
    """Return the flow runs due for an agent with these labels, longest due first; one statement.

    Runs that wait to start come first, then Running ones of which a task waits to start. The labels are matched before
    the limit, so runs that nobody can take hide no others. What is being deleted is left
    out. The agent, if it exists, is noted as alive.
    """
    rows = await session.fetch(_FETCH_DUE_RUNS, tenant_id, before, list(labels), limit, now, agent_id)
    return [row["id"] for row in rows]
