"""A world → documents over it: what is asked (as a tree), and one of the many ways of writing that down."""

import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final

from hypothesis import strategies as st

from tests.service.data.properties.evaluate import Asked
from tests.service.data.properties.world import POOLS, SCALARS, Table, World

Draw = Callable[[st.SearchStrategy[Any]], Any]
Root = tuple[str, str, Asked]

DIRECTIONS: Final = ("asc", "desc", "asc_nulls_first", "asc_nulls_last", "desc_nulls_first", "desc_nulls_last")
PATTERNS: Final = ("%", "a%", "%b", "_", "a_b", "\\%", "%\\_%", "", "A", "%☃", "%\n%", "a\\%b", "'%", "{x}")
SUMMED: Final = ("integer", "bigint", "numeric")


def some(draw: Draw, odds: int = 2) -> bool:
    """Return true once in so many times."""
    return bool(draw(st.integers(1, odds)) == 1)


def roots(draw: Draw, world: World) -> list[Root]:
    """Return up to three root fields."""
    made: list[Root] = []
    for number in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(("list", "list", "aggregate", "by_pk")))
        table = world.tables[draw(st.sampled_from(sorted(world.tables)))]
        name = world.shown(table.name) + {"list": "", "aggregate": "_aggregate", "by_pk": "_by_pk"}[kind]
        alias = f"r{number}"
        if kind == "by_pk":
            key = draw(st.integers(0, 8))
            fields = _fields(draw, world, table, 2)
            made.append((kind, table.name, Asked(name=name, alias=alias, arguments={"id": key}, fields=fields)))
        else:
            asked = _set(draw, world, table, name, alias, 2, aggregate=kind == "aggregate")
            made.append((kind, table.name, asked))
    return made


def _set(draw: Draw, world: World, table: Table, name: str, alias: str, depth: int, *, aggregate: bool) -> Asked:
    if not aggregate:
        fields = _fields(draw, world, table, depth)
    else:
        parts = [Asked(name="__typename", alias="t")] if some(draw) else []
        parts.append(Asked(name="aggregate", alias="a", fields=_totals(draw, table)))
        if some(draw):
            parts.append(Asked(name="nodes", alias="nodes", fields=_fields(draw, world, table, depth - 1)))
        fields = tuple(parts)
    return Asked(name=name, alias=alias, arguments=_arguments(draw, world, table), fields=fields)


def _totals(draw: Draw, table: Table) -> tuple[Asked, ...]:
    made = [Asked(name="count", alias="n", arguments=_count_arguments(draw, table))]
    if some(draw):
        made.append(Asked(name="count", alias="m", arguments=_count_arguments(draw, table)))
    for function in ("max", "min", "sum"):
        types = SUMMED if function == "sum" else (*SUMMED, "text")
        columns = [name for name, type in table.columns.items() if type in types]
        if some(draw, 3):
            made.append(
                Asked(name=function, alias=function, fields=tuple(Asked(name=c, alias=f"x{c}") for c in columns))
            )
    return tuple(made)


def _count_arguments(draw: Draw, table: Table) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if some(draw):
        arguments["columns"] = draw(st.lists(st.sampled_from(sorted(table.columns)), max_size=2, unique=True))
    if some(draw):
        arguments["distinct"] = draw(st.sampled_from((True, False, None)))
    return arguments


def _fields(draw: Draw, world: World, table: Table, depth: int) -> tuple[Asked, ...]:
    made = [Asked(name="id", alias="id")]
    for number, name in enumerate(draw(st.lists(st.sampled_from(("__typename", *table.columns)), max_size=3))):
        made.append(Asked(name=name, alias=f"f{number}"))
    if depth > 0 and table.link and some(draw):
        target = world.tables[table.link.target]
        made.append(Asked(name="parent", alias="p", fields=_fields(draw, world, target, depth - 1)))
    if depth > 0:
        for kid in world.kids(table.name):
            for alias, aggregate in (("k1", False), ("k2", False), ("ka", True), ("kb", True)):
                if kid.link and some(draw, 4):
                    name = kid.link.many + ("_aggregate" if aggregate else "")
                    made.append(_set(draw, world, kid, name, f"{alias}_{kid.name}", depth - 1, aggregate=aggregate))
    return tuple(made)


