"""The value of an argument as it is written in a document → a function: this request's literals and variables → what a
resolver is given. Called by operation.

The literals are those that server_core.shape cut out of the text, as they are written there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from graphql import (
    FloatValueNode,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLNonNull,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    is_leaf_type,
    is_list_type,
    parse_value,
)

from services.graphql.compiled.inputs import MISSING, Misfit, Uncompilable, constructor, leaf, members

Source = Callable[[Sequence[str], Mapping[str, Any]], Any]
"""Literals and coerced variables → a value; MISSING if it is a variable that has none. Raises for what does not fit."""

_CUT: Final = (StringValueNode, IntValueNode, FloatValueNode)


class Numbered(Protocol):
    """Knows which literal of the shape a node is."""

    def number(self, node: ValueNode) -> int | None:
        """Return it, or None if the node's text is the same in all documents of the shape."""


class Sources:
    """Makes functions of the values in one document.

    Args:
        slots: which literals they are; None: all values are as they stand in this very document.

    Attributes:
        used: numbers of the literals that the functions read.
    """

    def __init__(self, slots: Numbered | None) -> None:
        self._slots = slots
        self.used: set[int] = set()

    def source(self, node: ValueNode, type_: GraphQLInputType) -> Source:
        """Return what makes the value that a node stands for at a place of some type.

        Raises:
            Uncompilable: that is left to graphql-core.
        """
        if isinstance(node, VariableNode):
            return _variable(node.name.value, required=isinstance(type_, GraphQLNonNull))
        if isinstance(type_, GraphQLNonNull):
            if isinstance(node, NullValueNode):
                raise Uncompilable("null")
            return self.source(node, type_.of_type)
        if isinstance(node, NullValueNode):
            return lambda _literals, _variables: None
        if is_list_type(type_):
            return self._list(node, type_.of_type)
        if isinstance(type_, GraphQLInputObjectType):
            return self._object(node, type_)
        return self._leaf(node, type_)

    def _list(self, node: ValueNode, item_type: GraphQLInputType) -> Source:
        if not isinstance(node, ListValueNode):
            single = self.source(node, item_type)
            return lambda literals, variables: [single(literals, variables)]
        number = self._number(node)
        if number is not None:
            return _run(number, _reader(item_type))
        items = [self.source(each, item_type) for each in node.values]

        def many(literals: Sequence[str], variables: Mapping[str, Any]) -> list[Any]:
            values = [item(literals, variables) for item in items]
            return [None if value is MISSING else value for value in values]

        return many

    def _object(self, node: ValueNode, type_: GraphQLInputObjectType) -> Source:
        if not isinstance(node, ObjectValueNode):
            raise Uncompilable(type_.name)
        make = constructor(type_)
        written = {each.name.value: each.value for each in node.fields}
        known = members(type_)
        if not written.keys() <= {each.name for each in known}:
            raise Uncompilable(type_.name)
        steps = []
        nulls: dict[str, Any] = {}
        for member in known:
            value = written.get(member.name)
            if value is not None:
                steps.append((member.attribute, self.source(value, member.type_), member.defaults))
            elif member.required:
                raise Uncompilable(member.name)
            elif not member.defaults:
                nulls[member.attribute] = None

        def build(literals: Sequence[str], variables: Mapping[str, Any]) -> Any:
            attributes = dict(nulls)
            for attribute, source, defaults in steps:
                value = source(literals, variables)
                if value is not MISSING:
                    attributes[attribute] = value
                elif not defaults:
                    attributes[attribute] = None
            return make(attributes)

        return build

    def _leaf(self, node: ValueNode, type_: GraphQLInputType) -> Source:
        if isinstance(node, (ListValueNode, ObjectValueNode)):
            raise Uncompilable(str(type_))  # a JSON document, with literals and variables anywhere in it
        read = _reader(type_)
        number = self._number(node)
        if number is None:
            return lambda _literals, _variables: read(node)
        if isinstance(node, StringValueNode):
            return lambda literals, _variables: read(_string(literals[number]))
        kind: Callable[..., ValueNode] = type(node)
        return lambda literals, _variables: read(kind(value=literals[number]))

    def _number(self, node: ValueNode) -> int | None:
        if self._slots is None:
            return None
        number = self._slots.number(node)
        if number is None:
            if isinstance(node, _CUT):
                raise Uncompilable("a literal without a number")
            return None
        self.used.add(number)
        return number


def _variable(name: str, *, required: bool) -> Source:
    def value(_literals: Sequence[str], variables: Mapping[str, Any]) -> Any:
        given = variables.get(name, MISSING)
        if required and (given is None or given is MISSING):
            raise Misfit
        return given

    return value


def _run(number: int, read: Callable[[ValueNode], Any]) -> Source:
    def values(literals: Sequence[str], _variables: Mapping[str, Any]) -> list[Any]:
        written = parse_value(f"[{literals[number]}]", no_location=True)
        return [read(each) for each in written.values]  # type: ignore[attr-defined]

    return values


def _reader(type_: GraphQLInputType) -> Callable[[ValueNode], Any]:
    """Return what makes a value of a literal that is no variable, list or object."""
    if isinstance(type_, GraphQLNonNull):
        type_ = type_.of_type
    if not is_leaf_type(type_):
        raise Uncompilable(str(type_))
    parse: Callable[[Any], Any] = type_.coerce_input_literal or type_.parse_literal
    made = leaf(type_)

    def read(node: ValueNode) -> Any:
        value = parse(node)
        if value is Undefined:
            raise Misfit
        return made(value)

    return read


def _string(literal: str) -> ValueNode:
    """Return the node of a string, or a block string, as it is written."""
    if "\\" in literal or literal.startswith('"""'):
        return parse_value(literal, no_location=True)
    return StringValueNode(value=literal[1:-1], block=False)
