"""SQL about runs that show no sign of life. Called by the towel's loops to find them and by actions.liveness, which
locks them and looks again: a heartbeat that came in between wins.

The sign of life is the flow run's heartbeat, for its task runs too.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession
from server_core.states import BUSY

_BUSY = sorted(BUSY)


async def find_stalled_flow_runs(session: ReadSession, *, silent_since: datetime, limit: int) -> list[UUID]:
    """Return flow runs that are Submitted or Running, silent, and without a task at work, oldest change first.

    Those of flow groups that switched heartbeats or lazarus off are left out.
    """
    rows = await session.fetch(
        """
        SELECT flow_run.id
        FROM flow_run
        JOIN flow ON flow.id = flow_run.flow_id
        JOIN flow_group ON flow_group.id = flow.flow_group_id
        WHERE flow_run.state IN ('Running', 'Submitted')
          AND flow_run.heartbeat <= $1
          AND NOT flow_group.settings @> '{"heartbeat_enabled": false}'
          AND NOT flow_group.settings @> '{"lazarus_enabled": false}'
          AND NOT EXISTS (
              SELECT FROM task_run WHERE task_run.flow_run_id = flow_run.id AND task_run.state = ANY($3::text[])
          )
        ORDER BY flow_run.updated
        LIMIT $2
        """,
        silent_since,
        limit,
        _BUSY,
    )
    return [row["id"] for row in rows]


async def lock_stalled_flow_runs(
    session: WriteSession, *, flow_run_ids: Sequence[UUID], silent_since: datetime
) -> list[Row]:
    """Lock those of the flow runs that are still stalled; return id, heartbeat, times_resurrected.

    Two statements: whether a task is at work is asked under the lock that a task needs to start.
    """
    rows = await session.fetch(
        """
        SELECT id, heartbeat, coalesce(times_resurrected, 0) AS times_resurrected
        FROM flow_run
        WHERE id = ANY($1::uuid[]) AND state IN ('Running', 'Submitted') AND heartbeat <= $2
        ORDER BY id
        FOR NO KEY UPDATE
        """,
        flow_run_ids,
        silent_since,
    )
    busy = await session.fetch(
        "SELECT DISTINCT flow_run_id FROM task_run WHERE flow_run_id = ANY($1::uuid[]) AND state = ANY($2::text[])",
        [row["id"] for row in rows],
        _BUSY,
    )
    at_work = {row["flow_run_id"] for row in busy}
    return [row for row in rows if row["id"] not in at_work]


async def count_resurrections(session: WriteSession, *, flow_run_ids: Sequence[UUID]) -> None:
    """Note that flow runs were rescheduled once more."""
    await session.execute(
        "UPDATE flow_run SET times_resurrected = coalesce(times_resurrected, 0) + 1 WHERE id = ANY($1::uuid[])",
        flow_run_ids,
    )


async def find_silent_task_runs(session: ReadSession, *, silent_since: datetime, limit: int) -> list[UUID]:
    """Return Running task runs whose flow run is silent, newest change first.

    Those of flow groups that switched heartbeats off are left out.
    """
    rows = await session.fetch(
        """
        SELECT task_run.id
        FROM task_run
        JOIN flow_run ON flow_run.id = task_run.flow_run_id
        JOIN flow ON flow.id = flow_run.flow_id
        JOIN flow_group ON flow_group.id = flow.flow_group_id
        WHERE task_run.state = 'Running'
          AND flow_run.heartbeat <= $1
          AND NOT flow_group.settings @> '{"heartbeat_enabled": false}'
        ORDER BY task_run.updated DESC
        LIMIT $2
        """,
        silent_since,
        limit,
    )
    return [row["id"] for row in rows]


async def lock_silent_task_runs(
    session: WriteSession, *, task_run_ids: Sequence[UUID], silent_since: datetime
) -> list[Row]:
    """Lock those of the task runs that are still Running under a silent flow run, after the flow runs they are of.

    Returns:
        The members of rules.liveness.SilentTaskRun.
    """
    flow_runs = await session.fetch(
        """
        SELECT id
        FROM flow_run
        WHERE id IN (SELECT flow_run_id FROM task_run WHERE task_run.id = ANY($1::uuid[])) AND heartbeat <= $2
        ORDER BY id
        FOR SHARE
        """,
        task_run_ids,
        silent_since,
    )
    return await session.fetch(
        """
        SELECT
            task_run.id,
            coalesce(task_run.name, task.name) AS name,
            task_run.flow_run_id,
            flow_run.state AS flow_run_state,
            flow_run.heartbeat,
            (
                SELECT count(*)
                FROM task_run_state
                WHERE task_run_state.task_run_id = task_run.id AND task_run_state.state = 'Retrying'
            ) AS retries_used,
            coalesce(task.max_retries, 0) AS max_retries,
            coalesce(task.retry_delay, interval '0') AS retry_delay
        FROM task_run
        JOIN task ON task.id = task_run.task_id
        JOIN flow_run ON flow_run.id = task_run.flow_run_id
        WHERE task_run.id = ANY($1::uuid[])
          AND task_run.flow_run_id = ANY($2::uuid[])
          AND task_run.state = 'Running'
        ORDER BY task_run.id
        FOR NO KEY UPDATE OF task_run
        """,
        task_run_ids,
        [row["id"] for row in flow_runs],
    )


async def find_silent_cancelling_runs(session: ReadSession, *, silent_since: datetime, limit: int) -> list[UUID]:
    """Return flow runs that are Cancelling and silent, newest change first.

    Those of flow groups that switched heartbeats off are left out.
    """
    rows = await session.fetch(
        """
        SELECT flow_run.id
        FROM flow_run
        JOIN flow ON flow.id = flow_run.flow_id
        JOIN flow_group ON flow_group.id = flow.flow_group_id
        WHERE flow_run.state = 'Cancelling'
          AND flow_run.heartbeat <= $1
          AND NOT flow_group.settings @> '{"heartbeat_enabled": false}'
        ORDER BY flow_run.updated DESC
        LIMIT $2
        """,
        silent_since,
        limit,
    )
    return [row["id"] for row in rows]


async def lock_silent_cancelling_runs(
    session: WriteSession, *, flow_run_ids: Sequence[UUID], silent_since: datetime
) -> list[Row]:
    """Lock those of the flow runs that are still Cancelling and silent; return id, heartbeat, times_resurrected."""
    return await session.fetch(
        """
        SELECT id, heartbeat, coalesce(times_resurrected, 0) AS times_resurrected
        FROM flow_run
        WHERE id = ANY($1::uuid[]) AND state = 'Cancelling' AND heartbeat <= $2
        ORDER BY id
        FOR NO KEY UPDATE
        """,
        flow_run_ids,
        silent_since,
    )
