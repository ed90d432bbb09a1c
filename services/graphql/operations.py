"""An operation → its answer, the short way or the long way. Called by app for every operation.

The short way: documents (text → plan, remembered) → the resolvers of schema/ → body. What has no plan, or values that
do not fit, goes the long way: documents (text → validated document) → graphql-core runs the resolvers → errors (the
door) → body. So does what resolvers raised on the short way, so that errors are made in one place.
"""

import json
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import orjson
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    execute,
    get_operation_ast,
)

from server_core.errors import OutcomeUnknown
from server_core.wire import GraphQLRequest, GraphQLResponse
from services.graphql.compiled.operation import Arguments, Info, Plan
from services.graphql.context import RequestContext
from services.graphql.documents import DocumentRejected, Documents
from services.graphql.errors import error_entry, without_invitation
from services.graphql.executor import SerialExecutor, replay
from services.graphql.measured import SUCCESS, MutationFigures, error_code


class Operations:
    """Answers operations on one schema.

    Args:
        schema: strawberry's; its mutations are measured from now on, if there are figures.
        plan_cache: whether plans are made and remembered; else every operation goes the long way.
        figures: note mutations.

    Attributes:
        documents: what is remembered.
    """

    def __init__(
        self, schema: GraphQLSchema, *, plan_cache: bool = True, figures: MutationFigures | None = None
    ) -> None:
        self._schema = schema
        self._figures = figures
        self.documents = Documents(schema, remember=plan_cache)
        if figures is not None:
            figures.measure(schema)

    async def answer(self, request: GraphQLRequest, context: RequestContext) -> GraphQLResponse:
        """Answer one operation (statuses: actions.md §0.3); never raises for a client's mistake."""
        planned = self.documents.planned(request.query)
        if planned is not None and request.operation_name in (None, planned.plan.name):
            try:
                arguments = planned.plan.read(planned.literals, request.variables)
            except Exception:  # noqa: S110 - whatever does not fit: graphql-core says it in its words
                pass
            else:
                return await self._run(planned.plan, arguments, request, context)
        return await self._interpret(request, context)

    async def _run(
        self, plan: Plan, arguments: Sequence[Arguments], request: GraphQLRequest, context: RequestContext
    ) -> GraphQLResponse:
        """Run the resolvers of an operation, one after the other, and answer."""
        info = Info(context)
        outcomes: dict[str, Any] = {}
        for field, given in zip(plan.fields, arguments, strict=True):
            began = perf_counter()
            outcome = SUCCESS
            try:
                outcomes[field.key] = await field.run(info, given)
            except Exception as error:
                outcome = error_code(error)
                outcomes[field.key] = error
            finally:
                if plan.mutates and self._figures is not None:
                    self._figures.note(field.name, perf_counter() - began, outcome)
        try:
            return GraphQLResponse(body=_dump({"data": plan.answer(outcomes)}), plain=True)
        except Exception:  # one was raised, or does not fit what the schema promises
            return await self._interpret(request, context, outcomes)

    async def _interpret(
        self, request: GraphQLRequest, context: RequestContext, outcomes: Mapping[str, Any] | None = None
    ) -> GraphQLResponse:
        """Answer an operation by way of graphql-core.

        Args:
            outcomes: what became of the root fields, by key, if they have been run: a result, or what was raised.
        """
        try:
            document = self.documents.read(request.query)
        except DocumentRejected as rejected:
            return _refused(*(error_entry(error, code=rejected.code) for error in rejected.errors))
        result = execute(
            self._schema,
            document,
            variable_values=dict(request.variables),
            operation_name=request.operation_name,
            context_value=context,
            middleware=None if outcomes is None else replay(outcomes),
            executor_class=SerialExecutor,
        )
        if not isinstance(result, ExecutionResult):
            result = await result
        return _answer(result, get_operation_ast(document, request.operation_name))


def _answer(result: ExecutionResult, operation: OperationDefinitionNode | None) -> GraphQLResponse:
    errors = result.errors
    if not errors:
        return GraphQLResponse(body=_dump({"data": result.data}))
    if result.data is None and not any(error.path for error in errors):
        return _not_run(errors)
    entries = [error_entry(error) for error in errors]
    if operation is not None and operation.operation is OperationType.MUTATION:
        done = any(value is not None for value in (result.data or {}).values())
        if done or any(isinstance(error.original_error, OutcomeUnknown) for error in errors):
            entries = without_invitation(entries)
    return GraphQLResponse(body=_dump({"errors": entries, "data": result.data}))


def _not_run(errors: list[GraphQLError]) -> GraphQLResponse:
    """Answer a document that could not be run: its variables do not fit (200), or it names no operation (400)."""
    if all(error.original_error is None and "operation" in error.message for error in errors):
        return _refused(*(error_entry(error, code="OPERATION_RESOLUTION_FAILURE") for error in errors))
    entries = [error_entry(GraphQLError(error.message, error.nodes), code="BAD_USER_INPUT") for error in errors]
    return GraphQLResponse(body=_dump({"errors": entries, "data": None}))


def _refused(*entries: Mapping[str, Any]) -> GraphQLResponse:
    return GraphQLResponse(body=_dump({"errors": entries}), status=400)


def _dump(document: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(document)
    except TypeError:  # integers beyond 64 bits
        return json.dumps(document).encode()
