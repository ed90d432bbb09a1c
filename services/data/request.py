"""A request → what to ask Postgres: document parsed, validated and planned, each once. Called by app.

Three caches, from the outside in: documents by text, operations by name, answers by the shape of the variables. A
document sent with variables is planned once, whatever their values. A document whose text is new pays for parsing and
validation, but shares the SQL text with all others of its shape, because literals are parameters as well.
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
    parse,
    type_from_ast,
)
from graphql.execution import get_variable_values

from server_core.documents.cache import BoundedCache
from server_core.documents.check import problems
from server_core.wire import GraphQLRequest
from services.data.errors import ValidationFailed
from services.data.limits import Limits
from services.data.plan.build import build_plan
from services.data.plan.given import Scope
from services.data.plan.mutations import build_changes
from services.data.plan.reads import Reads, reads_of
from services.data.plan.selection import Selected, Selections
from services.data.plan.values import Resolved
from services.data.plan.variables import coerce_all, coerce_literal, shape_of
from services.data.rejection import rejection
from services.data.schema.bindings import Schema
from services.data.sql.script import Script, compile_changes
from services.data.sql.statement import Statement, compile_plan

DOCUMENTS: Final = 1000
DOCUMENT_CHARACTERS: Final = 2_000_000
"""In all; parsed, a document is some fifty times as large."""
LONGEST_KEPT: Final = 64_000
LONG: Final = 8_000
"""Longer documents are prepared in a thread: the slowest take a second."""
ANSWERS: Final = 50
LARGEST_KEPT_SCRIPT: Final = 5000
"""In values. Longer ones have a place for each cell of long lists of objects, and are hardly ever asked again."""

_META: Final = frozenset({"__schema", "__type"})
_INTROSPECTS: Final = re.compile(r"__(?:schema|type)\b")
_ABSENT: Final = "absent"
_TOO_DEEP: Final = "the query is nested too deeply"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """How to answer an operation with variables of one shape.

    Attributes:
        order: the response keys.
        constants: those that need no database (`__typename`, introspection), as JSON.
        statement: what the database answers, None if nothing.
        reads: for a subscription, what the answer depends on; None for a query.
        script: for a mutation, what it does, None if nothing.
    """

    order: tuple[str, ...]
    constants: Mapping[str, bytes]
    statement: Statement | None
    reads: Reads | None = None
    script: Script | None = None

    def body(self, row: Sequence[bytes | None]) -> bytes:
        """Return the response with the columns of the statement's one row in it, JSON as Postgres wrote it.

        No row at all (an object that is not there) is null.
        """
        values = dict(self.constants)
        if self.statement is not None:
            found = row or [None] * len(self.statement.aliases)
            values.update(zip(self.statement.aliases, [value or b"null" for value in found], strict=True))
        return self._joined(values)

    def written(self, answers: Mapping[str, bytes]) -> bytes:
        """Return the response with the answers of the script in it."""
        return self._joined({**self.constants, **answers})

    def _joined(self, values: Mapping[str, bytes]) -> bytes:
        members = [b'"%s":%s' % (alias.encode(), values[alias]) for alias in self.order]
        return b'{"data":{' + b",".join(members) + b"}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """One request, ready to run: the answer's statement takes `parameters`, its script the `variables`."""

    answer: Answer
    parameters: Sequence[Resolved]
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Operation:
    """One operation of a validated document, with its variables' types and coerced defaults."""

    node: OperationDefinitionNode
    types: Mapping[str, GraphQLInputType]
    defaults: Mapping[str, Any]
    answers: BoundedCache[Hashable, Answer] = field(default_factory=lambda: BoundedCache(entries=ANSWERS))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Document:
    """A validated document; `introspects` if its answers depend on more than the shape of the variables."""

    fragments: Mapping[str, FragmentDefinitionNode]
    operations: Mapping[str, _Operation]
    introspects: bool


