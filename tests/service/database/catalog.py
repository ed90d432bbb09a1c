"""A database → one line per fact of its schema, to be compared with another database or with `schema_lines.txt`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from server_core.db.revisions import VERSION_TABLES

if TYPE_CHECKING:
    import asyncpg

LINES = Path(__file__).parent / "schema_lines.txt"
"""The schema as the legacy server left it (contract: schema.md §3 and §4), in the format of describe."""

ADDITIONS = Path(__file__).parent / "schema_additions.txt"
"""What our own revisions add to it."""

DESCRIBE = """
WITH relation AS (
    SELECT pg_class.oid, format('%s.%s', nspname, relname) AS name
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname IN ('public', 'utility') AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
)
SELECT 1 AS kind, name, attnum::int AS place, format(
    'column %s.%s %s%s%s', name, attname,
    replace(
        replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz'),
        'character varying', 'varchar'
    ),
    CASE WHEN attnotnull THEN ' not null' END,
    ' default ' || pg_get_expr(adbin, adrelid)
) AS line
FROM relation
JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = relation.oid AND adnum = attnum
UNION ALL
SELECT 2, name, 0, format('constraint %s.%s %s', name, conname, pg_get_constraintdef(pg_constraint.oid))
FROM relation JOIN pg_constraint ON conrelid = relation.oid AND contype <> 'n'
UNION ALL
SELECT 3, name, 0, format(
    'index %s.%s%s %s', name, relname, CASE WHEN indisunique THEN ' unique' END,
    regexp_replace(pg_get_indexdef(indexrelid), '^.* USING ', '')
)
FROM relation
JOIN pg_index ON indrelid = relation.oid
JOIN pg_class ON pg_class.oid = indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 4, name, 0, format(
    'trigger %s.%s %s', name, tgname,
    replace(  -- PG 11 says it with the older word
        regexp_replace(pg_get_triggerdef(pg_trigger.oid), '^CREATE TRIGGER \\S+ (.*) ON \\S+ (.*)$', '\\1 \\2'),
        'EXECUTE PROCEDURE', 'EXECUTE FUNCTION'
    )
)
FROM relation JOIN pg_trigger ON tgrelid = relation.oid AND NOT tgisinternal
UNION ALL
SELECT 5, proname, 0, format(
    'function %s.%s(%s) returns %s language %s %s',
    nspname, proname, pg_get_function_arguments(pg_proc.oid), pg_get_function_result(pg_proc.oid), lanname,
    CASE provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END
)
FROM pg_proc
JOIN pg_namespace ON pg_namespace.oid = pronamespace
JOIN pg_language ON pg_language.oid = prolang
WHERE nspname IN ('public', 'utility')
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
ORDER BY 1, 2, 3, 4
"""


async def describe(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Return the facts of the schemas `public` and `utility`; columns in their order, all else by name."""
    await connection.execute("SET search_path TO public")
    return [row["line"] for row in await connection.fetch(DESCRIBE)]


def expected(*, trigrams: bool, additions: bool = True) -> list[str]:
    """Return what describe must return for a migrated database.

    Args:
        trigrams: whether the server has pg_trgm.
        additions: whether it is at our newest revision; else it is at the legacy one.
    """
    lines = LINES.read_text(encoding="utf-8").splitlines()
    if additions:
        lines += ADDITIONS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if trigrams or "gin_trgm_ops" not in line]


def of_tables(lines: Sequence[str]) -> list[str]:
    """Keep the facts that models state: columns, keys and indexes of our tables."""
    versions = tuple(f"public.{table}." for table in VERSION_TABLES.values())
    return [
        line
        for line in lines
        if line.startswith(("column", "constraint", "index")) and not line.split(" ")[1].startswith(versions)
    ]


def by_table(columns: Sequence[str]) -> list[str]:
    """Sort columns by their table's name only; those of one table stay in their order."""
    return sorted(columns, key=lambda line: line.split(" ")[1].rpartition(".")[0])
