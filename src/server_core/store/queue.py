"""SQL that finds the flow runs an agent should take. Called by actions.queue."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server_core.db.session import WriteSession
from server_core.states import SCHEDULED
from server_core.store.lateness import is_too_late
from server_core.store.removal import is_kept

_DUE = ", ".join(f"'{name}'" for name in sorted(SCHEDULED))


def _open_to_asker(run: str) -> str:
    """Return the condition that an agent with the labels of `asked` may take a run, which is not being deleted."""
    return f"""
            CASE WHEN asked.labels = '{{}}' THEN {run}.labels = '[]'
            ELSE {run}.labels <> '[]' AND {run}.labels <@ to_jsonb(asked.labels) END
            AND {is_kept(f"{run}.flow_id")}
            AND {is_kept(f"{run}.id")}"""


# Per first label that a run may have, the index ix_flow_run_queue gives the runs in order of their start, so that the
# limit ends the search. What is asked comes from a CTE and not from the parameters, because with their values Postgres
# would plan the statement anew at each poll, which costs more than running it. The task runs are looked at from the
# Running runs: those of runs that are over stay in their states for ever.
_FETCH_DUE_RUNS = f"""
WITH asked AS (
    SELECT $1::uuid AS tenant_id, $2::timestamptz AS before, $3::text[] AS labels, $5::timestamptz AS now
),
seen AS (
    UPDATE agent SET last_queried = (SELECT now FROM asked) WHERE id = $6::uuid
),
due AS (
    SELECT run.id, run.state_start_time
    FROM asked
    CROSS JOIN LATERAL (
        SELECT DISTINCT left(label, 64) AS label FROM unnest(asked.labels) AS given(label)
        UNION ALL
        SELECT '' WHERE asked.labels = '{{}}'
    ) AS first
    CROSS JOIN LATERAL (
        SELECT id, state_start_time
        FROM flow_run
        WHERE tenant_id = asked.tenant_id
            AND state IN ({_DUE})
            AND coalesce(left(labels ->> 0, 64), '') = first.label
            AND state_start_time <= asked.before
            AND {_open_to_asker("flow_run")}
            AND NOT ({is_too_late("flow_run", now="asked.now")})
        ORDER BY state_start_time, id
        LIMIT $4
    ) AS run
    ORDER BY state_start_time, id
    LIMIT $4
),
waiting AS (
    SELECT run.id
    FROM asked
    JOIN flow_run AS run ON run.tenant_id = asked.tenant_id
    CROSS JOIN LATERAL (
        SELECT
        FROM task_run
        WHERE task_run.flow_run_id = run.id
            AND task_run.state IN ({_DUE})
            AND task_run.state_start_time <= asked.before
        LIMIT 1
    ) AS due_task
    WHERE (SELECT count(*) FROM due) < $4
        AND run.state = 'Running'
        AND {_open_to_asker("run")}
    ORDER BY run.state_start_time NULLS LAST, run.id
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
    the limit, so runs that nobody can take hide no others. What is being deleted is left out, and what comes too late
    by the late policy of its flow group. The agent, if it exists, is noted as alive.
    """
    rows = await session.fetch(_FETCH_DUE_RUNS, tenant_id, before, list(labels), limit, now, agent_id)
    return [row["id"] for row in rows]
