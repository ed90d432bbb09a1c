"""A database that got pg_trgm later → the indexes for searches by part of a name. Called by db/migrate at each upgrade.

The baseline makes them where the extension can be had. Where it cannot, such searches read the whole table; once
somebody who may has created it, the next upgrade builds what is missing, beside servers that write.
"""

import logging
from typing import TYPE_CHECKING, Final

import asyncpg

from server_core.db.route import look

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

NAMES: Final = {
    "ix_project_name": ("project", ""),
    "ix_flow_name": ("flow", ""),
    "ix_task_name": ("task", ""),
    "ix_flow_run_name": ("flow_run", ""),
    "ix_task_run_name_trgm": ("task_run", " WHERE name IS NOT NULL"),
}
"""Index → its table and which rows it holds (schema.md §4)."""

_MISSING: Final = """
SELECT quote_ident(nspname) || '.gin_trgm_ops' AS operators, (
    SELECT array_agg(name) FROM unnest($1::text[]) AS name
    WHERE NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('public.' || name) AND indisvalid)
) AS missing
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'pg_trgm'
"""


async def missing_indexes(connection: "Connection") -> tuple[str, list[str]]:
    """Return the operator class and the names of indexes to build; no names without the extension."""
    row = await connection.fetchrow(_MISSING, list(NAMES))
    return (row["operators"], row["missing"] or []) if row is not None else ("", [])


async def build(connection: "Connection", operators: str, names: list[str], timeouts: str) -> None:
    """Build indexes that are missing or were cut short, on a connection outside any transaction."""
    if not (await look(connection)).pooled:
        await connection.execute(timeouts)
    for name in names:
        table, rows = NAMES[name]
        logger.info("building index %s on %s; this takes minutes on a large table", name, table)
        await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS public.{name}")
        await connection.execute(
            f"CREATE INDEX CONCURRENTLY {name} ON public.{table} USING gin (name {operators}){rows}"
        )
