"""A request → what to ask Postgres: document parsed, validated and planned, each once. Called by app.

Documents are remembered by their text, or by their shape: texts that differ only in literals (server_core.shape) share
one document, whose literals are values like those of variables. Under a document are its operations, by name, and under
these the answers, by the shape of the variables. So what comes again, with whatever values, costs a few look-ups.
A text that comes for the second time is kept beside what it was cut into.

What documents of a shape do not have in common (an error, a literal out of range, a list in an array, mutations, whose
plans compare values) is left to planning a document for itself. That also has the last word on every error.
"""

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLInputType,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    execute_sync,
    type_from_ast,
)
from graphql.execution import get_variable_values

from server_core.documents.cache import BoundedCache, Doorkeeper
from server_core.documents.check import judged
from server_core.documents.memory import PER_LITERAL, ShapeMemory, Stats
from server_core.documents.reading import read
from server_core.documents.slots import Slots, learn
from server_core.shape import Shape, cut
from server_core.wire import GraphQLRequest
from services.data.answer import Answer, Prepared
from services.data.errors import ValidationFailed
from services.data.limits import Limits
from services.data.plan.build import build_plan
from services.data.plan.given import NotShared, Scope
from services.data.plan.mutations import build_changes
from services.data.plan.reads import reads_of
from services.data.plan.selection import Selected, Selections
from services.data.plan.values import LITERALS
from services.data.plan.variables import Declared, Inputs, coerce_literal
from services.data.rejection import rejection
from services.data.schema.bindings import Schema
from services.data.sql.script import compile_changes
from services.data.sql.statement import compile_plan

DOCUMENTS: Final = 1000
"""Most documents remembered by their text, and as many by their shape."""
DOCUMENT_CHARACTERS: Final = 1_000_000
"""In all, of each; parsed, a document is some fifty times as large."""
LONGEST_KEPT: Final = 64_000
LONG: Final = 8_000
"""Longer documents are planned in a thread: the slowest take a second."""
LONGEST_RECALLED: Final = 50_000
"""Longer documents and bodies are not even looked up in the event loop."""
ANSWERS: Final = 50
LARGEST_KEPT_SCRIPT: Final = 5000
"""In values. Longer ones have a place for each cell of long lists of objects, and are hardly ever asked again."""

_META: Final = frozenset({"__schema", "__type"})
_INTROSPECTS: Final = re.compile(r"__(?:schema|type)\b")
_TOO_DEEP: Final = "the query is nested too deeply"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """What an operation is planned from: itself, the document's fragments, and which literals others may write anew."""

    node: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    slots: Slots | None


@dataclass(kw_only=True, slots=True)
class _Operation:
    """One operation of a validated document.

    Attributes:
        declared: its variables.
        source: what it is planned from; None once there is nothing more to plan, for it is large.
        answers: by the shape of the variables.
    """

    declared: Declared
    source: _Source | None
    answers: BoundedCache[Hashable, Answer] = field(default_factory=lambda: BoundedCache(entries=ANSWERS))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Document:
    """A validated document.

    Attributes:
        operations: by name; the only one under None as well.
        introspects: its answers depend on more than the shape of the variables.
        slots: what is to be known of its literals, if it stands for all documents of its shape.
    """

    operations: Mapping[str | None, _Operation]
    introspects: bool
    slots: Slots | None


