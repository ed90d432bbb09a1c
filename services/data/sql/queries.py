"""Queries → SELECTs whose one column is JSON text made by Postgres.

Objects are `row_to_json` over a row of named columns, lists are `json_agg` over such rows: the keys come out in the
order selected. Lists without a limit, or with a high one, come as a row for each object, so that they are never one
value in Postgres, which would end at a gigabyte; for others that costs Python more than it saves Postgres.
Relationships are subqueries correlated to the outer row. Where order or number of rows matters they are picked first,
in a subquery of their own: nothing is computed for rows that are not returned. Counts of the same related rows share a
scan (scans).
"""

from collections.abc import Mapping
from typing import Final

from services.data.plan.tree import (
    AggregateQuery,
    Cell,
    ListQuery,
    Nested,
    Nodes,
    ObjectQuery,
    Query,
    RowField,
    Rows,
    Totals,
    Typename,
)
from services.data.sql.aliases import Aliases
from services.data.sql.fragment import EMPTY, Fragment, column, identifier, join, sql, value, word
from services.data.sql.rows import select_sql, windowed
from services.data.sql.scans import Scan, shared_scans
from services.data.sql.sums import Sums, named

LIST_HEAD: Final = "SELECT coalesce(json_agg(r.*), '[]') FROM ("
"""How the statement of a list begins that comes as one value …"""

OBJECTS_HEAD: Final = "SELECT row_to_json(r.*) FROM ("
"""… and that of one whose objects come one by one. All the rest is the same."""


def query_sql(query: Query, outer: str, aliases: Aliases) -> Fragment:
    """Return a SELECT of one row and one column: the answer as JSON; `outer` is the row it is joined to."""
    match query:
        case ListQuery(rows=rows, fields=fields):
            return sql(LIST_HEAD + "{rows}) r", rows=_objects(rows, fields, outer, aliases))
        case ObjectQuery(rows=rows, fields=fields, unique=unique):
            return sql(
                "SELECT row_to_json(r.*) FROM ({rows}{limit}) r",
                rows=_objects(rows, fields, outer, aliases),
                limit=EMPTY if unique else sql(" LIMIT 1"),
            )
        case AggregateQuery():
            return _aggregate(query, outer, aliases)


def objects_sql(query: ListQuery, aliases: Aliases) -> Fragment:
    """Return a SELECT of one column and a row for each object of a list, as JSON."""
    rows = _objects(query.rows, query.fields, "", aliases)
    return sql(OBJECTS_HEAD + "{rows}) r", rows=rows)


def _objects(rows: Rows, fields: tuple[RowField, ...], outer: str, aliases: Aliases) -> Fragment:
    """Return a SELECT of the fields of each row, one column per field."""
    alias = aliases.next()
    nested = [(field.alias, field.query) for field in fields if isinstance(field, Nested)]
    scans = shared_scans(nested, alias, aliases)
    shared = {key: answer for scan in scans for key, answer in scan.objects.items()}
    columns = _row_columns(fields, alias, aliases, shared)
    if not scans and not (nested and windowed(rows)):
        if rows.distinct and not columns.parts:  # all that was selected is skipped, and DISTINCT wants something
            picked = select_sql(sql("NULL"), rows, alias, outer, aliases)
            return sql("SELECT FROM ({picked}) AS {alias}", picked=picked, alias=identifier(alias))
        return select_sql(columns, rows, alias, outer, aliases)
    return sql(
        "SELECT {columns} FROM ({picked}) AS {alias}{scans}",
        columns=columns,
        picked=select_sql(sql("{alias}.*", alias=identifier(alias)), rows, alias, outer, aliases),
        alias=identifier(alias),
        scans=_joined(scans),
    )


def _row_columns(
    fields: tuple[RowField, ...], alias: str, aliases: Aliases, shared: Mapping[str, Fragment]
) -> Fragment:
    return join(
        ", ",
        [named(field.alias, shared.get(field.alias) or _row_value(field, alias, aliases)) for field in fields],
    )


def _row_value(field: RowField, alias: str, aliases: Aliases) -> Fragment:
    match field:
        case Typename(name=name):
            return word(name)
        case Cell(column=name, path=None):
            return column(alias, name)
        case Cell(column=name, path=path) if path is not None:
            return sql("{column} #> {path}", column=column(alias, name), path=value(path))
        case Nested(query=query):
            return sql("({query})", query=query_sql(query, alias, aliases))
    raise TypeError(f"not a field of a row: {field}")


def _aggregate(query: AggregateQuery, outer: str, aliases: Aliases) -> Fragment:
    """Return an object about the rows.

    The sums are computed in one pass (relation `s`) and then put where they belong. If the rows themselves are wanted
    too, both read them from a WITH: inside one aggregation `count(DISTINCT …)` may change the order of the list.
    """
    alias = aliases.next()
    sums = Sums(alias, "s")
    columns = join(", ", [named(field.alias, _about(field, alias, sums, aliases)) for field in query.fields])
    rows_name = identifier(alias)
    every_row = sql("{alias}.*", alias=rows_name)
    if any(isinstance(field, Nodes) for field in query.fields):
        return sql(
            "WITH {alias} AS ({rows}) "
            "SELECT row_to_json(r.*) FROM (SELECT {columns} FROM (SELECT {sums} FROM {alias}) s) r",
            alias=rows_name,
            rows=select_sql(every_row, query.rows, alias, outer, aliases),
            columns=columns,
            sums=sums.columns(),
        )
    if windowed(query.rows):
        rows = select_sql(every_row, query.rows, alias, outer, aliases)
        summed = sql("SELECT {sums} FROM ({rows}) AS {alias}", sums=sums.columns(), rows=rows, alias=rows_name)
    else:
        summed = select_sql(sums.columns(), query.rows, alias, outer, aliases)
    return sql("SELECT row_to_json(r.*) FROM (SELECT {columns} FROM ({summed}) s) r", columns=columns, summed=summed)


def _about(field: Typename | Totals | Nodes, alias: str, sums: Sums, aliases: Aliases) -> Fragment:
    match field:
        case Typename(name=name):
            return word(name)
        case Totals():
            return sums.totals(field)
        case Nodes(fields=fields):
            nested = [(inner.alias, inner.query) for inner in fields if isinstance(inner, Nested)]
            scans = shared_scans(nested, alias, aliases)
            shared = {key: answer for scan in scans for key, answer in scan.objects.items()}
            return sql(
                "(SELECT coalesce(json_agg(r.*), '[]') FROM (SELECT {columns} FROM {alias}{scans}) r)",
                columns=_row_columns(fields, alias, aliases, shared),
                alias=identifier(alias),
                scans=_joined(scans),
            )


def _joined(scans: list[Scan]) -> Fragment:
    return join("", [sql(" CROSS JOIN LATERAL {relation}", relation=scan.relation) for scan in scans])
