"""SQL as a type: text and the values that go with it. The only place where names become SQL.

A fragment is built from templates that stand in this room's source, quoted names and values; there is no way to put
a string from a request into its text.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from string import Formatter
from typing import Final, LiteralString

from services.data.catalog.model import PgType, QualifiedName
from services.data.plan.values import JOINT, Blank, Joined, JsonPath, Literal, Source, Value, Variable

_BUILT_IN: Final = "pg_catalog"

_OTHERWISE_SHORT: Final = frozenset({"bit", "char"})
"""Types whose bare name is, in SQL, the type of length one."""


_TEXTS: Final = frozenset({"text", "varchar"})
"""Types that a parameter has without a cast."""

_JOINT: Final = f"E'\\x{ord(JOINT):02x}'"

_JSON_OF_NAMES: Final = re.compile(r'[{}":,A-Za-z0-9_]*')


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A number that stands in the text, no smaller than some parameters together: Postgres can plan with it."""

    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A fragment as it is sent.

    Attributes:
        pieces: the text, with `$1`, `$2` …, around the ceilings.
        ceilings: which parameters each of them covers, counted from 0.
        sources: where the parameters come from.
    """

    pieces: tuple[str, ...]
    ceilings: tuple[tuple[int, ...], ...]
    sources: tuple[Source, ...]

    @property
    def text(self) -> str:
        """The text without ceilings."""
        return _NO_CEILING.join(self.pieces)


_NO_CEILING: Final = "NULL"


@dataclass(frozen=True, slots=True)
class Fragment:
    """A piece of SQL: texts and values in turn."""

    parts: tuple[str | Value | Ceiling, ...] = ()

    def __add__(self, other: "Fragment") -> "Fragment":
        return Fragment(self.parts + other.parts)

    def render(self, *, joined: bool = False) -> Rendered:
        """Return the text and the source of each parameter.

        A variable used twice is one parameter, and so is a literal that the statement needs in two places.

        Args:
            joined: whether lists travel as one text where they may: their sources are Joined.
        """
        sources: list[Source] = []
        numbers: dict[tuple[Source | int, bool, bool], int] = {}

        def number_of(value: Value, *, one_text: bool) -> int:
            key = (value.source if _shared(value.source) else id(value.source), value.many, one_text)
            number = numbers.get(key)
            if number is None:
                sources.append(Joined(items=value.source) if one_text else value.source)
                number = len(sources)
                numbers[key] = number
            return number

        pieces: list[list[str]] = [[]]
        ceilings: list[tuple[int, ...]] = []
        for part in self.parts:
            if isinstance(part, str):
                pieces[-1].append(part)
            elif isinstance(part, Value):
                one_text = joined and _may_be_joined(part)
                pieces[-1].append(_cast(number_of(part, one_text=one_text), part, one_text=one_text))
            else:
                ceilings.append(tuple(number_of(each, one_text=False) - 1 for each in part.values))
                pieces.append([])
        return Rendered(pieces=tuple(map("".join, pieces)), ceilings=tuple(ceilings), sources=tuple(sources))


EMPTY: Final = Fragment()


def sql(template: LiteralString, **holes: Fragment) -> Fragment:
    """Fill a template: `{name}` stands for the fragment given under that name."""
    parts: list[str | Value | Ceiling] = []
    for text, hole in _template(template):
        if text:
            parts.append(text)
        if hole is not None:
            parts.extend(holes[hole].parts)
    return Fragment(tuple(parts))


def join(separator: LiteralString, fragments: Iterable[Fragment]) -> Fragment:
    """Return the fragments with the separator between them."""
    parts: list[str | Value | Ceiling] = []
    for number, fragment in enumerate(fragments):
        if number:
            parts.append(separator)
        parts.extend(fragment.parts)
    return Fragment(tuple(parts))


def identifier(name: str) -> Fragment:
    """Return a name, quoted."""
    return Fragment((quote(name),))


def qualified(name: QualifiedName) -> Fragment:
    """Return a table or function with its schema, quoted."""
    return Fragment((f"{quote(name.schema)}.{quote(name.name)}",))


def column(alias: str, name: str) -> Fragment:
    """Return a column of a relation in the query."""
    return Fragment((f"{quote(alias)}.{quote(name)}",))


def word(name: str) -> Fragment:
    """Return a GraphQL type name as an SQL string; such names consist of letters, digits and underscores."""
    if not name.isidentifier():
        raise ValueError(f"not a name: {name!r}")
    return Fragment((f"'{name}'::text",))


def word_json(text: str) -> Fragment:
    """Return a piece of JSON that consists of names, as an SQL string."""
    if not _JSON_OF_NAMES.fullmatch(text):
        raise ValueError(f"not JSON of names: {text!r}")
    return Fragment((f"'{text}'",))


def value(given: Value) -> Fragment:
    """Return a parameter."""
    return Fragment((given,))


def ceiling(*given: Value) -> Fragment:
    """Return a number that is no smaller than these parameters together; they are whole and not negative."""
    return Fragment((Ceiling(given),))


def cast(expression: Fragment, type: PgType) -> Fragment:
    """Return an expression as a value of a type."""
    return Fragment(("(", *expression.parts, f")::{type_name(type)}"))


def quote(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def type_name(type: PgType) -> str:
    """Return a type as SQL spells it."""
    if type.element is not None:
        return f"{type_name(type.element)}[]"
    name = type.name
    bare = name.schema == _BUILT_IN and name.name.isalnum() and name.name not in _OTHERWISE_SHORT
    return name.name if bare else f"{quote(name.schema)}.{quote(name.name)}"


def _may_be_joined(value: Value) -> bool:
    """Say whether a parameter is a list that may travel as one text.

    The driver spends on each item of an array what Postgres spends on taking a text apart. But a list of texts needs no
    cast: Postgres uses it as it comes. And of a path the number of steps counts, none or one.
    """
    return (
        value.many
        and value.type.element is None
        and type_name(value.type) not in _TEXTS
        and not isinstance(value.source, JsonPath)
    )


def _cast(number: int, value: Value, *, one_text: bool) -> str:
    """Spell a parameter. It travels as text, so that Postgres, not the driver, reads it and names what is wrong."""
    target, suffix = type_name(value.type), "[]" if value.many else ""
    if one_text:
        return f"(string_to_array(${number}::text, {_JOINT}))::{target}[]"
    if target in _TEXTS:
        return f"${number}::text{suffix}"
    if value.many and value.type.element is not None:
        # A list of arrays cannot be an array again: it stands as a subquery after ANY.
        return f"SELECT e::{target} FROM unnest(${number}::text[]) e"  # noqa: S608 - names are quoted
    return f"(${number}::text{suffix})::{target}{suffix}"


def _shared(source: Source) -> bool:
    """Say whether equal sources may be one parameter: not literals, or their values would decide the text."""
    match source:
        case Variable():
            return True
        case Literal() | Blank():
            return False
    return False


@cache
def _template(template: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((text, hole) for text, hole, _, _ in Formatter().parse(template))
