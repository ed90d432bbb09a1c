"""Turns the text of a document into a parsed, validated one, remembering what it has seen. Called by app.

Validation is the largest Python cost of a request (performance.md), and clients send few different documents: the
same text with variables, or the same shape with other literals inlined. So
- a text without literals is remembered whole;
- of a text with literals its shape is remembered: a new text of a known shape is parsed, and only its literal values
  are checked again, because the scalars here refuse some (an id that is no UUID).
"""

from collections.abc import Sequence

from graphql import DocumentNode, GraphQLError, GraphQLSchema, GraphQLSyntaxError, parse, validate
from graphql.validation import ValuesOfCorrectTypeRule

from server_core.documents.cache import BoundedCache
from server_core.documents.check import MOST_PROBLEMS, problems
from server_core.documents.memory import ShapeMemory
from server_core.documents.slots import learn
from server_core.shape import cut

CACHED_DOCUMENTS = 1_000
CACHED_CHARACTERS = 500_000
"""How much text is remembered at most; parsed, a character weighs some two hundred bytes."""

LONGEST_CACHED = 20_000
"""Longer texts are never remembered: they are large values written out, and come once."""


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


class Documents:
    """Reads documents against one schema.

    Args:
        schema: what the documents are validated against.
        characters: how much text, and how much of shapes, is remembered.
    """

    def __init__(self, schema: GraphQLSchema, *, characters: int = CACHED_CHARACTERS) -> None:
        self._schema = schema
        self._texts: BoundedCache[str, DocumentNode] = BoundedCache(
            entries=CACHED_DOCUMENTS, weight=characters, heaviest=LONGEST_CACHED
        )
        self._shapes: ShapeMemory[bool] = ShapeMemory(
            entries=CACHED_DOCUMENTS, characters=characters, longest=LONGEST_CACHED
        )

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
        shape = cut(text)
        if shape is not None and shape.literals and self._shapes.get(shape):
            _refuse(validate(self._schema, document, [ValuesOfCorrectTypeRule], max_errors=MOST_PROBLEMS))
            return document
        _refuse(problems(self._schema, document))
        if shape is not None and not shape.literals:
            self._texts.put(text, document, len(text))
        elif shape is not None and (slots := learn(self._schema, document, shape)) is not None:
            self._shapes.put(shape, slots, True)
        return document


def _refuse(errors: Sequence[GraphQLError]) -> None:
    if errors:
        raise DocumentRejected(errors, "GRAPHQL_VALIDATION_FAILED")
