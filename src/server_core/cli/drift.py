"""A database → where it differs from what this release expects, one line each. Called by `database check` and `doctor`.

Looked for is what we rely on: tables, columns, keys, indexes (as the models say), functions and triggers (as
`migrations/sql` says). What others added beside it is theirs: tables and indexes that we do not know are no difference,
nor is the text of a function that the legacy server made.
"""

import re
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import MetaData, text

from server_core import models
from server_core.db.connection import engine
from server_core.db.folders import migrations_folder
from server_core.db.revisions import ADDITIONS, LEGACY, VERSION_TABLES, Revisions, head_revisions

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

THEIRS = frozenset({"remove_table", "remove_index", "remove_table_comment", "remove_column_comment"})
"""Differences that are only additions of others."""

_FUNCTION = re.compile(r"CREATE FUNCTION ([\w.]+)\(.*?AS (\$\w*\$)(.*?)\2", re.DOTALL)
_TRIGGER = re.compile(r"CREATE TRIGGER (\w+)\s.*?\sON ([\w.]+).*?EXECUTE PROCEDURE ([\w.]+)\(", re.DOTALL)


async def differences(dsn: str, found: Revisions) -> list[str]:
    """Return where a database differs from what this release expects; empty: nowhere.

    Args:
        dsn: the database.
        found: its revisions.

    Raises:
        ConfigError, Unavailable: it cannot be looked at.
    """
    expected = head_revisions()
    pairs = ((LEGACY, found.legacy, expected.legacy), (ADDITIONS, found.additions, expected.additions))
    lines = [
        f"{VERSION_TABLES[chain]}: {here or 'none'}, expected {wanted}"
        for chain, here, wanted in pairs
        if here != wanted
    ]
    if found.legacy is None:
        return [*lines, "there is no schema"]
    looking = engine(dsn)
    try:
        async with looking.connect() as connection:
            trigrams = bool(
                await connection.scalar(text("SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'"))
            )
            metadata = expected_tables(trigrams=trigrams)
            compared = await connection.run_sync(compare_tables, metadata)
            # all that hangs on a missing table is missing too: one line is enough
            missing = {each[1].fullname for each in compared if each[0] == "add_table"}
            lines += [
                _said(each)
                for each in compared
                if each[0] not in THEIRS and not (each[0] == "add_index" and each[1].table.fullname in missing)
            ]
            lines += [line async for line in _primary_keys(connection, metadata, missing)]
            lines += [line async for line in _programs(connection, missing)]
    finally:
        await looking.dispose()
    return lines


def expected_tables(*, trigrams: bool) -> MetaData:
    """Return the models, without the indexes for which the database lacks an extension.

    Args:
        trigrams: whether it has pg_trgm.
    """
    copy = MetaData(naming_convention=models.metadata.naming_convention)
    for table in models.metadata.sorted_tables:
        table.to_metadata(copy)
    if not trigrams:
        for table in copy.tables.values():
            table.indexes.difference_update(
                {each for each in table.indexes if "gin_trgm_ops" in str(each.dialect_options["postgresql"]["ops"])}
            )
    return copy


def compare_tables(connection: SyncConnection, metadata: MetaData) -> list[tuple[Any, ...]]:
    """Return what Alembic would do to make the tables of a database those of the models."""

    def included(name: str | None, kind: str, parents: object) -> bool:
        if kind == "schema":
            return name in (None, "utility")
        return kind != "table" or name not in VERSION_TABLES.values()

    options = {
        "include_schemas": True,
        "include_name": included,
        "compare_type": True,
        "compare_server_default": True,
    }
    context = MigrationContext.configure(connection, opts=options)
    # changes of one column come as a list of their own
    return [
        each
        for found in compare_metadata(context, metadata)
        for each in (found if isinstance(found, list) else [found])
    ]


def _said(difference: tuple[Any, ...]) -> str:
    """Return one of Alembic's differences as a line."""
    match difference:
        case ("add_table", table):
            return f"table {table.fullname} is missing"
        case ("add_column", schema, table, column):
            return f"column {schema or 'public'}.{table}.{column.name} is missing"
        case ("remove_column", schema, table, column):
            return f"column {schema or 'public'}.{table}.{column.name} is not ours"
        case ("add_index", index):
            return f"index {index.name} on {index.table.fullname} is missing, or another one has its name"
        case (("add_constraint" | "add_fk") as kind, constraint):
            what = "foreign key" if kind == "add_fk" else "constraint"
            return f"{what} {constraint.name} on {constraint.table.fullname} is missing"
        case (("remove_constraint" | "remove_fk"), constraint):
            return f"constraint {constraint.name} on {constraint.table.fullname} is not ours"
        case (str() as kind, schema, table, column, _, before, after) if kind.startswith("modify_"):
            what = {"modify_nullable": "may be null", "modify_default": "default"}.get(
                kind, kind.removeprefix("modify_")
            )
            return f"column {schema or 'public'}.{table}.{column}: {what} is {_plain(before)}, expected {_plain(after)}"
        case _:
            return " ".join(_plain(each) for each in difference)


