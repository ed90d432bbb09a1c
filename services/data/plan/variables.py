"""Variables of a request → coerced values, and their shape: all that decides which plan serves them.

Coerced means: input objects are dicts in written key order (order_by depends on it), single values stand in lists
where a list is expected, and every scalar is the text that Postgres will read.
"""

from collections.abc import Hashable, Mapping
from typing import Any

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
    is_enum_type,
)

from services.data.schema.scalars import form_of


def coerce(type: GraphQLInputType, value: Any) -> Any:
    """Return a decoded JSON value as the type wants it.

    Raises:
        GraphQLError: it does not fit the type.
    """
    match type:
        case GraphQLNonNull():
            if value is None:
                raise GraphQLError(f"null is not a {type}")
            return coerce(type.of_type, value)
        case _ if value is None:
            return None
        case GraphQLList():
            return [coerce(type.of_type, item) for item in (value if isinstance(value, list) else [value])]
        case GraphQLInputObjectType():
            if not isinstance(value, dict):
                raise GraphQLError(f"an object is expected for {type}")
            return {key: coerce(_member(type, key), item) for key, item in value.items()}
        case GraphQLEnumType():
            if not isinstance(value, str) or value not in type.values:
                raise GraphQLError(f"a value of the enum {type} is expected")
            return value
        case GraphQLScalarType():
            return form_of(type.name).from_value(value)
    raise TypeError(f"not an input type: {type}")


def coerce_literal(type: GraphQLInputType, node: ValueNode) -> Any:
    """Return a constant literal (the default of a variable) like coerce does a value.

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


def shape_of(type: GraphQLInputType, value: Any) -> Hashable:
    """Return everything about a coerced value that changes the SQL text: what is null, which keys, enums and booleans.

    Two requests whose variables have the same shapes get the same statement with other parameters.
    """
    if isinstance(type, GraphQLNonNull):
        type = type.of_type
    if value is None:
        return None
    match type:
        case GraphQLList():
            if isinstance(get_named_type(type), GraphQLScalarType):
                return list
            return tuple([shape_of(type.of_type, item) for item in value])
        case GraphQLInputObjectType():
            return tuple([(key, shape_of(_member(type, key), item)) for key, item in value.items()])
    if is_enum_type(type) or getattr(type, "name", "") == "Boolean":
        return value  # type: ignore[no-any-return]
    return True


def coerce_all(
    types: Mapping[str, GraphQLInputType], defaults: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the coerced variables of a request; those neither given nor defaulted are absent.

    Raises:
        GraphQLError: one does not fit its type or is missing.
    """
    coerced: dict[str, Any] = {}
    for name, type in types.items():
        if name in given:
            coerced[name] = coerce(type, given[name])
        elif name in defaults:
            coerced[name] = defaults[name]
        elif isinstance(type, GraphQLNonNull):
            raise GraphQLError(f"Variable '${name}' of required type '{type}' was not provided.")
    return coerced


def _member(type: GraphQLInputObjectType, key: str) -> GraphQLInputType:
    field = type.fields.get(key)
    if field is None:
        raise GraphQLError(f"{type} has no field {key}")
    member: GraphQLInputType = field.type
    return member
