"""Input as it was given, whether written in the document or sent in a variable: one way of reading both.

The planner walks a Given for its structure (keys, nulls, directions) and takes sources for its values.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    BooleanValueNode,
    GraphQLError,
    GraphQLInputType,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
    get_named_type,
)

from server_core.documents.slots import Slots
from services.data.plan.values import Blank, Items, JsonText, JsonVariable, Literal, Source, Variable
from services.data.schema.scalars import form_of, literal_json


class NotShared(Exception):
    """A literal stands where documents of one shape cannot share a plan: this one is planned for itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What a plan is made for.

    Attributes:
        types: the declared types of the variables.
        values: their coerced values, as one request sent them.
        slots: where the literals are that documents with this plan write differently; None if the plan is for one
            document alone.
    """

    types: Mapping[str, GraphQLInputType]
    values: Mapping[str, Any]
    slots: Slots | None = None

    def blank(self, node: ValueNode, scalar: str) -> Blank | None:
        """Return the source of a literal that others write differently, or of a list that is one run of them.

        Raises:
            NotShared: it is one of a run, and nobody asked for the run.
        """
        if self.slots is None:
            return None
        number = self.slots.number(node)
        if number is None:
            return None
        many = isinstance(node, ListValueNode)
        if not many and node.loc is not None and node.loc.start in self.slots.runs:
            raise NotShared
        return Blank(number=number, scalar=scalar, many=many)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A variable's value, or a part of it."""

    value: Any
    source: Variable

    def is_null(self) -> bool:
        return self.value is None

    def items(self) -> "Iterator[Given]":
        values = self.value if isinstance(self.value, list) else [self.value]
        return (self._part(item, number) for number, item in enumerate(values))

    def entries(self) -> "Iterator[tuple[str, Given]]":
        return ((key, self._part(item, key)) for key, item in self.value.items())

    def name(self) -> str:
        return str(self.value)

    def text(self, scalar: str) -> Source:
        return self.source

    def texts(self, scalar: str) -> Source:
        return self.source

    def _part(self, value: Any, step: str | int) -> "Sent":
        return Sent(value=value, source=Variable(name=self.source.name, path=(*self.source.path, step)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A value in the document that is not a variable; variables may stand inside."""

    node: ValueNode
    scope: Scope

    def is_null(self) -> bool:
        return isinstance(self.node, NullValueNode)

    def items(self) -> "Iterator[Given]":
        nodes = self.node.values if isinstance(self.node, ListValueNode) else (self.node,)
        return (given for node in nodes if (given := read(node, self.scope)) is not None)

    def entries(self) -> "Iterator[tuple[str, Given]]":
        if not isinstance(self.node, ObjectValueNode):
            raise GraphQLError("an object is expected", self.node)
        for field in self.node.fields:
            given = read(field.value, self.scope)
            if given is not None:
                yield field.name.value, given

    def name(self) -> str:
        """Return the enum name, or `true` or `false`."""
        if isinstance(self.node, BooleanValueNode):
            return "true" if self.node.value else "false"
        return str(self.node.value)  # type: ignore[attr-defined]

    def text(self, scalar: str) -> Source:
        """Return the source of a single value."""
        if scalar in ("json", "jsonb"):
            return self._json(scalar)
        if self.scope.slots is not None:
            if isinstance(self.node, ListValueNode):  # an array
                raise NotShared
            blank = self.scope.blank(self.node, scalar)
            if blank is not None:
                return blank
        return Literal(text=form_of(scalar).from_literal(self.node))

    def texts(self, scalar: str) -> Source:
        """Return the source of a list of values."""
        if isinstance(self.node, ListValueNode):
            run = self.scope.blank(self.node, scalar)
            if run is not None:
                return run
        return Items(items=tuple(item.text(scalar) for item in self.items()))

    def _json(self, scalar: str) -> Source:
        if self.scope.slots is None and not _holds_variable(self.node):
            return Literal(text=form_of(scalar).from_literal(self.node))
        parts = tuple(_json_parts(self.node, self.scope))
        if any(not isinstance(part, str) for part in parts):
            return JsonText(parts=parts)
        return Literal(text="".join([part for part in parts if isinstance(part, str)]))


Given = Sent | Written


def read(node: ValueNode, scope: Scope) -> Given | None:
    """Return what a value node gives; None for a variable that was neither sent nor has a default."""
    if not isinstance(node, VariableNode):
        return Written(node=node, scope=scope)
    name = node.name.value
    if name not in scope.values:
        return None
    return Sent(value=scope.values[name], source=Variable(name=name))


def missing(given: Given, path: str) -> str | None:
    """Return where in a value a variable stands that was not sent; None if all were."""
    return _missing(given.node, given.scope, path) if isinstance(given, Written) else None


def _missing(node: ValueNode, scope: Scope, path: str) -> str | None:
    match node:
        case VariableNode():
            return path if node.name.value not in scope.values else None
        case ListValueNode():
            parts = [(item, f"{path}[{number}]") for number, item in enumerate(node.values)]
        case ObjectValueNode():
            parts = [(field.value, f"{path}.{field.name.value}") for field in node.fields]
        case _:
            return None
    return next((found for part, place in parts if (found := _missing(part, scope, place)) is not None), None)


def _holds_variable(node: ValueNode) -> bool:
    match node:
        case VariableNode():
            return True
        case ListValueNode():
            return any(_holds_variable(item) for item in node.values)
        case ObjectValueNode():
            return any(_holds_variable(field.value) for field in node.fields)
    return False


def _json_parts(node: ValueNode, scope: Scope) -> Iterator[str | JsonVariable | Blank]:
    blank = scope.blank(node, "json")
    if blank is not None:
        yield blank
        return
    match node:
        case VariableNode():
            scalar = get_named_type(scope.types[node.name.value]).name
            quoted = scalar not in ("Int", "Float", "Boolean", "json", "jsonb")
            yield JsonVariable(variable=Variable(name=node.name.value), quoted=quoted)
        case ListValueNode():
            yield "["
            for number, item in enumerate(node.values):
                yield "," if number else ""
                yield from _json_parts(item, scope)
            yield "]"
        case ObjectValueNode():
            yield "{"
            for number, field in enumerate(node.fields):
                yield f"{',' if number else ''}{json.dumps(field.name.value)}:"
                yield from _json_parts(field.value, scope)
            yield "}"
        case _:
            yield literal_json(node)
