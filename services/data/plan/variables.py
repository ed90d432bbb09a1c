"""Variables of a request → coerced values, and their shape: all that decides which plan serves them.

Coerced means: input objects are dicts in written key order (order_by depends on it), single values stand in lists
where a list is expected, and every scalar is the text that Postgres will read. What is to be done for a type is found
out once: Inputs makes functions of types, Declared keeps those of an operation.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    ValueNode,
    get_named_type,
)

from server_core.wire import all_texts
from services.data.schema.scalars import form_of, is_text

Coerce = Callable[[Any], Any]
"""A decoded JSON value → the coerced one; raises GraphQLError if it does not fit."""
ShapeOf = Callable[[Any], Hashable]
"""A coerced value → what of it changes the SQL text."""

_ABSENT: Final = object()
_BOOLEAN: Final = "Boolean"


class Inputs:
    """Makes functions of the input types of one schema."""

    def __init__(self) -> None:
        self._coerce: dict[GraphQLInputObjectType, Coerce] = {}
        self._shape: dict[GraphQLInputObjectType, ShapeOf] = {}

    def coerce(self, type: GraphQLInputType) -> Coerce:
        """Return what makes of a decoded JSON value what the type wants.

        It raises GraphQLError if the value does not fit; RecursionError if it is nested too deeply.
        """
        if not isinstance(type, GraphQLNonNull):
            coerce = self._coerce_some(type)
            return lambda value: None if value is None else coerce(value)
        coerce_some = self._coerce_some(type.of_type)

        def coerce_required(value: Any) -> Any:
            if value is None:
                raise GraphQLError(f"null is not a {type}")
            return coerce_some(value)

        return coerce_required

    def shape(self, type: GraphQLInputType) -> ShapeOf | None:
        """Return what tells the shape of a coerced value: what is null, which keys, enums and booleans.

        Two requests whose variables have the same shapes get the same statement with other parameters. None: nothing
        about a value matters but whether it is null.
        """
        if isinstance(type, GraphQLNonNull):
            type = type.of_type
        if isinstance(type, GraphQLScalarType) and type.name != _BOOLEAN:
            return None
        if isinstance(type, GraphQLList) and isinstance(get_named_type(type), GraphQLScalarType):
            return None
        shape = self._shape_some(type)
        return lambda value: None if value is None else shape(value)

    def _coerce_some(self, type: GraphQLInputType) -> Coerce:
        """Return what coerces values that are not null."""
        match type:
            case GraphQLList():
                coerce = self.coerce(type.of_type)

                def coerce_list(value: Any) -> Any:
                    return [coerce(item) for item in (value if isinstance(value, list) else [value])]

                if _is_text(type.of_type):
                    return lambda value: value if isinstance(value, list) and all_texts(value) else coerce_list(value)
                return coerce_list
            case GraphQLInputObjectType():
                if type not in self._coerce:
                    self._coerce[type] = self._coerce_object(type)
                return self._coerce[type]
            case GraphQLEnumType():
                return lambda value: _name(type, value)
            case GraphQLScalarType():
                return form_of(type.name).from_value
        raise TypeError(f"not an input type: {type}")

    def _coerce_object(self, type: GraphQLInputObjectType) -> Coerce:
        # Types refer to each other in circles: what is done for a member is found out when one is sent.
        members: dict[str, Coerce] = {}

        def coerce_object(value: Any) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise GraphQLError(f"an object is expected for {type}")
            coerced = {}
            for key, item in value.items():
                coerce = members.get(key)
                if coerce is None:
                    coerce = members[key] = self.coerce(_member(type, key))
                coerced[key] = coerce(item)
            return coerced

        return coerce_object

    def _shape_some(self, type: GraphQLInputType) -> ShapeOf:
        match type:
            case GraphQLList():
                shape = self.shape(type.of_type)
                if shape is not None:
                    return lambda value: tuple([shape(item) for item in value])
            case GraphQLInputObjectType():
                if type not in self._shape:
                    self._shape[type] = self._shape_object(type)
                return self._shape[type]
        return lambda value: value

    def _shape_object(self, type: GraphQLInputObjectType) -> ShapeOf:
        members: dict[str, ShapeOf] = {}

        def shape_object(value: dict[str, Any]) -> Hashable:
            shapes = []
            for key, item in value.items():
                shape = members.get(key)
                if shape is None:
                    shape = members[key] = self.shape(_member(type, key)) or _is_given
                shapes.append((key, shape(item)))
            return tuple(shapes)

        return shape_object


class Declared:
    """The variables that an operation declares.

    Args:
        inputs: makes functions of types.
        types: the variables' types.
        defaults: coerced values for when the client gives none.
    """

    __slots__ = ("_variables", "types")

    def __init__(self, inputs: Inputs, types: Mapping[str, GraphQLInputType], defaults: Mapping[str, Any]) -> None:
        self.types = types
        self._variables = [
            (name, inputs.coerce(type), inputs.shape(type), self._otherwise(inputs, name, type, defaults))
            for name, type in types.items()
        ]

    def read(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], Hashable]:
        """Return the coerced variables of a request, and their shape; those neither given nor defaulted are absent.

        Raises:
            GraphQLError: one does not fit its type or is missing.
        """
        coerced: dict[str, Any] = {}
        shapes: list[Hashable] = []
        for name, coerce, shape, otherwise in self._variables:
            if name in given:
                value = coerced[name] = coerce(given[name])
                shapes.append(value is not None if shape is None else shape(value))
            else:
                shapes.append(otherwise(coerced))
        return coerced, tuple(shapes)

    @staticmethod
    def _otherwise(
        inputs: Inputs, name: str, type: GraphQLInputType, defaults: Mapping[str, Any]
    ) -> Callable[[dict[str, Any]], Hashable]:
        """Return what sets a variable that was not given, and returns its shape."""
        if name in defaults:
            default = defaults[name]
            found = (inputs.shape(type) or _is_given)(default)

            def set_default(coerced: dict[str, Any]) -> Hashable:
                coerced[name] = default
                return found

            return set_default

        def refuse(_: dict[str, Any]) -> Hashable:
            raise GraphQLError(f"Variable '${name}' of required type '{type}' was not provided.")

        return refuse if isinstance(type, GraphQLNonNull) else lambda _: _ABSENT


def coerce_literal(type: GraphQLInputType, node: ValueNode) -> Any:
    """Return a constant literal (the default of a variable) like Inputs.coerce does a value.

    Raises:
        GraphQLError: it does not fit the type.
    """
    match type:
        case GraphQLNonNull():
            return coerce_literal(type.of_type, node)
        case _ if isinstance(node, NullValueNode):
            return None
        case GraphQLList():
            nodes = node.values if isinstance(node, ListValueNode) else (node,)
            return [coerce_literal(type.of_type, item) for item in nodes]
        case GraphQLInputObjectType() if isinstance(node, ObjectValueNode):
            return {
                field.name.value: coerce_literal(_member(type, field.name.value), field.value) for field in node.fields
            }
        case GraphQLEnumType():
            return node.value  # type: ignore[attr-defined]
        case GraphQLScalarType():
            return form_of(type.name).from_literal(node)
    raise GraphQLError(f"an object is expected for {type}", node)


def _is_text(type: GraphQLInputType) -> bool:
    """Tell whether a value of this type is any string, as it was sent."""
    if isinstance(type, GraphQLNonNull):
        type = type.of_type
    return isinstance(type, GraphQLScalarType) and is_text(type.name)


def _is_given(value: Any) -> bool:
    return value is not None


def _name(type: GraphQLEnumType, value: Any) -> str:
    if not isinstance(value, str) or value not in type.values:
        raise GraphQLError(f"a value of the enum {type} is expected")
    return value


def _member(type: GraphQLInputObjectType, key: str) -> GraphQLInputType:
    field = type.fields.get(key)
    if field is None:
        raise GraphQLError(f"{type} has no field {key}")
    member: GraphQLInputType = field.type
    return member
