"""Values from clients → text that Postgres reads: one Form per way of writing a value, and the scalar types.

A value is checked here (a string is a string) and not understood: whether `"2020-13-45"` is a time says Postgres.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import orjson
from graphql import (
    BooleanValueNode,
    EnumValueNode,
    FloatValueNode,
    GraphQLBoolean,
    GraphQLError,
    GraphQLFloat,
    GraphQLInt,
    GraphQLScalarType,
    GraphQLString,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    ValueNode,
    parse_const_value,
)

from server_core.shape import each_of

INT_RANGE: Final = range(-(2**31), 2**31)
NUMBERS: Final = frozenset({"smallint", "bigint", "numeric", "float8", "money", "oid"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """How the values of a scalar are written.

    Attributes:
        from_value: a decoded JSON value → text for Postgres.
        from_literal: a literal in a document, without variables → text for Postgres.
        from_written: the characters of a string or number in a document, of a kind that is valid here → the same text
            as from_literal gives for it.

    The first two raise GraphQLError for a value of the wrong kind.
    """

    from_value: Callable[[Any], str]
    from_literal: Callable[[ValueNode], str]
    from_written: Callable[[str], str]


def form_of(name: str) -> Form:
    """Return the form of the scalar with this name."""
    if name in _FORMS:
        return _FORMS[name]
    if name.startswith("_"):
        return _ARRAY
    return _NUMBER if name in NUMBERS else _TEXT


def is_text(name: str) -> bool:
    """Tell whether the values of the scalar with this name are strings, and mean what they say."""
    return form_of(name) is _TEXT


def scalar_type(name: str) -> GraphQLScalarType:
    """Return the GraphQL type of the scalar with this name."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    form = form_of(name)

    def named(check: Callable[[Any], str]) -> Callable[[Any], str]:
        def checked(value: Any) -> str:
            try:
                return check(value)
            except GraphQLError as error:
                raise GraphQLError(f"{name} cannot represent this value: {error.message}", error.nodes) from None

        return checked

    return GraphQLScalarType(
        name, coerce_input_value=named(form.from_value), coerce_input_literal=named(form.from_literal)
    )


def literal_json(node: ValueNode) -> str:
    """Return a literal as JSON text; numbers keep every digit, enum names become strings.

    Raises:
        GraphQLError: it holds a variable.
    """
    match node:
        case StringValueNode() | EnumValueNode():
            return json.dumps(node.value)
        case IntValueNode() | FloatValueNode():
            return node.value
        case BooleanValueNode():
            return "true" if node.value else "false"
        case NullValueNode():
            return "null"
        case ListValueNode():
            return "[" + ",".join(literal_json(item) for item in node.values) + "]"
        case ObjectValueNode():
            members = (f"{json.dumps(field.name.value)}:{literal_json(field.value)}" for field in node.fields)
            return "{" + ",".join(members) + "}"
    raise GraphQLError("a variable cannot stand here", node)


def written_value(written: str) -> str:
    """Return the value of a string, or the digits of a number, as it is written in a document."""
    if written[0] != '"':
        return written
    if "\\" not in written and written[:3] != '"""':
        return written[1:-1]
    return _text_literal(parse_const_value(written, no_location=True))


def written_values(run: str, scalar: str) -> list[str]:
    """Return the values of a run of strings or ints, as it is written in a document; see Form.from_written."""
    read = form_of(scalar).from_written
    if run[0] == '"' and read is written_value:
        try:
            return orjson.loads(f"[{run}]")  # type: ignore[no-any-return]
        except ValueError:
            pass  # not written as JSON has it: without commas, or with a tab in a string
    return [read(each) for each in each_of(run)]


def written_json(written: str) -> str:
    """Return a string or number, as it is written in a document, as JSON text; see literal_json."""
    return json.dumps(written_value(written)) if written[0] == '"' else written


def array_literal(items: list[Any]) -> str:
    """Return a JSON list as a Postgres array literal."""
    return "{" + ",".join(_array_item(item) for item in items) + "}"


def _array_item(item: Any) -> str:
    match item:
        case None:
            return "NULL"
        case list():
            return array_literal(item)
        case bool():
            return "true" if item else "false"
        case int() | float() | Decimal():
            return str(item)
        case str():
            escaped = item.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
    raise GraphQLError("a list of plain values is expected")


