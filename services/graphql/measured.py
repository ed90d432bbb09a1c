"""Mutations of a schema → figures: how often, how long, with which outcome. Put on by app, once per service."""

from collections.abc import Callable
from inspect import isawaitable
from time import perf_counter
from typing import Any

from graphql import GraphQLError, GraphQLSchema
from prometheus_client import CollectorRegistry, Histogram

from server_core.errors import ServerError

SECONDS = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
SUCCESS = "SUCCESS"


def measure_mutations(schema: GraphQLSchema, registry: CollectorRegistry) -> None:
    """Let every root field of the schema's mutations note its time and outcome: SUCCESS, or the code of its error.

    Args:
        schema: changed in place.
        registry: where the figures are shown.
    """
    seconds = Histogram(
        "prefect_server_mutation_duration_seconds",
        "How long mutations took, by field and outcome: SUCCESS or the code of the error.",
        ["field", "outcome"],
        buckets=SECONDS,
        registry=registry,
    )
    if schema.mutation_type is not None:
        for name, field in schema.mutation_type.fields.items():
            if field.resolve is not None:
                field.resolve = _measured(name, field.resolve, seconds)


def _measured(name: str, resolve: Callable[..., Any], seconds: Histogram) -> Callable[..., Any]:
    async def measured(source: Any, info: Any, **arguments: Any) -> Any:
        began = perf_counter()
        outcome = SUCCESS
        try:
            result = resolve(source, info, **arguments)
            return await result if isawaitable(result) else result
        except Exception as error:
            outcome = _code(error)
            raise
        finally:
            seconds.labels(name, outcome).observe(perf_counter() - began)

    return measured


def _code(error: Exception) -> str:
    """Return the code that clients are given for an error."""
    cause: BaseException | None = error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause.code if isinstance(cause, ServerError) else ServerError.code
