"""An input type → a function: a decoded JSON value → what a resolver is given. Called by literals and operation.

graphql-core checks a value against its type into dictionaries, and strawberry makes objects of these. Here both is one
pass, with all that can be asked of the types asked beforehand.
"""

from collections.abc import Callable
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLNonNull,
    GraphQLScalarType,
    Undefined,
    is_list_type,
    is_required_input_field,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.enum import StrawberryEnumDefinition

Coerce = Callable[[Any], Any]

MISSING: Final[Any] = object()
"""Stands for a value that was not given; null was given."""

_BACKREF: Final = GraphQLCoreConverter.DEFINITION_BACKREF
_SINGLE: Final = (str, int, float, dict)


class Misfit(Exception):
    """A value that its type refuses. Anything else that a function raises means the same."""


class Uncompilable(Exception):
    """A document or a type that is left to graphql-core."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A field of an input type.

    Attributes:
        name: in GraphQL.
        attribute: of the object that is made.
        type_: of its value.
        required: it must be given.
        defaults: the object has a default for it; else one that is not given is None.
    """

    name: str
    attribute: str
    type_: GraphQLInputType
    required: bool
    defaults: bool


def coercer(type_: GraphQLInputType) -> Coerce:
    """Return what makes a resolver's value of a variable's value; it raises for a value that the type refuses.

    Raises:
        Uncompilable: the type has something that these functions do not know.
    """
    required, present = _taken_apart(type_)

    def coerce(value: Any) -> Any:
        if value is None:
            if required:
                raise Misfit
            return None
        return present(value)

    return coerce


def constructor(type_: GraphQLInputObjectType) -> Callable[[dict[str, Any]], Any]:
    """Return what makes the object that stands for an input type's value, of its attributes.

    A plain dataclass is made as `copy` makes one, without its `__init__`, which takes longer than all the rest.
    """
    definition = type_.extensions.get(_BACKREF)
    if definition is None or type_.is_one_of:
        raise Uncompilable(type_.name)
    made: Any = definition.origin
    if made.__dataclass_params__.frozen or hasattr(made, "__slots__") or hasattr(made, "__post_init__"):
        return lambda attributes: made(**attributes)

    def make(attributes: dict[str, Any]) -> Any:
        value = object.__new__(made)
        value.__dict__ = attributes
        return value

    return make


def members(type_: GraphQLInputObjectType) -> tuple[Member, ...]:
    """Return the fields of an input type.

    Raises:
        Uncompilable: one has a default in GraphQL, or one that is made anew each time.
    """
    found = []
    for name, field in type_.fields.items():
        attribute = field.extensions[_BACKREF]
        made = attribute.default_factory is not NO_DEFAULT
        if made or field.default_value is not Undefined or field.default is not None:
            raise Uncompilable(f"{type_.name}.{name}")
        found.append(
            Member(
                name=name,
                attribute=attribute.python_name,
                type_=field.type,
                required=is_required_input_field(field),
                defaults=attribute.default_value is not NO_DEFAULT,
            )
        )
    return tuple(found)


def leaf(type_: Any) -> Coerce:
    """Return what makes a resolver's value of what a leaf type has read."""
    definition = type_.extensions.get(_BACKREF)
    if isinstance(definition, StrawberryEnumDefinition):
        return definition.wrapped_cls
    return _unchanged


def _unchanged(value: Any) -> Any:
    return value


def _taken_apart(type_: GraphQLInputType) -> tuple[bool, Coerce]:
    """Return whether a type refuses null, and what makes a resolver's value of any other."""
    if isinstance(type_, GraphQLNonNull):
        return True, _present(type_.of_type)
    return False, _present(type_)


def _present(type_: GraphQLInputType) -> Coerce:
    if is_list_type(type_):
        return _list(type_.of_type)
    if isinstance(type_, GraphQLInputObjectType):
        return _object(type_)
    if isinstance(type_, GraphQLEnumType):
        return _enum(type_)
    if not isinstance(type_, GraphQLScalarType):
        raise Uncompilable(str(type_))
    return type_.coerce_input_value  # ours and GraphQL's raise for what they refuse; none returns Undefined


def _list(item_type: GraphQLInputType) -> Coerce:
    required, item = _taken_apart(item_type)

    def many(value: Any) -> list[Any]:
        if type(value) is not list:
            if not isinstance(value, _SINGLE):
                raise Misfit
            return [item(value)]
        if None not in value:
            return [item(each) for each in value]
        if required:
            raise Misfit
        return [None if each is None else item(each) for each in value]

    return many


def _enum(type_: GraphQLEnumType) -> Coerce:
    made = leaf(type_)
    values = {name: made(type_.coerce_input_value(name)) for name in type_.values}

    def named(value: Any) -> Any:
        if type(value) is not str:
            raise Misfit
        return values[value]

    return named


def _object(type_: GraphQLInputObjectType) -> Coerce:
    make = constructor(type_)
    steps = [(each.name, each.attribute, *_taken_apart(each.type_), each.defaults) for each in members(type_)]

    def build(value: Any) -> Any:
        if type(value) is not dict:
            raise Misfit
        given = 0
        attributes: dict[str, Any] = {}
        for name, attribute, required, coerce, defaults in steps:
            member = value.get(name, MISSING)
            if member is None or member is MISSING:
                if required:
                    raise Misfit
                if member is None:
                    given += 1
                elif defaults:
                    continue
                attributes[attribute] = None
            else:
                given += 1
                attributes[attribute] = coerce(member)
        if given != len(value):
            raise Misfit
        return make(attributes)

    return build
