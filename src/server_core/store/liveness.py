"""SQL about runs that show no sign of life. Called by the towel's loops to find them and by actions.liveness, which
locks them and looks again: a heartbeat that came in between wins. What somebody holds just then is left to the next
pass, so that one transaction that is left open keeps no other run from being ended.

The sign of life is the flow run's heartbeat, for its task runs too. How long it may be away is said by the flow group,
else by the server's settings; what a group says and cannot be used counts as not said, as in rules.group_settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession
from server_core.states import BUSY
from server_core.storable import MAX_SECONDS

_BUSY = sorted(BUSY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """When a run is silent.

    Attributes:
        now: the time of asking.
        limit: how long a heartbeat may be away.
        submitted_limit: the same for a Submitted run; None: as the others.
        ends_as: the state in which silent Cancelling runs end.
        counts_from: silence before this time is not the runs' fault; a limit that reaches further back never passes.
    """

    now: datetime
    limit: timedelta
    submitted_limit: timedelta | None = None
    ends_as: str = "Failed"
    counts_from: datetime = datetime(1970, 1, 1, tzinfo=UTC)


def _seconds(key: str) -> str:
    """Return what a group's settings say in seconds, as an interval; NULL for what is no such number."""
    value = f"flow_group.settings ->> '{key}'"
    return f"""CASE WHEN jsonb_typeof(flow_group.settings -> '{key}') = 'number' THEN
        CASE WHEN ({value})::numeric BETWEEN 1e-300 AND {MAX_SECONDS}
        THEN ({value})::float8 * interval '1 second' END END"""


_GROUP_LIMIT = _seconds("heartbeat_timeout_seconds")
_GROUP_SUBMITTED_LIMIT = _seconds("submitted_timeout_seconds")
_JOIN_GROUP = """JOIN flow ON flow.id = flow_run.flow_id
    JOIN flow_group ON flow_group.id = flow.flow_group_id"""


def _is_silent(limit: str) -> str:
    """Return a condition on flow_run, with `$1` the time and `$2` what it counts from."""
    return f"flow_run.heartbeat <= $1::timestamptz - {limit} AND $2::timestamptz <= $1::timestamptz - {limit}"


_LIMIT = f"coalesce({_GROUP_LIMIT}, $3::interval)"
_STALLED_LIMIT = f"""CASE WHEN flow_run.state = 'Submitted'
    THEN coalesce({_GROUP_SUBMITTED_LIMIT}, $4::interval, {_LIMIT})
    ELSE {_LIMIT} END"""

_STALLED = f"""flow_run.state IN ('Running', 'Submitted')
    AND {_is_silent(f"({_STALLED_LIMIT})")}
    AND NOT flow_group.settings @> '{{"heartbeat_enabled": false}}'
    AND NOT flow_group.settings @> '{{"lazarus_enabled": false}}'"""

_ENDS_AS = """CASE WHEN flow_group.settings ->> 'silent_cancelling_state' IN ('Failed', 'Cancelled')
    THEN flow_group.settings ->> 'silent_cancelling_state' ELSE $4::text END"""

_SILENT = f"""{_is_silent(_LIMIT)}
    AND NOT flow_group.settings @> '{{"heartbeat_enabled": false}}'"""

_LEFT_TO_CANCELLATION = f"(flow_run.state = 'Cancelling' AND ({_ENDS_AS}) = 'Cancelled')"
"""Such a run takes its running tasks with it when it ends; they do not fail before."""


def _arguments(silence: Silence, fourth: object) -> tuple[object, ...]:
    return (silence.now, silence.counts_from, silence.limit, fourth)


async def find_stalled_flow_runs(session: ReadSession, *, silence: Silence, limit: int) -> list[UUID]:
    """Return flow runs that are Submitted or Running, silent, and without a task at work, oldest change first.

    Those of flow groups that switched heartbeats or lazarus off are left out.
    """
    rows = await session.fetch(
        f"""
        SELECT flow_run.id
        FROM flow_run
        {_JOIN_GROUP}
        WHERE {_STALLED}
          AND NOT EXISTS (
              SELECT FROM task_run WHERE task_run.flow_run_id = flow_run.id AND task_run.state = ANY($6::text[])
          )
        ORDER BY flow_run.updated
        LIMIT $5
        """,  # noqa: S608 - made of constants
        *_arguments(silence, silence.submitted_limit),
        limit,
        _BUSY,
    )
    return [row["id"] for row in rows]


