"""Mutations → figures of what becomes of them. Made by app, once per service."""

from collections.abc import Callable
from inspect import isawaitable
from time import perf_counter
from typing import Any

from graphql import GraphQLError, GraphQLSchema
from prometheus_client import CollectorRegistry

from server_core.errors import ServerError
from server_core.metrics import Durations

SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
SUCCESS = "SUCCESS"


class MutationFigures:
    """The figures of the mutations of a process.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Durations(
            "prefect_server_mutation_duration_seconds",
            "How long mutations took, by field and outcome: SUCCESS or the code of the error.",
            ["field", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )

    def note(self, field: str, seconds: float, outcome: str = SUCCESS) -> None:
        """Note how long a mutation took, and the code of its error."""
        self._seconds.observe((field, outcome), seconds)

    def measure(self, schema: GraphQLSchema) -> None:
        """Let every root field of a schema's mutations be noted; the schema is changed in place."""
        if schema.mutation_type is not None:
            for name, field in schema.mutation_type.fields.items():
                if field.resolve is not None:
                    field.resolve = self._measured(name, field.resolve)

    def _measured(self, name: str, resolve: Callable[..., Any]) -> Callable[..., Any]:
        async def measured(source: Any, info: Any, **arguments: Any) -> Any:
            began = perf_counter()
            outcome = SUCCESS
            try:
                result = resolve(source, info, **arguments)
                return await result if isawaitable(result) else result
            except Exception as error:
                outcome = error_code(error)
                raise
            finally:
                self.note(name, perf_counter() - began, outcome)

        return measured


def error_code(error: Exception) -> str:
    """Return the code that clients are given for an error."""
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause.code if isinstance(cause, ServerError) else ServerError.code