class Requests:
    """Prepares requests against one schema.

    Args:
        schema: the schema; a new one (reload) gets a new Requests, and with it empty caches.
        null_collapse: see plan.filters.
        limits: how large documents may be.
    """

    def __init__(self, schema: Schema, *, null_collapse: bool = True, limits: Limits | None = None) -> None:
        self._schema = schema
        self._null_collapse = null_collapse
        self._limits = limits or Limits()
        self._documents: BoundedCache[str, _Document] = BoundedCache(
            entries=DOCUMENTS, weight=DOCUMENT_CHARACTERS, heaviest=LONGEST_KEPT
        )

    def prepare(self, request: GraphQLRequest) -> Prepared:
        """Return what to run for a request.

        Raises:
            DataError: the document is not valid, a variable does not fit, a value cannot be used.
        """
        try:
            document = self._documents.get(request.query)
            if document is None:
                document = self._read(request.query)
                self._documents.put(request.query, document, len(request.query))
            operation = _chosen(document, request.operation_name)
            variables = self._variables(operation, request.variables)
            answer = self._answer(document, operation, variables)
            parameters = answer.statement.bind(variables) if answer.statement else ()
            return Prepared(answer=answer, parameters=parameters, variables=variables)
        except RecursionError:
            raise ValidationFailed(_TOO_DEEP) from None

    def _read(self, text: str) -> _Document:
        """Parse and validate a document."""
        self._limits.check_text(text)
        try:
            node = parse(text, max_lexical_tokens=self._limits.tokens)
        except GraphQLError as error:
            raise ValidationFailed(f"not a valid graphql query: {error.message}", path="$.query") from error
        operations = [item for item in node.definitions if isinstance(item, OperationDefinitionNode)]
        for operation in operations:
            if self._schema.graphql.get_root_type(operation.operation) is None:
                raise ValidationFailed(f"no {operation.operation.value}s exist")
        self._limits.check_selections(node)
        errors = problems(self._schema.graphql, node, most=1)
        if errors:
            raise rejection(errors[0], node)
        fragments = [item for item in node.definitions if isinstance(item, FragmentDefinitionNode)]
        return _Document(
            fragments={fragment.name.value: fragment for fragment in fragments},
            operations={item.name.value if item.name else "": self._operation(item) for item in operations},
            introspects=_INTROSPECTS.search(text) is not None,
        )

    def _operation(self, node: OperationDefinitionNode) -> _Operation:
        types: dict[str, GraphQLInputType] = {}
        defaults: dict[str, Any] = {}
        for definition in node.variable_definitions or ():
            name = definition.variable.name.value
            types[name] = type_from_ast(self._schema.graphql, definition.type)  # type: ignore[assignment]
            if definition.default_value is not None:
                defaults[name] = coerce_literal(types[name], definition.default_value)
        return _Operation(node=node, types=types, defaults=defaults)

    def _variables(self, operation: _Operation, given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return coerce_all(operation.types, operation.defaults, given)
        except GraphQLError as error:
            # The messages of graphql-core name the place; ours is only made for speed.
            explained = get_variable_values(
                self._schema.graphql, operation.node.variable_definitions or (), _inexact(given), max_errors=1
            )
            first = explained[0] if isinstance(explained, list) else error
            raise rejection(first, None) from error

    def _answer(self, document: _Document, operation: _Operation, variables: Mapping[str, Any]) -> Answer:
        shape: Hashable = tuple(
            [
                shape_of(type, variables[name]) if name in variables else _ABSENT
                for name, type in operation.types.items()
            ]
        )
        if document.introspects:
            shape = (shape, json.dumps(variables))
        answer = operation.answers.get(shape)
        if answer is None:
            answer = self._plan(document, operation, variables)
            if answer.script is None or answer.script.size <= LARGEST_KEPT_SCRIPT:
                operation.answers.put(shape, answer)
        return answer

    def _plan(self, document: _Document, operation: _Operation, variables: Mapping[str, Any]) -> Answer:
        scope = Scope(types=operation.types, values=variables)
        fields = Selections(fragments=document.fragments, scope=scope).root(operation.node.selection_set)
        root = self._schema.graphql.get_root_type(operation.node.operation) or self._schema.graphql.query_type
        constants = {field.alias: f'"{root}"'.encode() for field in fields if field.name == "__typename"}
        asked = [field for field in fields if field.name in _META]
        if asked:
            constants |= self._introspect(document, operation, asked, variables)
        stored = [field for field in fields if field.alias not in constants]
        order = tuple(field.alias for field in fields)
        if operation.node.operation is OperationType.MUTATION:
            changes = build_changes(
                self._schema, stored, fragments=document.fragments, scope=scope, null_collapse=self._null_collapse
            )
            return Answer(
                order=order, constants=constants, statement=None, script=compile_changes(changes) if changes else None
            )
        live = operation.node.operation is OperationType.SUBSCRIPTION
        plan = build_plan(
            self._schema, stored, fragments=document.fragments, scope=scope, null_collapse=self._null_collapse
        )
        return Answer(
            order=order,
            constants=constants,
            statement=compile_plan(plan) if plan.roots else None,
            reads=reads_of(plan) if live else None,
        )

    def _introspect(
        self, document: _Document, operation: _Operation, asked: Sequence[Selected], variables: Mapping[str, Any]
    ) -> dict[str, bytes]:
        """Let graphql-core answer the introspection fields of an operation."""
        node = OperationDefinitionNode(
            operation=OperationType.QUERY,
            variable_definitions=operation.node.variable_definitions,
            directives=(),
            selection_set=SelectionSetNode(selections=tuple(node for field in asked for node in field.nodes)),
        )
        result = execute_sync(
            self._schema.graphql,
            DocumentNode(definitions=(node, *document.fragments.values())),
            variable_values={name: _plain(value) for name, value in variables.items()},
        )
        if result.errors:
            raise rejection(result.errors[0], None)
        return {alias: json.dumps(value).encode() for alias, value in (result.data or {}).items()}


def is_long(request: GraphQLRequest) -> bool:
    """Tell whether preparing a request may take long: others should not wait for it."""
    return len(request.query) > LONG or len(request.raw or b"") > LONG or bool(_INTROSPECTS.search(request.query))


def _chosen(document: _Document, name: str | None) -> _Operation:
    operations = document.operations
    if name is not None:
        if name not in operations:
            raise ValidationFailed(f'no such operation found in the document: "{name}"')
        return operations[name]
    if len(operations) != 1:
        raise ValidationFailed(
            "exactly one operation has to be present in the document when operationName is not given"
        )
    return next(iter(operations.values()))


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