def _text_value(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError(f"a string is expected, not {_shown(value)}")
    return value


def _text_literal(node: ValueNode) -> str:
    if not isinstance(node, StringValueNode):
        raise GraphQLError("a string is expected", node)
    return node.value


def _number_value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise GraphQLError(f"a number is expected, not {_shown(value)}")
    return str(value)


def _number_literal(node: ValueNode) -> str:
    if not isinstance(node, IntValueNode | FloatValueNode | StringValueNode):
        raise GraphQLError("a number is expected", node)
    return node.value


def _int_value(value: Any) -> str:
    if isinstance(value, float | Decimal) and INT_RANGE.start <= value < INT_RANGE.stop and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise GraphQLError(f"an integer is expected, not {_shown(value)}")
    if value not in INT_RANGE:
        raise GraphQLError("a 32-bit integer is expected")
    return str(value)


def _int_literal(node: ValueNode) -> str:
    if not isinstance(node, IntValueNode):
        raise GraphQLError("an integer is expected", node)
    return _int_value(int(node.value))


def _float_value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise GraphQLError(f"a number is expected, not {_shown(value)}")
    return str(value)


def _float_literal(node: ValueNode) -> str:
    if not isinstance(node, IntValueNode | FloatValueNode):
        raise GraphQLError("a number is expected", node)
    return node.value


def _boolean_value(value: Any) -> str:
    if not isinstance(value, bool):
        raise GraphQLError(f"a boolean is expected, not {_shown(value)}")
    return "true" if value else "false"


def _boolean_literal(node: ValueNode) -> str:
    if not isinstance(node, BooleanValueNode):
        raise GraphQLError("a boolean is expected", node)
    return "true" if node.value else "false"


def _array_value(value: Any) -> str:
    return array_literal(value) if isinstance(value, list) else _text_value(value)


def _array_literal(node: ValueNode) -> str:
    if not isinstance(node, ListValueNode):
        return _text_literal(node)
    return array_literal(json.loads(literal_json(node), parse_float=Decimal))


def _json_value(value: Any) -> str:
    """Write JSON; the standard library's writer does not know Decimal."""
    try:
        return json.dumps(value)
    except TypeError:
        return _json_text(value)


def _json_text(value: Any) -> str:
    match value:
        case Decimal():
            return str(value)
        case list():
            return "[" + ",".join(_json_text(item) for item in value) + "]"
        case dict():
            return "{" + ",".join(f"{json.dumps(key)}:{_json_text(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _json_array_value(value: Any) -> str:
    return array_literal([_json_value(item) for item in value]) if isinstance(value, list) else _text_value(value)


def _json_array_literal(node: ValueNode) -> str:
    if not isinstance(node, ListValueNode):
        return _text_literal(node)
    return array_literal([literal_json(item) for item in node.values])


def _written_int(written: str) -> str:
    return str(int(written))


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 50 else f"{text[:47]}..."


_TEXT: Final = Form(from_value=_text_value, from_literal=_text_literal, from_written=written_value)
_NUMBER: Final = Form(from_value=_number_value, from_literal=_number_literal, from_written=written_value)
_ARRAY: Final = Form(from_value=_array_value, from_literal=_array_literal, from_written=written_value)
_JSON: Final = Form(from_value=_json_value, from_literal=literal_json, from_written=written_json)
_JSON_ARRAY: Final = Form(from_value=_json_array_value, from_literal=_json_array_literal, from_written=written_value)
_FORMS: Final[Mapping[str, Form]] = {
    "Int": Form(from_value=_int_value, from_literal=_int_literal, from_written=_written_int),
    "Float": Form(from_value=_float_value, from_literal=_float_literal, from_written=written_value),
    "Boolean": Form(from_value=_boolean_value, from_literal=_boolean_literal, from_written=written_value),
    "String": _TEXT,
    "json": _JSON,
    "jsonb": _JSON,
    "_json": _JSON_ARRAY,
    "_jsonb": _JSON_ARRAY,
}
_BUILT_IN: Final = {
    "Int": GraphQLInt,
    "Float": GraphQLFloat,
    "Boolean": GraphQLBoolean,
    "String": GraphQLString,
}
