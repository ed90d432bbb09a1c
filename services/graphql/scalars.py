"""UUID, DateTime and JSON exactly as actions.md §0.2 says. Used by the schema for every argument and payload."""

import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from dateutil.parser import isoparse
from graphql import GraphQLError, IntValueNode, StringValueNode, ValueNode, value_from_ast_untyped
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

__all__ = ["JSON", "SCALARS"]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


_read_uuid = lru_cache(maxsize=512)(UUID)
"""The lines of a batch of logs name the same runs again and again."""


def parse_uuid(value: object) -> UUID:
    """Return the UUID that a string spells in any way Python's uuid.UUID accepts.

    Raises:
        GraphQLError: it spells none.
    """
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return _read_uuid(value)
        except ValueError:
            pass
    raise GraphQLError(f"Could not parse UUID: invalid value {_shown(value)}.")


def parse_datetime(value: object) -> datetime:
    """Return the instant an ISO-8601 string names, in UTC; without an offset it is taken as UTC.

    Raises:
        GraphQLError: it names none.
    """
    if isinstance(value, str):
        try:
            moment = _read_iso(value)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise GraphQLError(f"Could not parse DateTime: invalid value {_shown(value)}.")


def _read_iso(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return isoparse(value)


def parse_string_literal(parse: Any) -> Any:
    """Return a literal parser that hands the text of a string literal to `parse` and refuses other literals."""

    def parse_literal(node: ValueNode, _variables: dict[str, Any] | None = None) -> Any:
        try:
            return parse(node.value if isinstance(node, StringValueNode) else value_from_ast_untyped(node))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return parse_literal


def parse_json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    """Return the value of a literal; a string literal holds JSON text, every other literal is the value itself.

    Raises:
        GraphQLError: a string literal does not hold JSON.
    """
    if isinstance(node, StringValueNode):
        try:
            return json.loads(node.value)
        except (ValueError, RecursionError) as error:
            raise GraphQLError(f"Could not parse JSON: invalid value {_shown(node.value)}.", node) from error
    try:
        return int(node.value) if isinstance(node, IntValueNode) else value_from_ast_untyped(node, variables)
    except ValueError as error:
        raise GraphQLError("Could not parse JSON: invalid value.", node) from error


def _scalar(python_type: object, name: str, serialize: Any, parse_value: Any, parse_literal: Any) -> ScalarDefinition:
    return ScalarDefinition(
        name=name,
        description=None,
        specified_by_url=None,
        serialize=serialize,
        parse_value=parse_value,
        parse_literal=parse_literal,
        origin=python_type,  # type: ignore[arg-type]
    )


SCALARS: dict[object, ScalarDefinition] = {
    UUID: _scalar(UUID, "UUID", str, parse_uuid, parse_string_literal(parse_uuid)),
    datetime: _scalar(datetime, "DateTime", datetime.isoformat, parse_datetime, parse_string_literal(parse_datetime)),
    JSON: _scalar(JSON, "JSON", lambda value: value, lambda value: value, parse_json_literal),
}
"""The scalar of each Python type, for StrawberryConfig.scalar_map."""
