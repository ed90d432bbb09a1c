"""Turns HTTP into operations and their answers into HTTP. The ASGI application inside app; asks a Gateway.

Plain ASGI, without a framework's request and response objects, because every request of every client passes here
(data-api.md §3.1).
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qsl
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from server_core.config import GatewaySettings
from server_core.observe import server_version
from server_core.wire import GraphQLRequest, GraphQLResponse
from services.gateway.body import check_content_type, inflate, read_body, read_query, too_large
from services.gateway.refusal import INTERNAL, Refusal

_JSON = "application/json; charset=utf-8"
_METHODS = "GET, POST, OPTIONS"
_PLAYGROUND = Path(__file__).with_name("playground.html")
_log = logging.getLogger(__name__)


class Answerer(Protocol):
    """What the edge needs of the gateway."""

    async def answer(self, request: GraphQLRequest, *, reading: bool = False) -> GraphQLResponse:
        """Answer one operation or raise Refusal."""

    async def ready(self) -> dict[str, bool]:
        """Tell which upstreams answer."""


class _Reply(Exception):
    """A complete HTTP answer that is not an operation's."""

    def __init__(self, status: int, body: bytes, media: str, headers: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.media = media
        self.headers = headers


class Edge:
    """Answers every path: POST for operations, GET for queries, health and the query page."""

    def __init__(self, settings: GatewaySettings, gateway: Answerer) -> None:
        self._settings = settings
        self._gateway = gateway
        self._version = server_version()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; a WebSocket is turned away."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status, media, extra = 200, _JSON, list[tuple[str, str]]()
        try:
            body = await self._answer(scope, headers, receive)
        except Refusal as refusal:
            status, body, extra = refusal.status, refusal.response().body, list(refusal.headers)
        except _Reply as reply:
            status, body, media, extra = reply.status, reply.body, reply.media, list(reply.headers)
        except _Gone:
            return
        await _send(send, status, body, media, extra)

    async def _answer(self, scope: Scope, headers: dict[str, str], receive: Receive) -> bytes:
        method = scope["method"]
        forwarded = {name: value for name, value in headers.items() if name.startswith("x-prefect")}
        if method == "POST":
            check_content_type(headers.get("content-type", ""))
            received = await _received(receive, headers, self._settings.body_limit_bytes)
            body = inflate(received, headers.get("content-encoding", ""), self._settings.body_limit_bytes)
            operations = read_body(body, forwarded)
            if isinstance(operations, list):
                return await self._batch(operations)
            return (await self._execute(operations)).body
        if method == "GET":
            return await self._get(scope, headers, forwarded)
        if method == "OPTIONS":
            raise _Reply(204, b"", "", _preflight(headers))
        raise Refusal.plain(f"{method} is not supported here.", status=405, headers=[("allow", _METHODS)])

    async def _get(self, scope: Scope, headers: dict[str, str], forwarded: dict[str, str]) -> bytes:
        path = scope["path"]
        if path.endswith("/.well-known/apollo/server-health"):
            raise _Reply(200, b'{"status":"pass"}', "application/health+json")
        parameters = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
        if parameters.get("query", "").strip():
            return (await self._execute(read_query(parameters, forwarded), reading=True)).body
        if path.endswith("/health"):
            return json.dumps({"status": "ok", "version": self._version}).encode()
        if path.endswith("/ready"):
            services = await self._gateway.ready()
            document = {"status": "ok" if all(services.values()) else "unavailable", "services": services}
            raise _Reply(200 if all(services.values()) else 503, json.dumps(document).encode(), _JSON)
        if self._settings.playground and "text/html" in headers.get("accept", ""):
            raise _Reply(200, _PLAYGROUND.read_bytes(), "text/html; charset=utf-8")
        raise _Reply(400, b"GET query missing.", "text/plain; charset=utf-8")

    async def _batch(self, operations: Sequence[GraphQLRequest | Refusal]) -> bytes:
        """Answer a batch, all members at once; each one's failure is its own."""
        members = await asyncio.gather(*map(self._member, operations))
        refusals = [each for each in members if isinstance(each, Refusal)]
        if len(refusals) == len(members) and all(each.status == 503 for each in refusals):
            raise refusals[0]  # the server is not ready for any of it: the client shall send the whole again
        return (
            b"[" + b",".join((each.response() if isinstance(each, Refusal) else each).body for each in members) + b"]"
        )

    async def _member(self, operation: GraphQLRequest | Refusal) -> GraphQLResponse | Refusal:
        if isinstance(operation, Refusal):
            return operation
        try:
            return await self._execute(operation)
        except Refusal as refusal:
            return refusal

    async def _execute(self, request: GraphQLRequest, *, reading: bool = False) -> GraphQLResponse:
        try:
            return await self._gateway.answer(request, reading=reading)
        except Refusal:
            raise
        except Exception:  # a defect of the gateway: masked, and 200 because an upstream may have committed
            incident = uuid4().hex
            _log.exception("The gateway failed to answer.", extra={"incident": incident})
            raise Refusal.plain(
                f"The server failed to answer this request (incident {incident}).", code=INTERNAL, status=200
            ) from None


class _Gone(Exception):
    """The client left before its request was complete."""


async def _received(receive: Receive, headers: dict[str, str], limit: int) -> bytes:
    """Read the body, and no more of it than the limit."""
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise too_large(limit)
    pieces: list[bytes] = []
    held = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        piece = message.get("body", b"")
        held += len(piece)
        if held > limit:
            raise too_large(limit)
        pieces.append(piece)
        if not message.get("more_body", False):
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _preflight(headers: dict[str, str]) -> list[tuple[str, str]]:
    """Allow what the browser asks for: the UI sends headers that nobody would think of (data-api.md §3.1)."""
    allowed = [("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE")]
    asked = headers.get("access-control-request-headers")
    if asked:
        allowed += [("access-control-allow-headers", asked), ("vary", "Access-Control-Request-Headers")]
    return allowed


async def _send(send: Send, status: int, body: bytes, media: str, extra: Iterable[tuple[str, str]]) -> None:
    headers = [(b"access-control-allow-origin", b"*"), (b"content-length", str(len(body)).encode())]
    if media:
        headers.append((b"content-type", media.encode()))
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in extra]
    if status == 204:
        headers = [header for header in headers if header[0] != b"content-length"]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
