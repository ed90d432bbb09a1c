"""SQL on what decides whether an agent takes a flow run, to say why none does. Called by actions.late_runs."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server_core.db.session import ReadSession, Row
from server_core.states import SCHEDULED
from server_core.store.lateness import is_too_late
from server_core.store.removal import is_kept

_DUE = ", ".join(f"'{name}'" for name in sorted(SCHEDULED))

_EXPLAIN = f"""
SELECT
    run.id,
    run.tenant_id,
    run.name,
    run.state,
    run.state_message,
    run.state_start_time AS due,
    run.updated,
    run.labels,
    run.auto_scheduled,
    coalesce(agent.name, agent.id::text) AS agent,
    flow.name AS flow,
    flow.archived AS flow_archived,
    flow.is_schedule_active AS schedule_active,
    NOT ({is_kept("run.id")} AND {is_kept("run.flow_id")}) AS being_deleted,
    {is_too_late("run", now="$2::timestamptz")} AS too_late,
    (
        SELECT count(*)
        FROM flow_run AS other
        WHERE other.tenant_id = run.tenant_id
            AND other.state IN ({_DUE})
            AND coalesce(left(other.labels ->> 0, 64), '') = coalesce(left(run.labels ->> 0, 64), '')
            AND other.labels = run.labels
            AND (other.state_start_time, other.id) < (run.state_start_time, run.id)
    ) AS before_it
FROM flow_run AS run
JOIN flow ON flow.id = run.flow_id
LEFT JOIN agent ON agent.id = run.agent_id
WHERE run.id = ANY ($1::uuid[])
ORDER BY run.state_start_time NULLS LAST, run.id
"""  # noqa: S608 - made of constants and names


async def fetch_runs(session: ReadSession, *, ids: Sequence[UUID], now: datetime) -> list[Row]:
    """Return what decides whether an agent takes each of some flow runs, longest due first."""
    return await session.fetch(_EXPLAIN, list(ids), now)


async def fetch_late_runs(session: ReadSession, *, before: datetime, limit: int) -> list[UUID]:
    """Return the flow runs that were due before a time and still wait, longest due first."""
    rows = await session.fetch(
        f"""
        SELECT id FROM flow_run
        WHERE state IN ({_DUE}) AND state_start_time <= $1
        ORDER BY state_start_time, id
        LIMIT $2
        """,  # noqa: S608 - made of constants
        before,
        limit,
    )
    return [row["id"] for row in rows]


async def fetch_agents(session: ReadSession) -> list[Row]:
    """Return tenant_id, name, labels and last_queried of all agents, last heard of first."""
    return await session.fetch(
        """
        SELECT tenant_id, concat_ws(' ', nullif(name, ''), '(' || type || ')') AS name, labels, last_queried
        FROM agent
        ORDER BY last_queried DESC NULLS LAST, id
        """
    )
