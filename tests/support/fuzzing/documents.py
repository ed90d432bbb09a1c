"""Invents GraphQL documents for a schema: valid ones and, by small changes, ones that nearly are. Pure.

Everything comes out of the `Random` it is given, so a case is the same wherever and whenever it is made.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    Lexer,
    Source,
    TokenKind,
    get_named_type,
    is_leaf_type,
)

DEEPEST = 7
NOBODY = "00000000-0000-4000-8000-000000000000"

TEXTS = [
    "",
    "a",
    "Success",
    "Größe 🦆",
    "%",
    "_",
    "\\",
    "'; --",
    "{}",
    '"',
    "a\nb",
    "x" * 3000,
    "\u202e",
    "null",
    "\u0000",
]
WHOLE = ["0", "1", "-1", "7", "2147483647", "-2147483648"]
ODD_NUMBERS = ["2147483648", "99999999999999999999", "1.5", "-0.0", "1e999", "1e-400", "9" * 4000, "1" + "0" * 400]
TIMES = ["2026-01-02T03:04:05+00:00", "2026-01-02", "now", "infinity", "0001-01-01T00:00:00Z", "294276-12-31T00:00:00Z"]
DOCUMENTS: list[Any] = [None, True, 0, -1.5, "text", [], {}, [1, [2, {"a": None}]], {"a": {"b": ["c"]}}, {"": ""}]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What a client would send.

    Attributes:
        query: the document.
        variables: their values, by name.
        name: which operation of it to run.
    """

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None

    def body(self) -> bytes:
        """Return it as a JSON body; half characters are written as escapes."""
        return json.dumps({"query": self.query, "variables": self.variables, "operationName": self.name}).encode()


class Author:
    """Writes one document.

    Args:
        schema: what it may ask for.
        random: decides everything.
        ids: values that name rows, used among others.
        mutations: how many of a hundred documents are mutations.
    """

    def __init__(
        self, schema: GraphQLSchema, random: Random, ids: Sequence[str] = (NOBODY,), *, mutations: int = 17
    ) -> None:
        self._schema = schema
        self._random = random
        self._ids = ids
        self._mutations = mutations
        self._declared: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._fragments: dict[str, str] = {}

    def valid(self) -> Operation:
        """Write a document that is valid, mostly with values that fit; now and then one that no scalar can hold."""
        kind = self._random.choices(["query", "mutation", "subscription"], [97 - self._mutations, self._mutations, 3])[
            0
        ]
        root = {
            "query": self._schema.query_type,
            "mutation": self._schema.mutation_type,
            "subscription": self._schema.subscription_type,
        }[kind]
        if root is None:
            kind, root = "query", self._schema.query_type
        assert root is not None
        count = 1 if kind == "subscription" else self._random.choice([1, 1, 1, 2, 3])
        names = [self._random.choice(list(root.fields)) for _ in range(count)]
        fields = [f"{self._alias(place, name)}{self._field(root, name, 0)}" for place, name in enumerate(names)]
        if kind == "query" and self._chance(0.1):
            fields.append(self._random.choice(["__typename", '__type(name: "flow") { name kind }']))
        declared = ", ".join(f"${name}: {type_}" for name, type_ in self._declared.items())
        name = self._random.choice(["", "", "Q", "_1"])
        header = f"{kind} {name}{f'({declared})' if declared else ''}"
        text = " ".join([f"{header} {{ {' '.join(fields)} }}", *self._fragments.values()])
        return Operation(query=text, variables=dict(self._values), name=name or None)

    def _alias(self, place: int, name: str) -> str:
        """Keep two root fields of one name apart; else alias now and then."""
        return f"r{place}: " if place or self._chance(0.3) else ""

    def _field(self, parent: GraphQLObjectType, name: str, depth: int) -> str:
        found: GraphQLField = parent.fields[name]
        return f"{name}{self._arguments(found)}{self._condition()}{self._selection(found.type, depth)}"

    def _arguments(self, found: GraphQLField) -> str:
        chosen = [
            f"{name}: {self._argument(argument.type)}"
            for name, argument in found.args.items()
            if isinstance(argument.type, GraphQLNonNull) or self._chance(0.3)
        ]
        return f"({', '.join(chosen)})" if chosen else ""

    def _argument(self, type_: GraphQLInputType) -> str:
        """Write a value, or declare a variable for it."""
        if not self._chance(0.3):
            return literal(self._value(type_, 3), type_)
        name = f"v{len(self._declared)}"
        self._declared[name] = str(type_)
        self._values[name] = self._value(type_, 3)
        return f"${name}"

    def _condition(self) -> str:
        if not self._chance(0.05):
            return ""
        return self._random.choice([" @include(if: true)", " @skip(if: false)", " @include(if: false)"])

    def _selection(self, type_: GraphQLOutputType, depth: int) -> str:
        named = get_named_type(type_)
        if is_leaf_type(named):
            return ""
        assert isinstance(named, GraphQLObjectType)
        deep = depth + 1 >= self._random.choice([1, 2, 2, 3, 4, DEEPEST])
        names = [name for name, each in named.fields.items() if not deep or is_leaf_type(get_named_type(each.type))]
        names = [name for name in names if not (deep and any(map(_required, named.fields[name].args.values())))]
        chosen = list(dict.fromkeys(self._random.choices(names, k=self._random.choice([1, 2, 3, 5])))) if names else []
        fields = [self._field(named, name, depth + 1) for name in chosen] or ["__typename"]
        inner = " ".join(fields)
        if self._chance(0.07):
            name = f"F{len(self._fragments)}"
            self._fragments[name] = f"fragment {name} on {named.name} {{ {inner} }}"
            inner = f"...{name}"
        elif self._chance(0.07):
            inner = f"... on {named.name} {{ {inner} }}"
        return f" {{ {inner} }}"

    def _value(self, type_: GraphQLInputType, depth: int) -> Any:
        """Choose a value as JSON would hold it."""
        if isinstance(type_, GraphQLNonNull):
            return self._filled(type_.of_type, depth)
        return None if self._chance(0.06) else self._filled(type_, depth)

    def _filled(self, type_: GraphQLInputType, depth: int) -> Any:
        if isinstance(type_, GraphQLList):
            size = self._random.choice([0, 1, 1, 2, 5]) if depth > 0 else 0
            return [self._value(type_.of_type, depth - 1) for _ in range(size)]
        if isinstance(type_, GraphQLInputObjectType):
            return self._object(type_, depth)
        if isinstance(type_, GraphQLEnumType):
            return self._random.choice(list(type_.values))
        return self._scalar(get_named_type(type_).name)

    def _object(self, type_: GraphQLInputObjectType, depth: int) -> dict[str, Any]:
        names = [name for name, each in type_.fields.items() if isinstance(each.type, GraphQLNonNull)]
        if depth > 0:
            names += self._random.sample(list(type_.fields), min(len(type_.fields), self._random.choice([0, 1, 1, 2])))
        return {
            name: self._value(type_.fields[name].type, depth - 1)
            for name in dict.fromkeys(names)
            if depth > -6 or not isinstance(get_named_type(type_.fields[name].type), GraphQLInputObjectType)
        }

    def _scalar(self, name: str) -> Any:
        if self._chance(0.08):
            return self._random.choice([*TEXTS, *DOCUMENTS, 1, 2**31, 1e300])
        match name:
            case "Int":
                return int(self._random.choice(WHOLE))
            case "Boolean":
                return self._chance(0.5)
            case "Float" | "numeric" | "float8":
                return self._random.choice([0, 1, -1.5, 1e10])
            case "uuid" | "UUID" | "ID":
                return self._random.choice([*self._ids, NOBODY])
            case "timestamptz" | "DateTime" | "timestamp" | "date":
                return self._random.choice(TIMES[:3])
            case "jsonb" | "JSON" | "json":
                return self._random.choice(DOCUMENTS)
            case _:
                return self._random.choice(TEXTS)

    def _chance(self, part: float) -> bool:
        return self._random.random() < part