class Requests:
    """Prepares requests against one schema.

    Args:
        schema: the schema; a new one (reload) gets a new Requests, and with it empty caches.
        null_collapse: see plan.filters.
        limits: how large documents may be.
        remember: whether anything is remembered from one request to the next.

    Attributes:
        stats: how often what to ask was known.
    """

    def __init__(
        self, schema: Schema, *, null_collapse: bool = True, limits: Limits | None = None, remember: bool = True
    ) -> None:
        self.stats = Stats()
        self._schema = schema
        self._inputs = Inputs()
        self._null_collapse = null_collapse
        self._limits = limits or Limits()
        self._remember = remember
        self._texts: BoundedCache[str, _Document] = BoundedCache(
            entries=DOCUMENTS, weight=DOCUMENT_CHARACTERS, heaviest=LONGEST_KEPT
        )
        self._shapes: ShapeMemory[_Document] = ShapeMemory(
            entries=DOCUMENTS, characters=DOCUMENT_CHARACTERS, longest=LONGEST_KEPT
        )
        self._cut: BoundedCache[str, tuple[_Document, Shape]] = BoundedCache(
            entries=DOCUMENTS, weight=DOCUMENT_CHARACTERS, heaviest=LONGEST_KEPT
        )
        self._doorkeeper = Doorkeeper()

    def __len__(self) -> int:
        """How many documents are remembered."""
        return len(self._texts) + len(self._shapes)

    def prepare(self, request: GraphQLRequest) -> Prepared:
        """Return what to run for a request.

        Raises:
            DataError: the document is not valid, a variable does not fit, a value cannot be used.
        """
        return self.recall(request) or self.plan(request)

    def recall(self, request: GraphQLRequest) -> Prepared | None:
        """Return what to run for a request if nothing has to be planned and it takes no time; otherwise None.

        Raises:
            DataError: see prepare.
        """
        text = request.query
        if len(text) > LONGEST_RECALLED or (request.raw is not None and len(request.raw) > LONGEST_RECALLED):
            return None
        shape = None
        document = self._texts.get(text)
        if document is None:
            cut_before = self._cut.get(text)
            if cut_before is not None:
                document, shape = cut_before
            else:
                shape = self._shape(request)
                document = self._known(shape) if shape is not None else None
                if document is not None and shape is not None and self._doorkeeper.knows(text):
                    self._cut.put(text, (document, shape), 3 * len(text) + PER_LITERAL * len(shape.literals))
        if document is None:
            return None
        operation = document.operations.get(request.operation_name)
        if operation is None:
            return None
        try:
            values, form = self._variables(operation, request.variables)
            answer = operation.answers.get((form, json.dumps(values)) if document.introspects else form)
            if answer is None:
                return None
            prepared = _bound(answer, values, shape)
        except RecursionError:
            raise ValidationFailed(_TOO_DEEP) from None
        except (GraphQLError, ValueError):
            return None
        self.stats.hits += 1
        return prepared

    def plan(self, request: GraphQLRequest) -> Prepared:
        """Return what to run for a request, however long it takes; may be called in a thread.

        Raises:
            DataError: see prepare.
        """
        shape = None if _INTROSPECTS.search(request.query) else self._shape(request)
        try:
            if shape is None:
                return self._planned(request, None)
            try:
                return self._planned(request, shape)
            except (NotShared, GraphQLError, ValueError):
                return self._planned(request, None, again=True)
        except RecursionError:
            raise ValidationFailed(_TOO_DEEP) from None

    def _planned(self, request: GraphQLRequest, shape: Shape | None, *, again: bool = False) -> Prepared:
        """Plan a request, by its document's shape if one is given; `again`: it was counted when that failed."""
        document = self._texts.get(request.query)
        if document is None and shape is not None:
            document = self._known(shape)
        known = document is not None
        if document is None:
            if not again:
                self._count_new(shape)
            document = self._read(request, shape)
            self._keep(document, request.query, shape)
        operation = _chosen(document, request.operation_name)
        values, form = self._variables(operation, request.variables)
        if document.introspects:
            form = (form, json.dumps(values))
        source = operation.source  # read first: where it is gone, there is the answer
        answer = operation.answers.get(form)
        if known and not again:
            self.stats.hits += answer is not None
            self.stats.misses += answer is None
        if answer is None and source is not None:
            answer = self._answer(operation, source, values)
            if self._remember and (answer.script is None or answer.script.size <= LARGEST_KEPT_SCRIPT):
                operation.answers.put(form, answer)
                if not operation.declared.types:
                    operation.source = None
        if answer is None:
            raise RuntimeError("a planned operation has no answer")
        return _bound(answer, values, shape if document.slots is not None else None)

    def _count_new(self, shape: Shape | None) -> None:
        if shape is not None and self._shapes.knows(shape):
            self.stats.unfit += 1
        else:
            self.stats.misses += 1

    def _shape(self, request: GraphQLRequest) -> Shape | None:
        """Take a document apart; None if there is no need to."""
        if not self._remember:
            return None
        shape = request.shape
        if shape is None or shape.text != request.query:
            shape = cut(request.query)
        return shape if shape is not None and shape.literals else None

    def _known(self, shape: Shape) -> _Document | None:
        """Return the document that stands for those of this shape; None if this one must be read, perhaps refused."""
        document = self._shapes.get(shape)
        return document if document is not None and self._limits.surely_hold(shape) else None

    def _keep(self, document: _Document, text: str, shape: Shape | None) -> None:
        if not self._remember:
            return
        if shape is not None and document.slots is not None:
            self._shapes.put(shape, document.slots, document)
        else:
            self._texts.put(text, document, len(text))

    def _read(self, request: GraphQLRequest, shape: Shape | None) -> _Document:
        """Parse and validate a document, and learn which of its literals it may share with others."""
        text = request.query
        self._limits.check_text(text)
        node = request.parsed.take(text, tokens=self._limits.tokens) if request.parsed is not None else None
        try:
            node = node or read(text, tokens=self._limits.tokens)
        except GraphQLError as error:
            raise ValidationFailed(f"not a valid graphql query: {error.message}", path="$.query") from error
        definitions = [item for item in node.definitions if isinstance(item, OperationDefinitionNode)]
        for definition in definitions:
            if self._schema.graphql.get_root_type(definition.operation) is None:
                raise ValidationFailed(f"no {definition.operation.value}s exist")
        self._limits.check_selections(node)
        verdict = judged(self._schema.graphql, node, most=1)
        if verdict.problems:
            raise rejection(verdict.problems[0], node)
        slots = None
        if shape is not None and all(item.operation is not OperationType.MUTATION for item in definitions):
            slots = learn(self._schema.graphql, node, shape, verdict.compared)
        fragments = {item.name.value: item for item in node.definitions if isinstance(item, FragmentDefinitionNode)}
        operations: dict[str | None, _Operation] = {
            item.name.value if item.name else "": self._operation(_Source(node=item, fragments=fragments, slots=slots))
            for item in definitions
        }
        if len(operations) == 1:
            operations[None] = next(iter(operations.values()))
        return _Document(operations=operations, introspects=_INTROSPECTS.search(text) is not None, slots=slots)

    def _operation(self, source: _Source) -> _Operation:
        types: dict[str, GraphQLInputType] = {}
        defaults: dict[str, Any] = {}
        for definition in source.node.variable_definitions or ():
            name = definition.variable.name.value
            types[name] = type_from_ast(self._schema.graphql, definition.type)  # type: ignore[assignment]
            if definition.default_value is not None:
                defaults[name] = coerce_literal(types[name], definition.default_value)
        return _Operation(declared=Declared(self._inputs, types, defaults), source=source)

    def _variables(self, operation: _Operation, given: Mapping[str, Any]) -> tuple[dict[str, Any], Hashable]:
        try:
            return operation.declared.read(given)
        except GraphQLError as error:
            # The messages of graphql-core name the place; ours is only made for speed.
            definitions = operation.source.node.variable_definitions if operation.source is not None else ()
            explained = get_variable_values(self._schema.graphql, definitions or (), _inexact(given), max_errors=1)
            first = explained[0] if isinstance(explained, list) else error
            raise rejection(first, None) from error

    def _answer(self, operation: _Operation, source: _Source, values: Mapping[str, Any]) -> Answer:
        scope = Scope(types=operation.declared.types, values=values, slots=source.slots)
        fields = Selections(fragments=source.fragments, scope=scope).root(source.node.selection_set)
        kind = source.node.operation
        root = self._schema.graphql.get_root_type(kind) or self._schema.graphql.query_type
        constants = {field.alias: f'"{root}"'.encode() for field in fields if field.name == "__typename"}
        asked = [field for field in fields if field.name in _META]
        if asked:
            constants |= self._introspect(source, asked, values)
        stored = [field for field in fields if field.alias not in constants]
        order = tuple(field.alias for field in fields)
        if kind is OperationType.MUTATION:
            changes = build_changes(
                self._schema, stored, fragments=source.fragments, scope=scope, null_collapse=self._null_collapse
            )
            return Answer(
                order=order, constants=constants, statement=None, script=compile_changes(changes) if changes else None
            )
        plan = build_plan(
            self._schema, stored, fragments=source.fragments, scope=scope, null_collapse=self._null_collapse
        )
        return Answer(
            order=order,
            constants=constants,
            statement=compile_plan(plan) if plan.roots else None,
            reads=reads_of(plan) if kind is OperationType.SUBSCRIPTION else None,
        )

    def _introspect(self, source: _Source, asked: Sequence[Selected], values: Mapping[str, Any]) -> dict[str, bytes]:
        """Let graphql-core answer the introspection fields of an operation."""
        node = OperationDefinitionNode(
            operation=OperationType.QUERY,
            variable_definitions=source.node.variable_definitions,
            directives=(),
            selection_set=SelectionSetNode(selections=tuple(node for field in asked for node in field.nodes)),
        )
        result = execute_sync(
            self._schema.graphql,
            DocumentNode(definitions=(node, *source.fragments.values())),
            variable_values={name: _plain(value) for name, value in values.items()},
        )
        if result.errors:
            raise rejection(result.errors[0], None)
        return {alias: json.dumps(value).encode() for alias, value in (result.data or {}).items()}


