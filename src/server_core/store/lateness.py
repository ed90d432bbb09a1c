"""SQL that tells which planned runs come too late to be run, by the late policy of their flow group (demand 29).

The condition is one text, so that an agent's poll (store.queue) and the scheduler (actions.lateness) never disagree.
"""

from collections.abc import Sequence
from datetime import datetime

from server_core.db.session import Row, WriteSession
from server_core.storable import MAX_SECONDS

HAS_POLICY = "settings ->> 'late_policy' IN ('latest_only', 'skip_after')"
"""Flow groups that do not run all; as in the index ix_flow_group_late_policy."""


def is_too_late(run: str, *, now: str) -> str:
    """Return the condition that a flow run must not be run any more.

    It concerns runs that wait exactly as the scheduler planned them: a run that was made by hand, rescheduled, or that
    ran before is never too late. With `latest_only` a run is too late once a later event of the same clock (equal
    parameters and labels, told by the end of the key) is due and has a run; one that was cancelled before anybody took
    it does not count. With `skip_after` a run is too late `late_after_seconds` after its time. What cannot be read
    counts as not set, as in rules.group_settings. Where no group has a policy, that is asked once per statement.

    Args:
        run: name of the table or its alias.
        now: an expression.
    """
    return f"""
        EXISTS (SELECT FROM flow_group WHERE flow_group.{HAS_POLICY})
        AND {run}.auto_scheduled
        AND {run}.state = 'Scheduled'
        AND {run}.start_time IS NULL
        AND {run}.state_start_time = {run}.scheduled_start_time
        AND {run}.scheduled_start_time < {now}
        AND coalesce((
            SELECT CASE
                WHEN flow_group.settings ->> 'late_policy' = 'latest_only' THEN EXISTS (
                    SELECT FROM flow_run AS newer
                    WHERE newer.flow_id = {run}.flow_id
                        AND newer.scheduled_start_time > {run}.scheduled_start_time
                        AND newer.scheduled_start_time <= {now}
                        AND newer.auto_scheduled
                        AND split_part(newer.idempotency_key, '+00:00', 2)
                            = split_part({run}.idempotency_key, '+00:00', 2)
                        AND NOT (newer.state = 'Cancelled' AND newer.version <= 2)
                )
                WHEN flow_group.settings ->> 'late_policy' = 'skip_after'
                    AND jsonb_typeof(flow_group.settings -> 'late_after_seconds') = 'number'
                THEN CASE
                    WHEN (flow_group.settings ->> 'late_after_seconds')::numeric BETWEEN 0.000001 AND {MAX_SECONDS}
                    THEN {run}.scheduled_start_time
                        < {now} - (flow_group.settings ->> 'late_after_seconds')::float8 * interval '1 second'
                END
            END
            FROM flow JOIN flow_group ON flow_group.id = flow.flow_group_id
            WHERE flow.id = {run}.flow_id
        ), false)"""  # noqa: S608 - made of names and expressions from code


_LOCK_LATE_RUNS = f"""
SELECT run.id, flow_group.settings ->> 'late_policy' AS late_policy
FROM flow_group
JOIN flow ON flow.flow_group_id = flow_group.id
JOIN flow_run AS run ON run.flow_id = flow.id
WHERE flow_group.{HAS_POLICY} AND {is_too_late("run", now="$1::timestamptz")}
LIMIT $2
FOR NO KEY UPDATE OF run SKIP LOCKED
"""  # noqa: S608 - made of constants


async def lock_late_runs(session: WriteSession, *, now: datetime, limit: int) -> Sequence[Row]:
    """Return id and late_policy of runs that must not be run any more, and lock them.

    The groups with a policy have an index, and so have the planned runs of a flow that still wait.
    """
    return await session.fetch(_LOCK_LATE_RUNS, now, limit)
