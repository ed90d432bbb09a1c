"""An input type → a quick test that says yes to most good values and never to a bad one. Used by variables; pure.

Coercing a value as the specification says takes a microsecond for each scalar in it, and a batch of log lines has
hundreds. Nearly all values that clients send are of exactly the type that is declared; for these a comparison of types
will do. Whatever else may be right (one item where a list is expected, 1.0 for an Int) is left to who coerces.
"""

from collections.abc import Callable
from typing import Any, Final

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLScalarType,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
    is_specified_scalar_type,
)

Fits = Callable[[Any, int], bool]
"""A value, and how many objects deep it may be → whether it certainly fits."""

DEEPEST: Final = 50
"""What is nested deeper is not for a quick test: it would exhaust the stack."""

_INT: Final = range(-(2**31), 2**31)


class Fitting:
    """Makes tests for the input types of one schema, and remembers those of input objects."""

    def __init__(self) -> None:
        self._objects: dict[str, Fits] = {}

    def test(self, type_: GraphQLInputType) -> Fits:
        """Return the test of a type."""
        if is_non_null_type(type_):
            return self._given(type_.of_type)
        inner = self._given(type_)
        return lambda value, left: value is None or inner(value, left)

    def _given(self, type_: GraphQLInputType) -> Fits:
        """Return the test of a type for values other than null."""
        if is_list_type(type_):
            return _list(self.test(type_.of_type))
        if isinstance(type_, GraphQLInputObjectType):
            return self._objects.get(type_.name) or self._object(type_)
        if isinstance(type_, GraphQLEnumType):
            names = frozenset(type_.values)
            return lambda value, left: type(value) is str and value in names
        return _scalar(type_) if isinstance(type_, GraphQLScalarType) else _never

    def _object(self, type_: GraphQLInputObjectType) -> Fits:
        fields: dict[str, Fits] = {}
        required: frozenset[str] | None = None

        def fits(value: Any, left: int) -> bool:
            nonlocal required
            if type(value) is not dict or not left:
                return False
            if required is None:  # not before: types refer to each other, and most are never used
                fields.update((name, self.test(field.type)) for name, field in type_.fields.items())
                required = frozenset(name for name, field in type_.fields.items() if is_required_input_field(field))
            if not required <= value.keys():
                return False
            for name, item in value.items():
                test = fields.get(name)
                if test is None or not test(item, left - 1):
                    return False
            return True

        self._objects[type_.name] = fits = _never if type_.is_one_of else fits
        return fits


def _list(inner: Fits) -> Fits:
    def fits(value: Any, left: int) -> bool:
        if type(value) is not list:
            return False
        for item in value:  # noqa: SIM110 - twice as fast as all() over a generator
            if not inner(item, left):
                return False
        return True

    return fits


def _scalar(type_: GraphQLScalarType) -> Fits:
    if not is_specified_scalar_type(type_):
        # Learned from a service's introspection, which does not tell what its scalars take: the service judges.
        anything = type_.coerce_input_value is GraphQLScalarType.parse_value
        return (lambda value, left: value is not None) if anything else _never
    match type_.name:
        case "String" | "ID":
            return lambda value, left: type(value) is str
        case "Int":
            return lambda value, left: type(value) is int and value in _INT
        case "Boolean":
            return lambda value, left: type(value) is bool
    return _never


def _never(value: Any, left: int) -> bool:
    return False
