"""Where a value of a plan comes from, apart from the value itself: so one plan serves every request of its shape.

A plan holds sources; a request brings variables; resolve puts both together when the statement runs.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from graphql import GraphQLError

from services.data.catalog.model import PgType, QualifiedName
from services.data.errors import ValidationFailed
from services.data.schema.scalars import INT_RANGE

TEXT: Final = PgType(name=QualifiedName("pg_catalog", "text"))
INT4: Final = PgType(name=QualifiedName("pg_catalog", "int4"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Literal:
    """A value that stands in the document."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """A variable, or what lies under `path` in it."""

    name: str
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Null:
    """No value: NULL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """A list written in the document, of literals and variables."""

    items: "tuple[Source, ...]"


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonText:
    """A JSON literal with variables in it: texts and variables in turn."""

    parts: "tuple[str | JsonVariable, ...]"


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonVariable:
    """A variable inside a JSON literal; `quoted` if its text must become a JSON string."""

    variable: Variable
    quoted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCount:
    """A limit or offset: may not be negative; `path` names it in the complaint."""

    source: "Source"
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonPath:
    """The `path` of a json column: text → keys; `path` names it in the complaint."""

    source: "Source"
    path: str


Source = Literal | Variable | Null | Items | JsonText | RowCount | JsonPath


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A parameter of the statement: a source and the Postgres type it is cast to; `many` for a list of such values."""

    source: Source
    type: PgType
    many: bool = False


Resolved = str | None | list[str | None]


def resolve(source: Source, variables: Mapping[str, Any]) -> Resolved:
    """Return the text (or texts) that a source stands for in this request.

    Args:
        variables: coerced values by name (variables.coerce).

    Raises:
        ValidationFailed: a limit is negative or a path is malformed.
    """
    match source:
        case Literal(text=text):
            return text
        case Variable(name=name, path=path):
            value = variables[name]
            for step in path:
                value = value[step]
            return value  # type: ignore[no-any-return]
        case Null():
            return None
        case Items(items=items):
            return [_single(item, variables) for item in items]
        case JsonText(parts=parts):
            return "".join(part if isinstance(part, str) else _json(part, variables) for part in parts)
        case RowCount(source=inner, path=path):
            return _row_count(_single(inner, variables), path)
        case JsonPath(source=inner, path=path):
            return _json_path(_single(inner, variables), path)


def _single(source: Source, variables: Mapping[str, Any]) -> str | None:
    value = resolve(source, variables)
    if isinstance(value, list):
        raise GraphQLError("a single value is expected")
    return value


def _json(part: JsonVariable, variables: Mapping[str, Any]) -> str:
    if part.variable.name not in variables:
        return "null"
    return _json_of(resolve(part.variable, variables), quoted=part.quoted)


def _json_of(value: Any, *, quoted: bool) -> str:
    match value:
        case None:
            return "null"
        case list():
            return "[" + ",".join(_json_of(item, quoted=quoted) for item in value) + "]"
    return json.dumps(value) if quoted else str(value)


def _row_count(text: str | None, path: str) -> str:
    if text is None or int(text) not in INT_RANGE or int(text) < 0:
        raise ValidationFailed("expecting a non-negative 32-bit integer", path=path)
    return text


_STEP: Final = re.compile(
    r"""\.?(?P<key>[^.\[\]'"\s]+) | \[(?P<index>-?\d+)\] | \[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]""",
    re.VERBOSE,
)


def _json_path(text: str | None, path: str) -> list[str | None]:
    """Split `$.a.b[0]['odd key']` into its keys."""
    steps: list[str | None] = []
    rest = (text or "").strip()
    at = 1 if rest.startswith("$") else 0
    while at < len(rest):
        match = _STEP.match(rest, at)
        if match is None:
            raise ValidationFailed(f"parse json path error: {rest[at:]!r} is not a key or index", path=path)
        steps.append(next(part for part in match.group("key", "index", "quoted") if part is not None))
        at = match.end()
    return steps
