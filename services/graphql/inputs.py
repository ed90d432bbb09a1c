"""Input objects that come in long lists, built cheaply. Used by schema/<noun> for log lines and states.

strawberry converts an input object field by field, asking each time what the field's type is: 0.1 ms per object, most
of the time that a batch of log lines takes. What the fields hold is known when the class is made, so it is asked once.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from strawberry.types.base import StrawberryList, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition

Input = TypeVar("Input")


def built_at_once(cls: type[Input]) -> type[Input]:
    """Have an input type built by one call instead of field by field. Stands above `strawberry.input`.

    Its fields must be scalars (which GraphQL has converted already), enums, or lists of types that are built at once.
    """
    definition: Any = cls.__strawberry_definition__  # type: ignore[attr-defined]
    names = [field.python_name for field in definition.fields]
    enums = {field.python_name: enum for field in definition.fields if (enum := _enum_of(field.type)) is not None}
    lists = {field.python_name: item for field in definition.fields if (item := _item_of(field.type)) is not None}

    def build(type_: type[Input], value: Mapping[str, Any], context: Any) -> Input:
        members = {name: value.get(name) for name in names}
        for name, enum in enums.items():
            if members[name] is not None:
                members[name] = enum(members[name])
        for name, item in lists.items():
            make = item.__strawberry_definition__.from_input
            members[name] = [make(item, each, context) for each in members[name] or ()]
        return type_(**members)

    definition.from_input = build
    return cls


def _enum_of(type_: object) -> Any:
    """Return the Python enum that a field's type stands for, or None."""
    type_ = _without_null(type_)
    return type_.wrapped_cls if isinstance(type_, StrawberryEnumDefinition) else None


def _item_of(type_: object) -> Any:
    """Return the input type that a field holds a list of, or None."""
    type_ = _without_null(type_)
    if not isinstance(type_, StrawberryList):
        return None
    return type_.of_type if hasattr(type_.of_type, "__strawberry_definition__") else None


def _without_null(type_: object) -> object:
    return type_.of_type if isinstance(type_, StrawberryOptional) else type_
