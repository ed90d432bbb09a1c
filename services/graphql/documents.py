"""Turns the text of a document into a parsed, validated one, remembering what it has seen. Called by app.

Validation is the largest Python cost of a request (performance.md), and clients send few different documents: the
same text with variables, or the same shape with other literals inlined. So
- a text without literals is remembered whole;
- of a text with literals its shape is remembered (which literals stand where, and which are equal): a new text of a
  known shape is parsed, and only its literal values are checked again.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, TypeVar

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import ValuesOfCorrectTypeRule

Value = TypeVar("Value")

CACHED_CHARACTERS = 500_000
"""How much text is remembered at most; parsed, a character weighs some two hundred bytes."""

LONGEST_CACHED = 20_000
"""Longer texts are never remembered: they are large values written out, and come once."""

LITERALS_ONLY: tuple[type[ASTValidationRule], ...] = (ValuesOfCorrectTypeRule,)

_TOKEN = re.compile(
    r'''(?P<skip>[_A-Za-z][_0-9A-Za-z]*|\#[^\n\r]*)
    |(?P<block>"""(?:\\"""|(?!""").)*""")
    |(?P<string>"(?:\\.|[^"\\\n\r])*")
    |(?P<float>-?[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+))
    |(?P<int>-?[0-9]+)''',
    re.VERBOSE | re.DOTALL,
)
_PLACEHOLDERS = {"block": '"{}"', "string": '"{}"', "float": "0.{}", "int": "{}"}


class DocumentRejected(Exception):
    """A document that is not run.

    Attributes:
        errors: why, as graphql-core found.
        code: `GRAPHQL_PARSE_FAILED` or `GRAPHQL_VALIDATION_FAILED`.
    """

    def __init__(self, errors: Sequence[GraphQLError], code: str) -> None:
        super().__init__(code)
        self.errors = errors
        self.code = code


class Recent(Generic[Value]):
    """A mapping by text that keeps its most recently used entries.

    Args:
        characters: how long all keys together may be.
    """

    def __init__(self, characters: int) -> None:
        self._room = characters
        self._entries: OrderedDict[str, Value] = OrderedDict()

    def get(self, key: str) -> Value | None:
        """Return the entry and mark it as used, or None."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: str, value: Value) -> None:
        """Keep a new entry; those unused for longest go when there is too much."""
        if key not in self._entries:
            self._room -= len(key)
        self._entries[key] = value
        while self._room < 0:
            forgotten, _ = self._entries.popitem(last=False)
            self._room += len(forgotten)

    def __len__(self) -> int:
        return len(self._entries)


class Documents:
    """Reads documents against one schema.

    Args:
        schema: what the documents are validated against.
        characters: how much text, and how much of shapes, is remembered.
    """

    def __init__(self, schema: GraphQLSchema, *, characters: int = CACHED_CHARACTERS) -> None:
        self._schema = schema
        self._texts: Recent[DocumentNode] = Recent(characters)
        self._shapes: Recent[bool] = Recent(characters)

    def read(self, text: str) -> DocumentNode:
        """Return the document of a text.

        Raises:
            DocumentRejected: it is not GraphQL, or not valid against the schema.
        """
        known = self._texts.get(text)
        if known is not None:
            return known
        try:
            document = parse(text)
        except GraphQLSyntaxError as error:
            raise DocumentRejected([error], "GRAPHQL_PARSE_FAILED") from None
        if len(text) > LONGEST_CACHED:
            self._check(document, specified_rules)
            return document
        shape = shape_of(text)
        if shape == text:
            self._check(document, specified_rules)
            self._texts.put(text, document)
        elif self._shapes.get(shape):
            self._check(document, LITERALS_ONLY)
        else:
            self._check(document, specified_rules)
            self._shapes.put(shape, True)
        return document

    def _check(self, document: DocumentNode, rules: Sequence[type[ASTValidationRule]]) -> None:
        errors = validate(self._schema, document, rules)
        if errors:
            raise DocumentRejected(errors, "GRAPHQL_VALIDATION_FAILED")


def shape_of(text: str) -> str:
    """Return a text with its string and number literals numbered by first occurrence; unchanged if it has none.

    Equal literals get equal numbers, because whether two fields of one name can be merged depends on that.
    """
    numbers: dict[str, int] = {}

    def replace(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind is None or kind == "skip":
            return match[0]
        return _PLACEHOLDERS[kind].format(numbers.setdefault(match[0], len(numbers)))

    return _TOKEN.sub(replace, text)