async def lock_stalled_flow_runs(session: WriteSession, *, flow_run_ids: Sequence[UUID], silence: Silence) -> list[Row]:
    """Lock those of the flow runs that are still stalled.

    Two statements: whether a task is at work is asked under the lock that a task needs to start.

    Returns:
        The members of rules.liveness.SilentFlowRun, and the settings of the flow group.
    """
    rows = await session.fetch(
        f"""
        SELECT
            flow_run.id, flow_run.heartbeat, {_STALLED_LIMIT} AS "limit",
            coalesce(flow_run.times_resurrected, 0) AS times_resurrected, flow_group.settings
        FROM flow_run
        {_JOIN_GROUP}
        WHERE flow_run.id = ANY($5::uuid[]) AND {_STALLED}
        ORDER BY flow_run.id
        FOR NO KEY UPDATE OF flow_run SKIP LOCKED
        """,  # noqa: S608 - made of constants
        *_arguments(silence, silence.submitted_limit),
        flow_run_ids,
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


async def find_silent_task_runs(session: ReadSession, *, silence: Silence, limit: int) -> list[UUID]:
    """Return Running task runs whose flow run is silent, newest change first.

    Those of flow groups that switched heartbeats off are left out, and those that a silent cancellation will end.
    """
    rows = await session.fetch(
        f"""
        SELECT task_run.id
        FROM task_run
        JOIN flow_run ON flow_run.id = task_run.flow_run_id
        {_JOIN_GROUP}
        WHERE task_run.state = 'Running' AND {_SILENT} AND NOT {_LEFT_TO_CANCELLATION}
        ORDER BY task_run.updated DESC
        LIMIT $5
        """,  # noqa: S608 - made of constants
        *_arguments(silence, silence.ends_as),
        limit,
    )
    return [row["id"] for row in rows]


async def lock_silent_task_runs(session: WriteSession, *, task_run_ids: Sequence[UUID], silence: Silence) -> list[Row]:
    """Lock those of the task runs that are still Running under a silent flow run, after the flow runs they are of.

    Returns:
        The members of rules.liveness.SilentTaskRun.
    """
    flow_runs = await session.fetch(
        f"""
        SELECT flow_run.id, {_LIMIT} AS "limit"
        FROM flow_run
        {_JOIN_GROUP}
        WHERE flow_run.id IN (SELECT flow_run_id FROM task_run WHERE task_run.id = ANY($5::uuid[]))
          AND {_SILENT} AND NOT {_LEFT_TO_CANCELLATION}
        ORDER BY flow_run.id
        FOR SHARE OF flow_run SKIP LOCKED
        """,  # noqa: S608 - made of constants
        *_arguments(silence, silence.ends_as),
        task_run_ids,
    )
    return await session.fetch(
        """
        SELECT
            task_run.id,
            coalesce(task_run.name, task.name) AS name,
            task_run.flow_run_id,
            flow_run.state AS flow_run_state,
            flow_run.heartbeat,
            silent."limit",
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
        JOIN unnest($2::uuid[], $3::interval[]) AS silent (id, "limit") ON silent.id = flow_run.id
        WHERE task_run.id = ANY($1::uuid[]) AND task_run.state = 'Running'
        ORDER BY task_run.id
        FOR NO KEY UPDATE OF task_run SKIP LOCKED
        """,
        task_run_ids,
        [row["id"] for row in flow_runs],
        [row["limit"] for row in flow_runs],
    )


async def find_silent_cancelling_runs(session: ReadSession, *, silence: Silence, limit: int) -> list[UUID]:
    """Return flow runs that are Cancelling and silent, newest change first.

    Those of flow groups that switched heartbeats off are left out.
    """
    rows = await session.fetch(
        f"""
        SELECT flow_run.id
        FROM flow_run
        {_JOIN_GROUP}
        WHERE flow_run.state = 'Cancelling' AND {_SILENT}
        ORDER BY flow_run.updated DESC
        LIMIT $4
        """,  # noqa: S608 - made of constants
        *_arguments(silence, limit),
    )
    return [row["id"] for row in rows]


async def lock_silent_cancelling_runs(
    session: WriteSession, *, flow_run_ids: Sequence[UUID], silence: Silence
) -> list[Row]:
    """Lock those of the flow runs that are still Cancelling and silent.

    Returns:
        The members of rules.liveness.SilentFlowRun, and `ends_as`, the state to end in.
    """
    return await session.fetch(
        f"""
        SELECT
            flow_run.id, flow_run.heartbeat, {_LIMIT} AS "limit",
            coalesce(flow_run.times_resurrected, 0) AS times_resurrected, {_ENDS_AS} AS ends_as
        FROM flow_run
        {_JOIN_GROUP}
        WHERE flow_run.id = ANY($5::uuid[]) AND flow_run.state = 'Cancelling' AND {_SILENT}
        ORDER BY flow_run.id
        FOR NO KEY UPDATE OF flow_run SKIP LOCKED
        """,  # noqa: S608 - made of constants
        *_arguments(silence, silence.ends_as),
        flow_run_ids,
    )
