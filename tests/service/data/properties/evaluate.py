"""A world and what is asked of it → the answer, in plain Python. Knows nothing of SQL; null is a third truth value."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from operator import itemgetter
from typing import Any

from tests.service.data.properties.world import Row, Table, World

Truth = bool | None
Step = Callable[[Row], Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A field of a document: arguments are JSON values, as a variable would hold them."""

    name: str
    alias: str
    arguments: dict[str, Any] = field(default_factory=dict)
    fields: tuple["Asked", ...] = ()


def answer(world: World, roots: Iterable[tuple[str, str, Asked]]) -> dict[str, Any]:
    """Return the data of an operation; a root is a kind (`list`, `aggregate`, `by_pk`), a table and what is asked."""
    data: dict[str, Any] = {}
    for kind, name, asked in roots:
        table = world.tables[name]
        if kind == "by_pk":
            found = [row for row in table.rows if row["id"] == asked.arguments["id"]]
            data[asked.alias] = _object(world, table, found[0], asked.fields) if found else None
        else:
            data[asked.alias] = _set(world, table, table.rows, asked, aggregate=kind == "aggregate")
    return data


def _set(world: World, table: Table, rows: list[Row], asked: Asked, *, aggregate: bool) -> Any:
    rows = _chosen(world, table, rows, asked.arguments)
    if not aggregate:
        return [_object(world, table, row, asked.fields) for row in rows]
    about: dict[str, Any] = {}
    for part in asked.fields:
        if part.name == "__typename":
            about[part.alias] = f"{world.shown(table.name)}_aggregate"
        elif part.name == "nodes":
            about[part.alias] = [_object(world, table, row, part.fields) for row in rows]
        else:
            about[part.alias] = {total.alias: _total(rows, total) for total in part.fields}
    return about


def _total(rows: list[Row], asked: Asked) -> Any:
    if asked.name == "count":
        columns = asked.arguments.get("columns") or []
        if len(columns) == 1:
            rows = [row for row in rows if row[columns[0]] is not None]
        values = [tuple(row[name] for name in columns) for row in rows]
        return len(set(values)) if asked.arguments.get("distinct") and columns else len(values)
    return {cell.alias: shown(_folded(asked.name, [row[cell.name] for row in rows])) for cell in asked.fields}


def _folded(function: str, values: list[Any]) -> Any:
    present = [value for value in values if value is not None]
    if not present:
        return None
    match function:
        case "max":
            return max(present)
        case "min":
            return min(present)
    return sum(present)


