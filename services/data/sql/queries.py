"""Queries → SELECTs whose one column is JSON text made by Postgres.

Objects are `row_to_json` over a row of named columns, lists are `json_agg` over such rows: the keys come out in the
order selected. (Fetching the objects of a list as rows and joining them in Python was measured: it saves Postgres
nothing and costs Python twice as much.) Relationships are subqueries correlated to the outer row. Where order or number
of rows matters they are picked first, in a subquery of their own: nothing is computed for rows that are not returned.
"""

from services.data.plan.tree import (
    AggregateQuery,
    Cell,
    Count,
    Group,
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
from services.data.sql.rows import aggregate_sql, select_sql, windowed


def query_sql(query: Query, outer: str, aliases: Aliases) -> Fragment:
    """Return a SELECT of one row and one column: the answer as JSON; `outer` is the row it is joined to."""
    match query:
        case ListQuery(rows=rows, fields=fields):
            return sql(
                "SELECT coalesce(json_agg(r.*), '[]') FROM ({rows}) r", rows=_objects(rows, fields, outer, aliases)
            )
        case ObjectQuery(rows=rows, fields=fields, unique=unique):
            return sql(
                "SELECT row_to_json(r.*) FROM ({rows}{limit}) r",
                rows=_objects(rows, fields, outer, aliases),
                limit=EMPTY if unique else sql(" LIMIT 1"),
            )
        case AggregateQuery():
            return _aggregate(query, outer, aliases)


def _objects(rows: Rows, fields: tuple[RowField, ...], outer: str, aliases: Aliases) -> Fragment:
    """Return a SELECT of the fields of each row, one column per field."""
    alias = aliases.next()
    columns = _row_columns(fields, alias, aliases)
    if not (windowed(rows) and any(isinstance(field, Nested) for field in fields)):
        return select_sql(columns, rows, alias, outer, aliases)
    picked = select_sql(sql("{alias}.*", alias=identifier(alias)), rows, alias, outer, aliases)
    return sql("SELECT {columns} FROM ({picked}) AS {alias}", columns=columns, picked=picked, alias=identifier(alias))


def _row_columns(fields: tuple[RowField, ...], alias: str, aliases: Aliases) -> Fragment:
    return join(", ", [_named(field.alias, _row_value(field, alias, aliases)) for field in fields])


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
    sums = _Sums(alias)
    columns = join(", ", [_named(field.alias, _about(field, alias, sums, aliases)) for field in query.fields])
    named = identifier(alias)
    every_row = sql("{alias}.*", alias=named)
    if any(isinstance(field, Nodes) for field in query.fields):
        return sql(
            "WITH {alias} AS ({rows}) "
            "SELECT row_to_json(r.*) FROM (SELECT {columns} FROM (SELECT {sums} FROM {alias}) s) r",
            alias=named,
            rows=select_sql(every_row, query.rows, alias, outer, aliases),
            columns=columns,
            sums=sums.columns(),
        )
    if windowed(query.rows):
        rows = select_sql(every_row, query.rows, alias, outer, aliases)
        summed = sql("SELECT {sums} FROM ({rows}) AS {alias}", sums=sums.columns(), rows=rows, alias=named)
    else:
        summed = select_sql(sums.columns(), query.rows, alias, outer, aliases)
    return sql("SELECT row_to_json(r.*) FROM (SELECT {columns} FROM ({summed}) s) r", columns=columns, summed=summed)


class _Sums:
    """Collects the aggregates over one set of rows; equal ones are computed once."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._names: dict[Fragment, str] = {}

    def columns(self) -> Fragment:
        """Return what to select to have them all; at least one, so that there is a row."""
        wanted = self._names or {aggregate_sql("count", EMPTY): "a1"}
        return join(", ", [_named(name, expression) for expression, name in wanted.items()])

    def count(self, count: Count) -> Fragment:
        """Return the column that will hold a count."""
        named = [column(self._alias, name) for name in count.columns]
        counted = named[0] if len(named) == 1 else sql("({columns})", columns=join(", ", named))
        if not named:
            return self._column(sql("count(*)"))
        if count.distinct:
            return self._column(sql("count(DISTINCT {counted})", counted=counted))
        return self._column(sql("count({counted})", counted=counted))

    def function(self, function: str, name: str) -> Fragment:
        """Return the column that will hold an aggregate of a column."""
        return self._column(aggregate_sql(function, column(self._alias, name)))

    def _column(self, expression: Fragment) -> Fragment:
        name = self._names.setdefault(expression, f"a{len(self._names) + 1}")
        return column("s", name)


def _about(field: Typename | Totals | Nodes, alias: str, sums: _Sums, aliases: Aliases) -> Fragment:
    match field:
        case Typename(name=name):
            return word(name)
        case Totals(fields=fields):
            return _object([(inner.alias, _total(inner, sums)) for inner in fields])
        case Nodes(fields=fields):
            return sql(
                "(SELECT coalesce(json_agg(r.*), '[]') FROM (SELECT {columns} FROM {alias}) r)",
                columns=_row_columns(fields, alias, aliases),
                alias=identifier(alias),
            )


def _total(field: Typename | Count | Group, sums: _Sums) -> Fragment:
    match field:
        case Typename(name=name):
            return word(name)
        case Count():
            return sums.count(field)
        case Group(function=function, cells=cells):
            return _object(
                [
                    (
                        cell.alias,
                        word(cell.name) if isinstance(cell, Typename) else sums.function(function, cell.column),
                    )
                    for cell in cells
                ]
            )


def _object(members: list[tuple[str, Fragment]]) -> Fragment:
    columns = join(", ", [_named(alias, expression) for alias, expression in members])
    return sql("(SELECT row_to_json(r.*) FROM (SELECT {columns}) r)", columns=columns)


def _named(alias: str, expression: Fragment) -> Fragment:
    return sql("{expression} AS {alias}", expression=expression, alias=identifier(alias))
