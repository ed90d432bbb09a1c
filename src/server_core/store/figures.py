"""SQL that counts what is going on, for metrics. Called by actions.figures.

Unfinished runs are counted by the index on their state: few, however many runs there were. Finished ones are estimated
from what ANALYZE left, because counting them would read millions of index entries.
"""

from datetime import datetime
from typing import Final, Literal

from server_core.db.session import ReadSession, Row
from server_core.states import FINISHED, PARENTS, SCHEDULED

Runs = Literal["flow_run", "task_run"]

_UNFINISHED: Final = sorted(set(PARENTS) - FINISHED)
_DUE: Final = ", ".join(f"'{name}'" for name in sorted(SCHEDULED))


async def count_unfinished(session: ReadSession, table: Runs, *, seconds: float) -> list[Row]:
    """Return state and count of the runs in each state that is not final.

    Raises:
        Unavailable: it took longer than `seconds`.
    """
    return await session.fetch(
        f"SELECT state, count(*) FROM {table} WHERE state = ANY($1) GROUP BY state",  # noqa: S608 - a literal type
        _UNFINISHED,
        seconds=seconds,
    )


async def estimate_finished(session: ReadSession, table: Runs) -> list[Row]:
    """Return state and estimated count of the runs in each final state; nothing where it was never analyzed."""
    return await session.fetch(
        """
        SELECT known.state, (known.part * greatest(pg_class.reltuples, 0))::bigint AS count
        FROM pg_class
        JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
        JOIN pg_stats ON pg_stats.schemaname = nspname AND tablename = relname AND attname = 'state'
        CROSS JOIN LATERAL unnest(most_common_vals::text::text[], most_common_freqs) AS known(state, part)
        WHERE nspname = 'public' AND relname = $1 AND known.state = ANY($2) AND known.part * pg_class.reltuples >= 1
        """,
        table,
        sorted(FINISHED),
    )


async def count_late(session: ReadSession, *, now: datetime, before: datetime, seconds: float) -> Row:
    """Return count and oldest_seconds of the flow runs that were due before a time and still wait.

    Raises:
        Unavailable: it took longer than `seconds`.
    """
    rows = await session.fetch(
        f"""
        SELECT count(*), coalesce(extract(epoch FROM $1::timestamptz - min(state_start_time)), 0)::float8
            AS oldest_seconds
        FROM flow_run
        WHERE state IN ({_DUE}) AND state_start_time <= $2
        """,  # noqa: S608 - made of constants
        now,
        before,
        seconds=seconds,
    )
    return rows[0]


async def count_agents(session: ReadSession, *, heard_since: datetime) -> Row:
    """Return how many agents are active, heard of since a time, and how many silent."""
    rows = await session.fetch(
        """
        SELECT count(*) FILTER (WHERE last_queried >= $1) AS active,
            count(*) FILTER (WHERE last_queried IS NULL OR last_queried < $1) AS silent
        FROM agent
        """,
        heard_since,
    )
    return rows[0]


async def count_hook_events(session: ReadSession, *, now: datetime) -> Row:
    """Return how many events wait for delivery to a cloud hook, and overdue_seconds of the one that is most late."""
    rows = await session.fetch(
        """
        SELECT count(*) AS waiting,
            greatest(coalesce(extract(epoch FROM $1::timestamptz - min(next_attempt)), 0), 0)::float8 AS overdue_seconds
        FROM cloud_hook_delivery
        WHERE next_attempt IS NOT NULL
        """,
        now,
    )
    return rows[0]