def _plain(value: object) -> str:
    expression = getattr(value, "arg", value)
    return " ".join(str(expression).split())


async def _primary_keys(
    connection: "AsyncConnection", metadata: MetaData, missing: Collection[str]
) -> AsyncIterator[str]:
    """Yield what is wrong with the primary keys of tables that are not missing; Alembic does not compare them."""
    found = {row.place: list(row.columns) for row in await connection.execute(text(_PRIMARY_KEYS))}
    for table in metadata.sorted_tables:
        expected = [column.name for column in table.primary_key]
        if table.fullname not in missing and found.get(table.fullname, []) != expected:
            yield f"primary key of {table.fullname} is not ({', '.join(expected)})"


async def _programs(connection: "AsyncConnection", missing: Collection[str]) -> AsyncIterator[str]:
    """Yield what is wrong with indexes, functions, and the triggers of tables that are not missing."""
    folder = migrations_folder()
    broken = await connection.scalars(text(_BROKEN_INDEXES))
    for name in broken:
        yield f"index {name} is not valid: its build was cut short; prefect-server database upgrade"
    bodies = {row.name: row.body for row in await connection.execute(text(_FUNCTIONS))}
    for name, body in expected_functions(folder).items():
        if name not in bodies:
            yield f"function {name} is missing"
        elif body is not None and bodies[name] != body:
            yield f"function {name} has another text"
    found = {(row.name, row.place): row for row in await connection.execute(text(_TRIGGERS))}
    for name, place, function in expected_triggers(folder):
        row = found.get((name, place))
        if place.removeprefix("public.") in missing:
            continue
        if row is None:
            yield f"trigger {name} on {place} is missing"
        elif row.enabled == "D":
            yield f"trigger {name} on {place} is disabled"
        elif row.function != function:
            yield f"trigger {name} on {place} runs {row.function}, expected {function}"


def expected_functions(folder: Path) -> dict[str, str | None]:
    """Return the functions that migrations make, with the text of those that are ours alone."""
    baseline = "".join(path.read_text("utf-8") for path in (folder / LEGACY).glob("*.*"))
    expected: dict[str, str | None] = {}
    for path in sorted((folder / "sql/functions").glob("*.sql")):
        for name, _, body in _FUNCTION.findall(path.read_text("utf-8")):
            legacy = re.search(rf"\b{name.rpartition('.')[2]}\b", baseline)
            expected[name] = None if legacy else body
    return expected


def expected_triggers(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield name, table and function of the triggers that migrations make."""
    for path in sorted((folder / "sql/triggers").glob("*.sql")):
        yield from _TRIGGER.findall(path.read_text("utf-8"))


_BROKEN_INDEXES = """
SELECT format('%s.%s', nspname, relname)
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname IN ('public', 'utility') AND NOT (indisvalid AND indisready)
ORDER BY 1
"""

_PRIMARY_KEYS = """
SELECT
    CASE nspname WHEN 'public' THEN relname ELSE format('%s.%s', nspname, relname) END AS place,
    array_agg(attname::text ORDER BY array_position(conkey, attnum)) AS columns
FROM pg_constraint
JOIN pg_class ON pg_class.oid = conrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY (conkey)
WHERE contype = 'p' AND nspname IN ('public', 'utility')
GROUP BY nspname, relname
"""

_FUNCTIONS = """
SELECT format('%s.%s', nspname, proname) AS name, prosrc AS body
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname IN ('public', 'utility')
"""

_TRIGGERS = """
SELECT
    tgname AS name,
    format('%s.%s', place.nspname, relname) AS place,
    format('%s.%s', home.nspname, proname) AS function,
    tgenabled::text AS enabled
FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid
JOIN pg_namespace AS place ON place.oid = relnamespace
JOIN pg_proc ON pg_proc.oid = tgfoid
JOIN pg_namespace AS home ON home.oid = pronamespace
WHERE NOT tgisinternal
"""