def _arguments(draw: Draw, world: World, table: Table) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if some(draw, 3) is False:
        arguments["where"] = where(draw, world, table, 3)
    order: list[dict[str, Any]] = []
    if some(draw):
        distinct = draw(st.lists(st.sampled_from(sorted(table.columns)), min_size=1, max_size=2, unique=True))
        arguments["distinct_on"] = distinct
        order = [{name: draw(st.sampled_from(DIRECTIONS))} for name in draw(st.permutations(distinct))]
    order += [_order(draw, world, table, 2) for _ in range(draw(st.integers(0, 2)))]
    order.append({"id": draw(st.sampled_from(("asc", "desc")))})
    arguments["order_by"] = order
    for name in ("limit", "offset"):
        if some(draw, 3):
            arguments[name] = draw(st.sampled_from((None, 0, 1, 2, 5)))
    return arguments


def _order(draw: Draw, world: World, table: Table, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(sorted(table.columns)), max_size=2, unique=True)):
        made[name] = draw(st.sampled_from((*DIRECTIONS, None)))
    if table.link and depth and some(draw):
        made["parent"] = _order(draw, world, world.tables[table.link.target], depth - 1)
    for kid in world.kids(table.name):
        if kid.link and some(draw, 3):
            ordered: dict[str, Any] = {"count": draw(st.sampled_from(DIRECTIONS))}
            if some(draw):
                ordered["max"] = {"id": draw(st.sampled_from(DIRECTIONS))}
            made[f"{kid.link.many}_aggregate"] = ordered
    return made


def where(draw: Draw, world: World, table: Table, depth: int) -> dict[str, Any]:
    """Return a filter: columns, relationships, boolean logic, nulls where they may stand."""
    made: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(sorted(table.columns)), max_size=2, unique=True)):
        made[name] = _comparison(draw, table.columns[name])
    if depth > 0:
        for name in draw(st.lists(st.sampled_from(("_and", "_or", "_not")), max_size=2, unique=True)):
            inner = [where(draw, world, table, depth - 1) for _ in range(draw(st.integers(0, 2)))]
            made[name] = inner if name != "_not" else where(draw, world, table, depth - 1)
        if table.link and some(draw, 3):
            made["parent"] = where(draw, world, world.tables[table.link.target], depth - 1)
        for kid in world.kids(table.name):
            if kid.link and some(draw, 3):
                made[kid.link.many] = where(draw, world, kid, depth - 1)
    return made


def _comparison(draw: Draw, type: str) -> dict[str, Any]:
    made: dict[str, Any] = {}
    operators = ["_eq", "_neq", "_gt", "_gte", "_lt", "_lte", "_in", "_nin", "_is_null"]
    if type == "text":
        operators += ["_like", "_nlike", "_ilike", "_nilike"]
    for name in draw(st.lists(st.sampled_from(operators), max_size=2, unique=True)):
        if some(draw, 6):
            made[name] = None
        elif name == "_is_null":
            made[name] = draw(st.booleans())
        elif name in ("_in", "_nin"):
            made[name] = draw(st.lists(st.sampled_from(POOLS[type]), max_size=3))
        else:
            made[name] = draw(st.sampled_from(PATTERNS if "like" in name else POOLS[type]))
    return made


