"""SQL on what Postgres knows of the sizes of our tables. Called by actions.statistics."""

from server_core.db.session import WriteSession

LEAST_PAGES = 20
"""A table of fewer pages is read whole as fast as by an index."""

GROWTH = 10
"""A table that is so many times as large as when Postgres measured it is another table for the planner."""


async def find_outgrown_tables(session: WriteSession) -> list[str]:
    """Return the tables that have grown far beyond what Postgres knows of them, or were never analyzed, quoted.

    What this role may not analyze is left out, and what somebody is analyzing, vacuuming or indexing just now. A table
    that was only ever measured by a vacuum or the build of an index has no row in pg_stats.

    Raises:
        Unavailable: somebody holds a table alone, and its size cannot be asked for; nobody is waited for.
    """
    await session.execute("SET LOCAL lock_timeout = '300ms'")
    rows = await session.fetch(
        """
        SELECT outgrown.name
        FROM (
            SELECT measured.oid, measured.name
            FROM (
                SELECT
                    c.oid,
                    c.relname,
                    c.relpages,
                    c.reltuples,
                    format('%I.%I', n.nspname, c.relname) AS name,
                    pg_relation_size(c.oid) / current_setting('block_size')::int AS pages
                FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE n.nspname = 'public' AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
            ) AS measured
            WHERE measured.pages >= $1::int
                AND CASE
                    WHEN measured.pages >= measured.relpages::bigint * $2::int THEN true
                    WHEN measured.reltuples = 0 THEN false
                    WHEN pg_stat_get_last_analyze_time(measured.oid) IS NOT NULL THEN false
                    WHEN pg_stat_get_last_autoanalyze_time(measured.oid) IS NOT NULL THEN false
                    ELSE NOT EXISTS (
                        SELECT FROM pg_stats WHERE schemaname = 'public' AND tablename = measured.relname
                    )
                END
            OFFSET 0
        ) AS outgrown
        WHERE NOT EXISTS (
            SELECT FROM pg_locks
            WHERE relation = outgrown.oid
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND granted
                AND mode IN (
                    'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                    'AccessExclusiveLock'
                )
        )
        ORDER BY outgrown.name
        """,
        LEAST_PAGES,
        GROWTH,
    )
    return [row["name"] for row in rows]


async def analyze_table(session: WriteSession, name: str) -> None:
    """Have Postgres look at a sample of a table, which also makes every session plan anew what reads it.

    Args:
        name: as find_outgrown_tables returned it.

    Raises:
        Unavailable: somebody holds the table; nobody is waited for.
    """
    await session.execute("SET LOCAL lock_timeout = '300ms'")
    await session.execute("SET LOCAL statement_timeout = 0")
    await session.execute(f"ANALYZE {name}")
