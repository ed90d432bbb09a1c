"""Turns the text of a document into a plan, or into a parsed, validated document, remembering what it has seen. Called
by app.

Reading a document and running it as graphql-core does costs several times what its mutation costs, and clients send few
different documents: the same text with variables, or the same shape with other literals inlined. So
- a text without literals is remembered whole, with its plan (compiled);
- of a text with literals its shape is remembered, with a plan that reads them;
- for what has no plan, a new text of a known shape is parsed, and only its literal values are checked again, because
  the scalars here refuse some (an id that is no UUID).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from graphql import DocumentNode, FieldNode, GraphQLError, GraphQLSchema, GraphQLSyntaxError, validate
from graphql.validation import ValuesOfCorrectTypeRule

from server_core.documents.cache import BoundedCache
from server_core.documents.check import MOST_PROBLEMS, judged
from server_core.documents.memory import ShapeMemory, Stats
from server_core.documents.reading import read
from server_core.documents.slots import learn
from server_core.shape import Shape, cut
from services.graphql.compiled.operation import Plan, compile_operation

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A plan, and the literals of the document that it was looked up for."""

    plan: Plan
    literals: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What is remembered of a text, or of a shape.

    Attributes:
        document: of a text that has no literals.
        planned: None: its documents are left to graphql-core.
    """

    document: DocumentNode | None
    planned: Planned | None


class Documents:
    """Reads documents against one schema.

    Args:
        schema: what the documents are validated against.
        characters: how much text, and how much of shapes, is remembered.
        remember: whether anything is.

    Attributes:
        stats: how often something was remembered, by text or by shape.
    """

    def __init__(self, schema: GraphQLSchema, *, characters: int = CACHED_CHARACTERS, remember: bool = True) -> None:
        self.stats = Stats()
        self._schema = schema
        self._remember = remember
        self._texts: BoundedCache[str, _Known] = BoundedCache(
            entries=CACHED_DOCUMENTS, weight=characters, heaviest=LONGEST_CACHED
        )
        self._shapes: ShapeMemory[_Known] = ShapeMemory(
            entries=CACHED_DOCUMENTS, characters=characters, longest=LONGEST_CACHED
        )

    def __len__(self) -> int:
        """How many texts and shapes are remembered."""
        return len(self._texts) + len(self._shapes)

    def planned(self, text: str) -> Planned | None:
        """Return the plan of a text, if there is one for it or for its shape; None: read the text."""
        known = self._texts.get(text)
        if known is not None:
            if known.planned is not None:
                self.stats.hits += 1
            return known.planned
        shape = cut(text) if self._remember else None
        if shape is None or not shape.literals:
            return None
        known = self._shapes.get(shape)
        if known is None or known.planned is None:
            return None
        self.stats.hits += 1
        return Planned(plan=known.planned.plan, literals=shape.literals)

    def read(self, text: str) -> DocumentNode:
        """Return the document of a text.

        Raises:
            DocumentRejected: it is not GraphQL, or not valid against the schema.
        """
        known = self._texts.get(text)
        if known is not None and known.document is not None:
            self.stats.hits += 1
            return known.document
        try:
            document = read(text)
        except GraphQLSyntaxError as error:
            raise DocumentRejected([error], "GRAPHQL_PARSE_FAILED") from None
        shape = cut(text) if self._remember else None
        if shape is not None and shape.literals and self._shapes.get(shape):
            self.stats.hits += 1
            _refuse(validate(self._schema, document, [ValuesOfCorrectTypeRule], max_errors=MOST_PROBLEMS))
            return document
        if shape is not None and shape.literals and self._shapes.knows(shape):
            self.stats.unfit += 1
        else:
            self.stats.misses += 1
        verdict = judged(self._schema, document)
        _refuse(verdict.problems)
        if shape is not None:
            self._keep(text, document, shape, verdict.compared)
        return document

    def _keep(self, text: str, document: DocumentNode, shape: Shape, compared: Sequence[FieldNode]) -> None:
        slots = learn(self._schema, document, shape, compared) if shape.literals else None
        if shape.literals and slots is None:
            return
        plan = compile_operation(self._schema, document, slots)
        known = _Known(
            document=document if slots is None else None, planned=None if plan is None else Planned(plan=plan)
        )
        if slots is None:
            self._texts.put(text, known, len(text))
        else:
            self._shapes.put(shape, slots, known)


def _refuse(errors: Sequence[GraphQLError]) -> None:
    if errors:
        raise DocumentRejected(errors, "GRAPHQL_VALIDATION_FAILED")
