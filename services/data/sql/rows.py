"""Rows → FROM … WHERE … ORDER BY … LIMIT: which rows, in which order."""

from typing import Final, LiteralString

from services.data.plan.tree import TRUE as ALL
from services.data.plan.tree import (
    ByAggregate,
    ByColumn,
    ByRelated,
    Direction,
    From,
    FromFunction,
    FromImages,
    FromKeys,
    FromTable,
    FromWritten,
    Order,
    OrderKey,
    Rows,
)
from services.data.plan.values import Value
from services.data.sql.aliases import Aliases
from services.data.sql.conditions import where_sql
from services.data.sql.fragment import EMPTY, Fragment, cast, ceiling, column, identifier, join, qualified, sql, value

WRITTEN: Final = "w"
"""The WITH that holds what the statement writes."""

_DIRECTIONS: Final[dict[Direction, LiteralString]] = {
    Direction.ASC: "{key}",
    Direction.DESC: "{key} DESC",
    Direction.ASC_NULLS_FIRST: "{key} NULLS FIRST",
    Direction.DESC_NULLS_LAST: "{key} DESC NULLS LAST",
}
AGGREGATE_CALLS: Final[dict[str, LiteralString]] = {
    "count": "count(*)",
    "max": "max({column})",
    "min": "min({column})",
    "avg": "avg({column})",
    "sum": "sum({column})",
    "stddev": "stddev({column})",
    "stddev_pop": "stddev_pop({column})",
    "stddev_samp": "stddev_samp({column})",
    "var_pop": "var_pop({column})",
    "var_samp": "var_samp({column})",
    "variance": "variance({column})",
}


def windowed(rows: Rows) -> bool:
    """Say whether order or number of the rows matters: then they are picked before anything is computed from them."""
    return bool(rows.distinct or rows.order or rows.limit or rows.offset)


def select_sql(columns: Fragment, rows: Rows, alias: str, outer: str, aliases: Aliases) -> Fragment:
    """Return a SELECT of columns from the rows; `alias` stands for one of them, `outer` for the row they belong to.

    A limit that is a parameter tells Postgres nothing: it expects a tenth of all rows, finds that too dear to plan for
    once and all, and plans each request anew, which takes as long as running it. So the rows are limited twice: by a
    number that stands in the text, a power of two, and among these by what the request says.
    """
    every = _unlimited_sql(columns, rows, alias, outer, aliases)
    offset = sql(" OFFSET {count}", count=value(rows.offset)) if rows.offset else EMPTY
    if rows.limit is None:
        return every + offset
    return sql(
        "SELECT * FROM ({every} LIMIT {ceiling}) AS {alias} LIMIT {limit}{offset}",
        every=every,
        ceiling=ceiling(rows.limit, rows.offset) if rows.offset else ceiling(rows.limit),
        alias=identifier(alias),
        limit=value(rows.limit),
        offset=offset,
    )


def _unlimited_sql(columns: Fragment, rows: Rows, alias: str, outer: str, aliases: Aliases) -> Fragment:
    where = where_sql(rows.join, rows.where, outer=outer, inner=alias, aliases=aliases)
    return sql(
        "SELECT {distinct}{columns} FROM {source} AS {alias}{where}{order}",
        distinct=_distinct(rows, alias),
        columns=columns,
        source=_source(rows.source),
        alias=identifier(alias),
        where=sql(" WHERE {where}", where=where) if where else EMPTY,
        order=_order_by(rows.order, alias, aliases),
    )


def aggregate_sql(function: str, argument: Fragment) -> Fragment:
    """Return a call of an aggregate function."""
    return sql(AGGREGATE_CALLS[function], column=argument)


def _distinct(rows: Rows, alias: str) -> Fragment:
    if not rows.distinct:
        return EMPTY
    return sql("DISTINCT ON ({columns}) ", columns=join(", ", [column(alias, name) for name in rows.distinct]))


def _source(source: From) -> Fragment:
    match source:
        case FromTable(name=name):
            return qualified(name)
        case FromFunction(name=name, arguments=arguments):
            given = [_argument(argument, passed) for argument, passed in arguments]
            return sql("{function}({arguments})", function=qualified(name), arguments=join(", ", given))
        case FromWritten():
            return identifier(WRITTEN)
        case FromImages(name=name, images=images):
            return sql("unnest(({images})::{table}[])", images=value(images), table=qualified(name))
        case FromKeys():
            return _by_keys(source)


def _by_keys(source: FromKeys) -> Fragment:
    names = [f"c{number}" for number, _ in enumerate(source.columns, 1)]
    matched = [
        sql("{own} = {key}", own=column("t", own.name), key=cast(column("k", name), own.type))
        for own, name in zip(source.columns, names, strict=True)
    ]
    return sql(
        "(SELECT t.* FROM unnest({keys}) WITH ORDINALITY AS k ({names}, n) JOIN {table} AS t ON {matched} "
        "ORDER BY k.n)",
        keys=join(", ", [value(each) for each in source.values]),
        names=join(", ", [identifier(name) for name in names]),
        table=qualified(source.name),
        matched=join(" AND ", matched),
    )


def _argument(name: str, passed: Value | None) -> Fragment:
    given = sql("NULL") if passed is None else value(passed)
    return sql("{name} => {value}", name=identifier(name), value=given) if name else given


def _order_by(orders: tuple[Order, ...], alias: str, aliases: Aliases) -> Fragment:
    if not orders:
        return EMPTY
    keys = [sql(_DIRECTIONS[order.direction], key=_key(order.key, alias, aliases)) for order in orders]
    return sql(" ORDER BY {keys}", keys=join(", ", keys))


def _key(key: OrderKey, alias: str, aliases: Aliases) -> Fragment:
    match key:
        case ByColumn(column=name):
            return column(alias, name)
        case ByRelated(name=name, join=pairs, unique=unique, key=inner_key):
            inner = aliases.next()
            template: LiteralString = "(SELECT {key} FROM {table} AS {alias} WHERE {join})"
            if not unique:
                template = "(SELECT {key} FROM {table} AS {alias} WHERE {join} LIMIT 1)"
            selected = _key(inner_key, inner, aliases)
        case ByAggregate(name=name, join=pairs, function=function, column=aggregated):
            inner = aliases.next()
            template = "(SELECT {key} FROM {table} AS {alias} WHERE {join})"
            selected = aggregate_sql(function, column(inner, aggregated) if aggregated else EMPTY)
    joined = where_sql(pairs, ALL, outer=alias, inner=inner, aliases=aliases)
    return sql(template, key=selected, table=qualified(name), alias=identifier(inner), join=joined or sql("true"))
