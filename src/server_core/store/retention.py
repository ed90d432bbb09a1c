"""SQL that goes through a class of rows a page at a time and finds, or deletes, what is too old.

Called by actions.retention in transactions that store.removal.scope prepared: each statement reads a page by an index.
Logs and flow runs are read in the order of `updated`, which the legacy schema has an index on and which is never before
the time that decides; the others by id.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Generic, TypeVar
from uuid import UUID

from server_core.db.session import ReadSession, WriteSession
from server_core.states import FINISHED

Place = TypeVar("Place", datetime, UUID)

_FINISHED = ", ".join(map(repr, sorted(FINISHED)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[Place]):
    """A page that was looked at.

    Attributes:
        seen: how many rows it had.
        last: where it ended; None if it had none.
        due: how many are too old; unless it was a look only, and but for flow runs and agents, they are gone.
        ids: of those, where they are not gone.
    """

    seen: int
    last: Place | None
    due: int
    ids: Sequence[UUID] = ()


@cache
def _logs(*, delete: bool) -> str:
    gone = "gone AS (DELETE FROM log WHERE ctid = ANY(ARRAY(SELECT place FROM due)))," if delete else ""
    return f"""
        WITH page AS (
            SELECT ctid AS place, updated, "timestamp", level, flow_run_id, task_run_id
            FROM log
            WHERE updated >= $1 AND updated < $2
            ORDER BY updated
            LIMIT $3
        ),
        policy AS (
            SELECT level, before FROM unnest($5::text[], $6::timestamptz[]) AS p(level, before)
        ),
        due AS (
            SELECT place
            FROM page
            WHERE "timestamp" < coalesce((SELECT before FROM policy WHERE policy.level = page.level), $4)
                AND NOT EXISTS (
                    SELECT FROM flow_run
                    WHERE id = coalesce(
                            page.flow_run_id, (SELECT r.flow_run_id FROM task_run AS r WHERE r.id = page.task_run_id)
                        )
                        AND (state IS NULL OR state NOT IN ({_FINISHED}))
                )
        ),
        {gone}
        total AS (SELECT count(*) AS due FROM due)
        SELECT count(*) AS seen, max(updated) AS last, (SELECT due FROM total) AS due FROM page
        """  # noqa: S608 - made of constants


async def sweep_logs(
    session: WriteSession,
    *,
    start: datetime,
    end: datetime,
    limit: int,
    before: datetime | None,
    levels: Mapping[str, datetime],
    delete: bool,
) -> Page[datetime]:
    """Look at up to `limit` log lines written from `start` to `end`; those of unfinished runs are never too old.

    Args:
        before: lines from before then are too old; None: none.
        levels: the same for a level, which stands over `before`.
        delete: delete those; else only count them.
    """
    row = await session.fetch_row(_logs(delete=delete), start, end, limit, before, list(levels), list(levels.values()))
    assert row is not None  # noqa: S101 - an aggregate
    return Page(**row)


async def find_old_flow_runs(
    session: ReadSession, *, start: datetime, end: datetime, limit: int, states: Mapping[str, datetime], kept: int
) -> Page[datetime]:
    """Look at up to `limit` flow runs that last changed from `start` to `end`, and find those that are too old.

    Args:
        states: runs in this state are too old if they last changed before that.
        kept: so many of the newest finished runs of each flow are never too old.
    """
    row = await session.fetch_row(
        f"""
        WITH page AS (
            SELECT id, flow_id, state, updated, scheduled_start_time
            FROM flow_run
            WHERE updated >= $1 AND updated < $2
            ORDER BY updated
            LIMIT $3
        ),
        due AS (
            SELECT page.id
            FROM page JOIN unnest($4::text[], $5::timestamptz[]) AS policy(state, before) ON policy.state = page.state
            WHERE page.updated < policy.before
                AND ($6 = 0 OR page.scheduled_start_time < (
                    SELECT newer.scheduled_start_time
                    FROM flow_run AS newer
                    WHERE newer.flow_id = page.flow_id AND newer.state IN ({_FINISHED})
                    ORDER BY newer.scheduled_start_time DESC
                    OFFSET greatest($6, 1) - 1
                    LIMIT 1
                ))
        )
        SELECT
            count(*) AS seen, max(updated) AS last, (SELECT count(*) FROM due) AS due,
            ARRAY(SELECT id FROM due ORDER BY id) AS ids
        FROM page
        """,  # noqa: S608 - made of constants
        start,
        end,
        limit,
        list(states),
        list(states.values()),
        kept,
    )
    assert row is not None  # noqa: S101 - an aggregate
    return Page(**row)


async def lock_old_flow_runs(
    session: WriteSession, *, ids: Sequence[UUID], states: Mapping[str, datetime]
) -> list[UUID]:
    """Lock those of the flow runs that are still too old; those that somebody else is changing are passed over."""
    rows = await session.fetch(
        """
        SELECT flow_run.id
        FROM flow_run
        JOIN unnest($2::text[], $3::timestamptz[]) AS policy(state, before) ON policy.state = flow_run.state
        WHERE flow_run.id = ANY($1::uuid[]) AND flow_run.updated < policy.before
        ORDER BY flow_run.id
        FOR UPDATE OF flow_run SKIP LOCKED
        """,
        ids,
        list(states),
        list(states.values()),
    )
    return [row["id"] for row in rows]


_COLUMNS: Mapping[str, str] = {
    "message": "id, created",
    "task_run_artifact": "id, updated, task_run_id",
    "agent": "id, last_queried, updated",
}
"""Table → what decides about its rows, without what they hold."""

_BY_ID: Mapping[str, str] = {
    "message": "created < $3",
    "task_run_artifact": f"""updated < $3 AND EXISTS (
        SELECT FROM task_run JOIN flow_run ON flow_run.id = task_run.flow_run_id
        WHERE task_run.id = page.task_run_id AND flow_run.state IN ({_FINISHED})
    )""",
    "agent": "coalesce(last_queried, updated) < $3",
}
"""Table → which of its rows are too old."""


@cache
def _by_id(table: str, *, delete: bool) -> str:
    gone = f"gone AS (DELETE FROM {table} WHERE id IN (SELECT id FROM due))," if delete else ""  # noqa: S608
    return f"""
        WITH page AS (
            SELECT {_COLUMNS[table]} FROM {table} WHERE id > $1 ORDER BY id LIMIT $2
        ),
        due AS (
            SELECT id FROM page WHERE {_BY_ID[table]}
        ),
        {gone}
        total AS (SELECT count(*) AS due, array_agg(id) AS ids FROM due)
        SELECT
            count(*) AS seen,
            (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last,
            (SELECT due FROM total) AS due,
            (SELECT coalesce(ids, '{{}}') FROM total) AS ids
        FROM page
        """  # noqa: S608 - made of constants


async def sweep_by_id(
    session: WriteSession, table: str, *, start: UUID, limit: int, before: datetime, delete: bool
) -> Page[UUID]:
    """Look at up to `limit` rows of message, task_run_artifact or agent with ids after `start`.

    Args:
        before: rows from before then are too old; artifacts of unfinished runs never are.
        delete: delete those; else only find them. Not for agents, which flow runs refer to.
    """
    row = await session.fetch_row(_by_id(table, delete=delete), start, limit, before)
    assert row is not None  # noqa: S101 - an aggregate
    return Page(**row)


async def unlink_agents(session: WriteSession, *, ids: Sequence[UUID], limit: int) -> int:
    """Take agents off up to `limit` of the flow runs that they ran; return how many there were."""
    return await session.execute(
        """
        UPDATE flow_run SET agent_id = NULL
        WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM flow_run WHERE agent_id = ANY($1::uuid[]) LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
        ))
        """,
        ids,
        limit,
    )


async def delete_silent_agents(session: WriteSession, *, ids: Sequence[UUID], before: datetime) -> int:
    """Delete those of the agents that are still silent; return how many went."""
    return await session.execute(
        """
        DELETE FROM agent
        WHERE id = ANY($1::uuid[]) AND coalesce(last_queried, updated) < $2
            AND NOT EXISTS (SELECT FROM flow_run WHERE flow_run.agent_id = agent.id)
        """,
        ids,
        before,
    )
