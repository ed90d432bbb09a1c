"""The door of the action service: turns any error into an entry of a response's `errors`. Called by app only.

Errors of server_core.errors keep their message and give `extensions.code`; GraphQL's own (syntax, validation,
coercion) keep theirs; anything else is a defect, so it is masked for the client and logged under the same id.
`extensions` is an object or absent, never null (actions.md §0.3).
"""

import logging
from typing import Any
from uuid import uuid4

from graphql import GraphQLError

from server_core.errors import InvalidInput, OutcomeUnknown, ServerError, Unavailable

logger = logging.getLogger(__name__)

MASKED = "An internal error occurred"


def error_entry(error: GraphQLError, *, code: str | None = None) -> dict[str, Any]:
    """Return the entry of one error: message, locations, path, extensions.

    Args:
        error: as graphql-core reports it.
        code: the `extensions.code` of GraphQL's own errors, e.g. `GRAPHQL_VALIDATION_FAILED`.
    """
    cause = _cause(error)
    if isinstance(cause, RecursionError):
        cause = InvalidInput("A value is nested too deeply.")  # its transaction was undone
    entry: dict[str, Any]
    if cause is None:
        entry = {"message": error.message}
    elif isinstance(cause, ServerError):
        entry = {"message": cause.message}
        code = cause.code
    else:
        error_id = str(uuid4())
        logger.error("unexpected error %s at %s", error_id, error.path, exc_info=cause, extra={"error_id": error_id})
        entry = {"message": f"{MASKED} ({error_id})."}
        code = ServerError.code
    if error.locations:
        entry["locations"] = [location.formatted for location in error.locations]
    if error.path:
        entry["path"] = error.path
    if code is not None:
        entry["extensions"] = {"code": code}
    return entry


def without_invitation(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of a mutation of which other fields were carried out, or may have been.

    A client sends a document again as a whole, those fields too, so nothing in it may have the code that invites it to.
    """
    for entry in entries:
        extensions = entry.get("extensions", {})
        if extensions.get("code") == Unavailable.code:
            extensions["code"] = OutcomeUnknown.code
    return entries


def server_error_entry(error: ServerError) -> dict[str, Any]:
    """Return the entry of an error that no field raised: the request itself was refused."""
    return {"message": error.message, "extensions": {"code": error.code}}


def _cause(error: GraphQLError) -> BaseException | None:
    """Return what a resolver raised, or None if GraphQL itself refused the value."""
    cause = error.original_error
    while isinstance(cause, GraphQLError):
        cause = cause.original_error
    return cause