def is_long(request: GraphQLRequest) -> bool:
    """Tell whether planning a request may take long: others should not wait for it."""
    return len(request.query) > LONG or len(request.raw or b"") > LONG or bool(_INTROSPECTS.search(request.query))


def _bound(answer: Answer, values: dict[str, Any], shape: Shape | None) -> Prepared:
    """Return an answer with the values of one request.

    Raises:
        GraphQLError, ValueError: a literal is not what the planner of another document saw in its place.
        DataError: a value cannot be used.
    """
    if shape is not None:
        values[LITERALS] = shape.literals
    if answer.statement is None:
        return Prepared(answer, "", (), variables=values)
    return Prepared(answer, *answer.statement.bind(values), values)


def _chosen(document: _Document, name: str | None) -> _Operation:
    operation = document.operations.get(name)
    if operation is not None:
        return operation
    if name is not None:
        raise ValidationFailed(f'no such operation found in the document: "{name}"')
    raise ValidationFailed("exactly one operation has to be present in the document when operationName is not given")


def _inexact(value: Any) -> Any:
    """Return decoded JSON with the numbers that graphql-core knows."""
    match value:
        case Decimal():
            return float(value)
        case list():
            return [_inexact(item) for item in value]
        case Mapping():
            return {key: _inexact(item) for key, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    """Undo the coercion of booleans, the only variables besides strings that introspection takes."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
