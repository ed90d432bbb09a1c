"""Where a value of a plan comes from, apart from the value itself: so one plan serves every request of its shape.

A plan holds sources; a request brings values: its variables, and the literals of a document that shares its plan with
others. `getter` makes of a source, once, what fetches its text from the values of each request.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from graphql import GraphQLError

from server_core.shape import each_of
from services.data.catalog.model import PgType, QualifiedName
from services.data.errors import ValidationFailed
from services.data.schema.scalars import INT_RANGE, form_of, written_values

TEXT: Final = PgType(name=QualifiedName("pg_catalog", "text"))
INT4: Final = PgType(name=QualifiedName("pg_catalog", "int4"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Literal:
    """A value that stands in the document."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Blank:
    """A literal that each document of a shape writes in its own way.

    Attributes:
        number: which of the document's literals.
        scalar: the type that says how it is read.
        many: it is a run, and stands for the list of its values.
    """

    number: int
    scalar: str
    many: bool = False


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
class Joined:
    """A list as one text, with JOINT between its items."""

    items: "Source"


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonText:
    """A JSON literal with variables in it, or literals that other documents write differently."""

    parts: "tuple[str | JsonVariable | Blank, ...]"


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


Source = Literal | Blank | Variable | Null | Items | Joined | JsonText | RowCount | JsonPath


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A parameter of the statement: a source and the Postgres type it is cast to; `many` for a list of such values."""

    source: Source
    type: PgType
    many: bool = False


Resolved = str | None | list[str | None]
Getter = Callable[[Mapping[str, Any]], Any]
"""Fetches what a source stands for from the values of a request."""

JOINT: Final = "\x1f"
"""The unit separator of ASCII; hardly ever stands in a value."""

LITERALS: Final = '"'
"""The name under which the literals of a request's document are bound. (No variable can have it.)"""


class NotJoined(Exception):
    """A list cannot be told from another one when it is one text."""


def resolve(source: Source, values: Mapping[str, Any]) -> Resolved:
    """Return the text (or texts) that a source stands for in this request.

    Args:
        values: coerced variables by name (variables.Declared), and LITERALS.

    Raises:
        ValidationFailed: a limit is negative or a path is malformed.
    """
    return getter(source)(values)  # type: ignore[no-any-return]


def getter(source: Source) -> Getter:
    """Return what does the same as resolve does for this source, for many requests; it raises the same."""
    match source:
        case Literal(text=text):
            return lambda _: text
        case Blank():
            return _blank(source)
        case Variable(name=name, path=()):
            return itemgetter(name)
        case Variable(name=name, path=path):
            return lambda values: _below(values[name], path)
        case Null():
            return lambda _: None
        case Items(items=items):
            getters = [_single(item) for item in items]
            return lambda values: [get(values) for get in getters]
        case Joined(items=source_of_items):
            get_list = getter(source_of_items)
            return lambda values: _joined(get_list(values))
        case JsonText(parts=parts):
            pieces = [_json(part) for part in parts]
            return lambda values: "".join([get(values) for get in pieces])
        case RowCount(source=inner, path=place):
            get_count = _single(inner)
            return lambda values: _row_count(get_count(values), place)
        case JsonPath(source=inner, path=place):
            get_path = _single(inner)
            return lambda values: _json_path(get_path(values), place)


def _blank(blank: Blank) -> Getter:
    number, scalar = blank.number, blank.scalar
    if blank.many:
        return lambda values: written_values(values[LITERALS][number], scalar)
    read = form_of(scalar).from_written
    return lambda values: read(values[LITERALS][number])


def _joined(items: Resolved) -> str:
    """Join a list.

    Raises:
        NotJoined: it holds a null, JOINT, or nothing but an empty text, which would come out as no item.
    """
    if not isinstance(items, list):
        raise NotJoined
    try:
        text = JOINT.join(items)  # type: ignore[arg-type]
    except TypeError:
        raise NotJoined from None
    if items and (not text or text.count(JOINT) != len(items) - 1):
        raise NotJoined
    return text


def _below(value: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _single(source: Source) -> Getter:
    get = getter(source)
    if isinstance(source, Literal | Blank):
        return get

    def single(values: Mapping[str, Any]) -> str | None:
        value = get(values)
        if isinstance(value, list):
            raise GraphQLError("a single value is expected")
        return value  # type: ignore[no-any-return]

    return single


def _json(part: str | JsonVariable | Blank) -> Getter:
    match part:
        case str():
            return lambda _: part
        case Blank(number=number, many=True):
            read = form_of(part.scalar).from_written
            return lambda values: "[" + ",".join([read(each) for each in each_of(values[LITERALS][number])]) + "]"
        case Blank():
            return _blank(part)
        case JsonVariable(variable=variable, quoted=quoted):
            get, name = getter(variable), variable.name
            return lambda values: _json_of(get(values), quoted=quoted) if name in values else "null"


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
