"""A request that is turned away before any upstream is asked, as a value that every stage may raise."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import GraphQLError

from server_core.wire import GraphQLResponse

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
INTERNAL = "INTERNAL_SERVER_ERROR"
BAD_REQUEST = "BAD_REQUEST"


class Refusal(Exception):
    """A request is refused; nothing was executed (data-api.md §3.3).

    Args:
        entries: the `errors` of the answer.
        status: the HTTP status, unless the request is a member of a batch.
        headers: further HTTP headers of the answer.
    """

    def __init__(
        self, entries: Sequence[Mapping[str, Any]], status: int = 400, headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(entries[0]["message"] if entries else "")
        self.entries = entries
        self.status = status
        self.headers = headers

    @classmethod
    def plain(
        cls, message: str, *, code: str = BAD_REQUEST, status: int = 400, headers: Sequence[tuple[str, str]] = ()
    ) -> "Refusal":
        """Make a refusal with one message that points at no place in a document."""
        return cls([{"message": message, "extensions": {"code": code}}], status, headers)

    @classmethod
    def of(cls, errors: Sequence[GraphQLError], code: str) -> "Refusal":
        """Make a refusal out of what graphql-core found, one entry per problem, all with one code."""
        return cls([_entry(error, code) for error in errors])

    def response(self) -> GraphQLResponse:
        """Return the refusal as an answer."""
        return GraphQLResponse(body=json.dumps({"errors": list(self.entries)}).encode(), status=self.status)


def _entry(error: GraphQLError, code: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": error.message}
    if error.locations:
        entry["locations"] = [place.formatted for place in error.locations]
    entry["extensions"] = {"code": code}
    return entry
