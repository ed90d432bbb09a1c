"""A request that is turned away before any upstream is asked, as a value that every stage may raise."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import GraphQLError

from server_core.wire import GraphQLResponse

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
INTERNAL = "INTERNAL_SERVER_ERROR"
BAD_REQUEST = "BAD_REQUEST"
_LONGEST_VERSION = 40
UNSUPPORTED = "UNSUPPORTED_MEDIA_TYPE"


_UNKNOWN = re.compile(
    r"Cannot query field |Unknown (?:argument|type|directive) |.*(?:is not defined by type| unknown field) ", re.DOTALL
)
"""How graphql-core says that something is not in the schema."""


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

    def to_client(self, client: str, server: str) -> "Refusal":
        """Return the refusal for a client that told its version, named where it asked for what is not in the schema.

        Args:
            client: its X-PREFECT-CORE-VERSION header; empty for others, which get the refusal as it is.
            server: this server's version.
        """
        if not client or not any(_UNKNOWN.match(entry["message"]) for entry in self.entries):
            return self
        client = client[:_LONGEST_VERSION]
        note = f" (The client is Prefect {client}, this server is {server}.)"
        entries = [
            {
                **entry,
                "message": entry["message"] + note,
                "extensions": {**entry["extensions"], "client_version": client, "server_version": server},
            }
            if _UNKNOWN.match(entry["message"])
            else entry
            for entry in self.entries
        ]
        return Refusal(entries, self.status, self.headers)

    def response(self) -> GraphQLResponse:
        """Return the refusal as an answer."""
        return GraphQLResponse(body=json.dumps({"errors": list(self.entries)}).encode(), status=self.status)


def _entry(error: GraphQLError, code: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"message": error.message}
    if error.locations:
        entry["locations"] = [place.formatted for place in error.locations]
    entry["extensions"] = {"code": code}
    return entry