def _required(argument: Any) -> bool:
    return isinstance(argument.type, GraphQLNonNull)


def literal(value: Any, type_: GraphQLInputType) -> str:
    """Write a value as GraphQL does: names of fields and of enum values stand without quotes."""
    if isinstance(type_, GraphQLNonNull):
        type_ = type_.of_type
    if isinstance(value, list):
        inner = type_.of_type if isinstance(type_, GraphQLList) else type_
        return f"[{', '.join(literal(item, inner) for item in value)}]"
    if isinstance(type_, GraphQLEnumType) and isinstance(value, str):
        return value
    if isinstance(value, dict):
        if not isinstance(type_, GraphQLInputObjectType):
            return json.dumps(json.dumps(value))
        members = [f"{name}: {literal(item, type_.fields[name].type)}" for name, item in value.items()]
        return f"{{{', '.join(members)}}}"
    return json.dumps(value)


def mutated(operation: Operation, random: Random) -> Operation:
    """Change a document a little: lose, double, swap, replace or insert tokens, or flip characters."""
    text = operation.query
    tokens = _tokens(text)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        at = random.randrange(len(tokens))
        other = random.randrange(len(tokens))
        match random.randrange(7):
            case 0:
                del tokens[at]
            case 1:
                tokens.insert(at, tokens[at])
            case 2:
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case 3:
                tokens[at] = tokens[other]
            case 4:
                tokens.insert(at, random.choice(_WORDS))
            case 5:
                tokens[at] = random.choice(_WORDS)
            case _:
                tokens[at] = _flipped(tokens[at], random)
        tokens = tokens or ["{"]
    variables = dict(operation.variables)
    for name in list(variables):
        if random.random() < 0.5:
            variables[name] = random.choice([*DOCUMENTS, *TEXTS, 2**70, [[[]]], {"x": 1}])
        elif random.random() < 0.2:
            del variables[name]
    return Operation(
        query=" ".join(tokens), variables=variables, name=random.choice([operation.name, operation.name, "Nobody"])
    )


_WORDS = [
    *"{}()[]:$!=@|&",
    "...",
    "query",
    "mutation",
    "subscription",
    "fragment",
    "on",
    "flow",
    "hello",
    "null",
    "true",
]
_WORDS += [
    "$v0",
    "@include(if: true)",
    "@skip",
    "@deprecated",
    "__typename",
    "__schema",
    "__type",
    "id",
    '"x"',
    '"""y"""',
]
_WORDS += [
    *WHOLE,
    *ODD_NUMBERS,
    "#",
    "\ufeff",
    "\ud800",
    '"\\ud800"',
    '"\\u{110000}"',
    '"\\q"',
    "\u0000",
    "é",
    "input",
    "where",
]


def _tokens(text: str) -> list[str]:
    lexer = Lexer(Source(text))
    found = []
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        found.append(text[token.start : token.end])
    return found


def _flipped(token: str, random: Random) -> str:
    at = random.randrange(len(token)) if token else 0
    return token[:at] + chr(random.choice([random.randrange(32, 127), random.randrange(0x110000)])) + token[at + 1 :]
