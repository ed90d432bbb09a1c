"""An input type → a function: a decoded JSON value → what a resolver is given. Called by literals and operation.

graphql-core checks a value against its type into dictionaries, and strawberry makes objects of these. Here both is one
pass, with all that can be asked of the types asked beforehand.
"""

from collections.abc import Callable
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLNonNull,
    Undefined,
    is_leaf_type,
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
    if isinstance(type_, GraphQLNonNull):
        present = _present(type_.of_type)

        def required(value: Any) -> Any:
            if value is None:
                raise Misfit
            return present(value)

        return required
    coerce = _present(type_)
    return lambda value: None if value is None else coerce(value)


def constructor(type_: GraphQLInputObjectType) -> Callable[..., Any]:
    """Return the class whose objects stand for an input type's values."""
    definition = type_.extensions.get(_BACKREF)
    if definition is None or type_.is_one_of:
        raise Uncompilable(type_.name)
    made: Callable[..., Any] = definition.origin
    return made


def members(type_: GraphQLInputObjectType) -> tuple[Member, ...]:
    """Return the fields of an input type.

    Raises:
        Uncompilable: one has a default in GraphQL.
    """
    found = []
    for name, field in type_.fields.items():
        attribute = field.extensions[_BACKREF]
        if field.default_value is not Undefined or field.default is not None:
            raise Uncompilable(f"{type_.name}.{name}")
        found.append(
            Member(
                name=name,
                attribute=attribute.python_name,
                type_=field.type,
                required=is_required_input_field(field),
                defaults=attribute.default_value is not NO_DEFAULT or attribute.default_factory is not NO_DEFAULT,
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


def _present(type_: GraphQLInputType) -> Coerce:
    """Return the same for values other than null."""
    if is_list_type(type_):
        item = coercer(type_.of_type)

        def many(value: Any) -> list[Any]:
            if type(value) is list:
                return [item(each) for each in value]
            if isinstance(value, _SINGLE):
                return [item(value)]
            raise Misfit

        return many
    if isinstance(type_, GraphQLInputObjectType):
        return _object(type_)
    if not is_leaf_type(type_):
        raise Uncompilable(str(type_))
    read, made = type_.coerce_input_value, leaf(type_)

    def scalar(value: Any) -> Any:
        coerced = read(value)
        if coerced is Undefined:
            raise Misfit
        return coerced

    return scalar if made is _unchanged else lambda value: made(scalar(value))


def _object(type_: GraphQLInputObjectType) -> Coerce:
    make = constructor(type_)
    steps = [(each.name, each.attribute, coercer(each.type_), each.required, each.defaults) for each in members(type_)]

    def build(value: Any) -> Any:
        if type(value) is not dict:
            raise Misfit
        given = 0
        attributes: dict[str, Any] = {}
        for name, attribute, coerce, required, defaults in steps:
            member = value.get(name, MISSING)
            if member is not MISSING:
                given += 1
                attributes[attribute] = coerce(member)
            elif required:
                raise Misfit
            elif not defaults:
                attributes[attribute] = None
        if given != len(value):
            raise Misfit
        return make(**attributes)

    return build
