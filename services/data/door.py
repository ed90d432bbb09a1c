"""HTTP → operations for the data service and their answers → HTTP. What app serves at its GraphQL paths.

Plain ASGI, as the gateway's edge: requests come here straight, without going through a framework.
"""

import asyncio
from typing import Final, Protocol

from starlette.types import Receive, Scope, Send

from server_core.answering import send_answer, send_chunks
from server_core.departure import Departed, Departure, Departures
from server_core.errors import InvalidInput
from server_core.receiving import BodyIncomplete, BodyTooLarge, receive_body
from server_core.wire import PLAIN, BodyLimits, GraphQLRequest, GraphQLResponse, errors_body, parse_body

RETRY_AFTER: Final = b"2"
"""Seconds after which a request that found the service busy may come again."""

_JSON: Final = b"application/json"
_GRAPHQL_JSON: Final = b"application/graphql-response+json"
_NOBODY: Final = GraphQLResponse(body=b"null")


class Answerer(Protocol):
    """What the door needs of the service."""

    async def execute(self, request: GraphQLRequest, departure: Departure | None = None) -> GraphQLResponse:
        """Answer one operation or raise Departed, when the client of a query has left."""


class Door:
    """Answers POST with one operation or a batch of them.

    Args:
        service: answers operations.
        body_limit: bytes of the largest body.
        always_ok: whether errors are told with status 200 (data-api.md §2.6).
    """

    def __init__(self, service: Answerer, *, body_limit: int, always_ok: bool) -> None:
        self._service = service
        self._limits = BodyLimits(body=body_limit, logs=0)
        self._always_ok = always_ok
        self._departures = Departures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        content_type = accept = b""
        for name, value in scope["headers"]:
            if name == b"content-type":
                content_type = value
            elif name == b"accept":
                accept = accept + b"," + value if accept else value
        answer = await self._answer(content_type or _JSON, receive, chunked=scope["http_version"] != "1.0")
        status, body = answer.status, answer.body
        media = _GRAPHQL_JSON if _GRAPHQL_JSON in accept and _JSON not in accept else _JSON
        if answer.chunks is not None:
            departure = self._departures.of(receive)
            await send_chunks(send, answer.chunks, headers=[(b"content-type", media), PLAIN], departure=departure)
            return
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", media)]
        if answer.plain:
            headers.append(PLAIN)
        elif status == 503:
            headers.append((b"retry-after", RETRY_AFTER))
        await send_answer(scope, send, status=status, headers=headers, body=body)

    async def _answer(self, content_type: bytes, receive: Receive, *, chunked: bool) -> GraphQLResponse:
        if not content_type.lower().startswith(_JSON):
            return _refusal(415, "the content type must be application/json", "not-supported")
        try:
            operations = parse_body(await receive_body(receive, self._limits), exact=True)
        except BodyTooLarge as error:
            return _refusal(413, error.message, "payload-too-large")
        except BodyIncomplete as error:
            return _refusal(400, error.message, "invalid-json")
        except InvalidInput as error:
            return _refusal(200 if self._always_ok else 400, error.message, "invalid-json")
        departure = self._departures.of(receive)
        try:
            if isinstance(operations, list):
                answers = await asyncio.gather(*[self._member(operation, departure) for operation in operations])
                return GraphQLResponse(body=b"[" + b",".join([answer.body for answer in answers]) + b"]")
            operations.chunked = chunked
            answer = await self._member(operations, departure)
        finally:
            departure.over()
        return GraphQLResponse(body=answer.body) if self._always_ok and answer.status != 200 else answer

    async def _member(self, request: GraphQLRequest, departure: Departure) -> GraphQLResponse:
        """Answer one operation; mutations beside a query that was given up are carried out."""
        try:
            return await self._service.execute(request, departure)
        except Departed:
            return _NOBODY


def _refusal(status: int, message: str, code: str) -> GraphQLResponse:
    return GraphQLResponse(
        body=errors_body({"extensions": {"path": "$", "code": code}, "message": message}), status=status
    )