def _object(world: World, table: Table, row: Row, fields: Iterable[Asked]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for asked in fields:
        if asked.name == "__typename":
            found[asked.alias] = world.shown(table.name)
        elif asked.name in table.columns:
            found[asked.alias] = shown(row[asked.name])
        elif asked.name == "parent":
            target, parents = _parents(world, table, row)
            found[asked.alias] = _object(world, target, parents[0], asked.fields) if parents else None
        else:
            kid, rows = _kids(world, table, row, asked.name.removesuffix("_aggregate"))
            found[asked.alias] = _set(world, kid, rows, asked, aggregate=asked.name.endswith("_aggregate"))
    return found


def _parents(world: World, table: Table, row: Row) -> tuple[Table, list[Row]]:
    assert table.link
    target = world.tables[table.link.target]
    return target, [other for other in target.rows if other["id"] == row[table.link.column]]


def _kids(world: World, table: Table, row: Row, name: str) -> tuple[Table, list[Row]]:
    [(kid, column)] = [
        (other, other.link.column) for other in world.kids(table.name) if other.link and other.link.many == name
    ]
    return kid, [other for other in kid.rows if other[column] == row["id"]]


def _chosen(world: World, table: Table, rows: list[Row], arguments: dict[str, Any]) -> list[Row]:
    where = arguments.get("where")
    rows = [row for row in rows if where is None or _holds(world, table, row, where) is True]
    keys = [
        (value, direction)
        for item in arguments.get("order_by") or []
        for value, direction in _keys(world, table, item, lambda row: row)
    ]
    for value, direction in reversed(keys):
        rows = _sorted(rows, value, direction)
    if arguments.get("distinct_on"):
        first: dict[tuple[Any, ...], Row] = {}
        for row in rows:
            first.setdefault(tuple(row[name] for name in arguments["distinct_on"]), row)
        rows = list(first.values())
    offset, limit = arguments.get("offset") or 0, arguments.get("limit")
    return rows[offset:] if limit is None else rows[offset : offset + limit]


def _keys(world: World, table: Table, item: dict[str, Any], start: Step) -> Iterable[tuple[Step, str]]:
    for name, given in item.items():
        if given is None:
            continue
        if name in table.columns:
            yield _then(start, itemgetter(name)), given
        elif name == "parent" and table.link:
            target = world.tables[table.link.target]
            yield from _keys(world, target, given, _then(start, partial(_parent_of, world, table)))
        else:
            kids = partial(_kids_of, world, table, name.removesuffix("_aggregate"))
            for function, direction in given.items():
                columns = {"id": direction} if function == "count" else direction
                for column, inner in columns.items():
                    yield _then(start, partial(_aggregated, kids, function, column)), inner


def _then(start: Step, step: Step) -> Step:
    return lambda row: None if (found := start(row)) is None else step(found)


def _aggregated(kids: Step, function: str, column: str, row: Row) -> Any:
    rows = kids(row)
    return len(rows) if function == "count" else _folded(function, [kid[column] for kid in rows])


def _kids_of(world: World, table: Table, name: str, row: Row) -> list[Row]:
    return _kids(world, table, row, name)[1]


def _parent_of(world: World, table: Table, row: Row) -> Row | None:
    parents = _parents(world, table, row)[1]
    return parents[0] if parents else None


def _sorted(rows: list[Row], value: Callable[[Row], Any], direction: str) -> list[Row]:
    descending = direction.startswith("desc")
    nulls_first = direction.endswith("nulls_first") or direction == "desc"
    nulls = [row for row in rows if value(row) is None]
    rest = sorted((row for row in rows if value(row) is not None), key=value, reverse=descending)
    return [*nulls, *rest] if nulls_first else [*rest, *nulls]


def _holds(world: World, table: Table, row: Row, where: dict[str, Any]) -> Truth:
    return _all(_member(world, table, row, name, given) for name, given in where.items())


def _member(world: World, table: Table, row: Row, name: str, given: Any) -> Truth:
    match name:
        case "_and":
            return _all([_holds(world, table, row, item) for item in given])
        case "_or":
            return _not(_all([_not(_holds(world, table, row, item)) for item in given]))
        case "_not":
            return _not(_holds(world, table, row, given))
        case "parent":
            target, rows = _parents(world, table, row)
        case _ if name in table.columns:
            return _all(
                _compared(operator, row[name], operand) for operator, operand in given.items() if operand is not None
            )
        case _:
            target, rows = _kids(world, table, row, name)
    return any(_holds(world, target, other, given) is True for other in rows)


def _compared(operator: str, value: Any, operand: Any) -> Truth:
    if operator == "_is_null":
        return (value is None) is operand
    if operator in ("_in", "_nin") and not operand:
        return operator == "_nin"
    if value is None:
        return None
    match operator:
        case "_in":
            return value in operand
        case "_nin":
            return value not in operand
        case "_eq":
            return bool(value == operand)
        case "_neq":
            return bool(value != operand)
        case "_gt":
            return bool(value > operand)
        case "_gte":
            return bool(value >= operand)
        case "_lt":
            return bool(value < operand)
        case "_lte":
            return bool(value <= operand)
    found = _like(value, operand, ignore_case="ilike" in operator)
    return found is not operator.startswith("_n")


def _like(value: str, pattern: str, *, ignore_case: bool) -> bool:
    parts, rest = [], iter(pattern)
    for character in rest:
        if character == "\\":
            parts.append(re.escape(next(rest)))
        else:
            parts.append({"%": ".*", "_": "."}.get(character, re.escape(character)))
    return re.fullmatch("".join(parts), value, re.DOTALL | (re.IGNORECASE if ignore_case else 0)) is not None


def _all(items: Iterable[Truth]) -> Truth:
    found = list(items)
    return False if False in found else None if None in found else True


def _not(item: Truth) -> Truth:
    return None if item is None else not item


def shown(value: Any) -> Any:
    """Return a value as it comes out of JSON."""
    return float(value) if isinstance(value, Decimal) else value