class Writer:
    """Writes what is asked as a document: any value may stand in it or in a variable, any selection in a fragment."""

    def __init__(self, draw: Draw, world: World) -> None:
        self._draw = draw
        self._world = world
        self._declared: list[str] = []
        self._fragments: list[str] = []
        self.variables: dict[str, Any] = {}

    def document(self, asked: list[Root]) -> str:
        """Return the document; `variables` then holds what goes with it."""
        body = " ".join(self._field(root, self._world.tables[table], kind) for kind, table, root in asked)
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        return f"query q{declared} {{ {body} }} " + " ".join(self._fragments)

    def _field(self, asked: Asked, table: Table, kind: str) -> str:
        shown = self._world.shown(table.name)
        arguments = " ".join(f"{name}: {self._argument(name, value, table)}" for name, value in asked.arguments.items())
        text = f"{asked.alias}: {asked.name}" + (f"({arguments})" if arguments else "")
        if not asked.fields:
            return text
        match kind:
            case "list" | "by_pk":
                inner = [self._inner(field, table) for field in asked.fields]
            case _:
                inner = [self._about(field, table) for field in asked.fields]
        selection = " ".join(inner)
        type = shown if kind != "aggregate" else f"{shown}_aggregate"
        if some(self._draw, 4):
            name = f"F{len(self._fragments)}"
            self._fragments.append(f"fragment {name} on {type} {{ {selection} }}")
            selection = f"...{name}"
        elif some(self._draw, 4):
            selection = f"... on {type} @include(if: true) {{ {selection} }}"
        return f"{text} {{ {selection} }}"

    def _inner(self, asked: Asked, table: Table) -> str:
        if not asked.fields:
            return f"{asked.alias}: {asked.name}"
        if asked.name == "parent" and table.link:
            return self._field(asked, self._world.tables[table.link.target], "list")
        many = asked.name.removesuffix("_aggregate")
        [kid] = [kid for kid in self._world.kids(table.name) if kid.link and kid.link.many == many]
        return self._field(asked, kid, "aggregate" if asked.name.endswith("_aggregate") else "list")

    def _about(self, asked: Asked, table: Table) -> str:
        if asked.name == "nodes":
            return self._field(asked, table, "list")
        if asked.name != "aggregate":
            return f"{asked.alias}: {asked.name}"
        totals = []
        for total in asked.fields:
            arguments = " ".join(f"{k}: {self._argument(k, v, table)}" for k, v in total.arguments.items())
            inner = " ".join(f"{cell.alias}: {cell.name}" for cell in total.fields)
            totals.append(
                f"{total.alias}: {total.name}"
                + (f"({arguments})" if arguments else "")
                + (f" {{ {inner} }}" if inner else "")
            )
        return f"{asked.alias}: aggregate {{ {' '.join(totals)} }}"

    def _argument(self, name: str, value: Any, table: Table) -> str:
        shown = self._world.shown(table.name)
        match name:
            case "where":
                return self._either(value, f"{shown}_bool_exp", partial(self._where, value, table))
            case "order_by":
                return self._either(value, f"[{shown}_order_by!]", partial(enum, value))
            case "distinct_on" | "columns":
                return self._either(value, f"[{shown}_select_column!]", partial(enum, value))
            case "distinct":
                return self._either(value, "Boolean", partial(enum, value))
            case "id":
                return self._either(value, "Int!", partial(str, value))
        return self._either(value, "Int", partial(enum, value))

    def _where(self, value: dict[str, Any], table: Table) -> str:
        shown = self._world.shown(table.name)
        members = []
        for name, given in value.items():
            if name in ("_and", "_or"):
                text = self._either(given, f"[{shown}_bool_exp!]", partial(self._list, given, table))
            elif name == "_not":
                text = self._where(given, table)
            elif name in table.columns:
                scalar = SCALARS[table.columns[name]]
                text = self._either(
                    given,
                    f"{scalar}_comparison_exp",
                    partial(self._comparison, given, scalar),
                )
            elif name == "parent":
                assert table.link
                text = self._where(given, self._world.tables[table.link.target])
            else:
                [kid] = [kid for kid in self._world.kids(table.name) if kid.link and kid.link.many == name]
                text = self._where(given, kid)
            members.append(f"{name}: {text}")
        return f"{{{', '.join(members)}}}"

    def _list(self, items: list[dict[str, Any]], table: Table) -> str:
        if len(items) == 1 and some(self._draw):
            return self._where(items[0], table)
        type = f"{self._world.shown(table.name)}_bool_exp!"
        written = [self._either(item, type, partial(self._where, item, table)) for item in items]
        return f"[{' '.join(written)}]"

    def _comparison(self, value: dict[str, Any], scalar: str) -> str:
        members = []
        for name, given in value.items():
            type = f"[{scalar}!]" if name in ("_in", "_nin") else "Boolean" if name == "_is_null" else scalar
            members.append(f"{name}: {self._either(given, type, partial(literal, given))}")
        return f"{{{', '.join(members)}}}"

    def _either(self, value: Any, type: str, written: Callable[[], str]) -> str:
        """Write a value in its place, or declare a variable for it: sent, defaulted, or left out if it is null."""
        if not some(self._draw, 3):
            return written()
        name = f"v{len(self._declared)}"
        self._declared.append(f"${name}: {type}")
        if value is not None or some(self._draw):
            self.variables[name] = value
        return f"${name}"


def literal(value: Any) -> str:
    """Spell a scalar, or a list of them, as a GraphQL literal."""
    match value:
        case Decimal():
            return str(value)
        case list():
            return f"[{', '.join(literal(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)


def enum(value: Any) -> str:
    """Spell a value whose strings are names of enums."""
    match value:
        case dict():
            return "{" + ", ".join(f"{name}: {enum(item)}" for name, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(enum(item) for item in value) + "]"
        case str():
            return value
    return json.dumps(value)
