"""Turns HTTP into operations and their answers into HTTP. The ASGI application inside app; asks a Gateway.

Plain ASGI, without a framework's request and response objects, because every request of every client passes here.

Any path is GraphQL (data-api.md §3.1):

    POST       operations, one or a batch                                            200, 400, 413, 415, 503
    GET        `?query=`: a query; a browser gets the query page; health, /ready     200, 400, 405, 503
    HEAD       health and the page's files; else as other methods
    OPTIONS    CORS preflight                                                        204
    others                                                                           405

What a client did wrong is never a 5xx here: the legacy server answered 500 (text) to other content types and to empty
bodies and batches, and HTML to broken JSON; these are 415 and 400 with `errors` in JSON, as everything else is.
"""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import parse_qsl
from uuid import uuid4

from starlette.types import Receive, Scope, Send

from server_core.activity import activity, current
from server_core.config import GatewaySettings
from server_core.departure import Departed, Departure, Departures
from server_core.observe import server_version
from server_core.wire import BEGINNING_BYTES, BodyLimits, GraphQLRequest, GraphQLResponse
from services.gateway.body import (
    beginning,
    check_content_type,
    check_encoding,
    inflate,
    read_body,
    read_query,
    too_large,
)
from services.gateway.playground import Playground
from services.gateway.refusal import INTERNAL, Refusal
from services.gateway.reply import Reply, prefers_html, send_reply
from services.gateway.watch import Report

_METHODS = "GET, POST, OPTIONS"
DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 10.0
_TEXT = "text/plain; charset=utf-8"
_log = logging.getLogger(__name__)


class Answerer(Protocol):
    """What the edge needs of the gateway."""

    async def answer(
        self, request: GraphQLRequest, *, reading: bool = False, departure: Departure | None = None
    ) -> GraphQLResponse:
        """Answer one operation or raise Refusal, or Departed when the client has left."""

    async def ready(self) -> Report:
        """Ask how the upstreams are doing."""

    def report(self) -> Report:
        """Tell how they were doing when they were asked last."""


class Edge:
    """Answers every path: POST for operations, GET for queries, health and the query page.

    Args:
        settings: `gateway.*`.
        gateway: answers operations.
        limits: largest bodies.
    """

    def __init__(self, settings: GatewaySettings, gateway: Answerer, *, limits: BodyLimits) -> None:
        self._settings = settings
        self._gateway = gateway
        self._limits = limits
        self._version = server_version()
        self._departures = Departures()
        self._playground = Playground() if settings.playground else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            reply = await self._answer(scope, headers, receive)
        except Refusal as refusal:
            reply = Reply(body=refusal.response().body, status=refusal.status, headers=refusal.headers)
        except _Gone:
            return
        accepted = headers.get("accept-encoding", "") if self._settings.compression else None
        await send_reply(send, reply, accepted=accepted, bodiless=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Reply:
        method = scope["method"]
        if method == "POST":
            operations = await self._operations(headers, receive)
            departure = self._departures.of(receive)
            try:
                if isinstance(operations, list):
                    return Reply(body=await self._batch(operations, departure))
                return Reply(body=(await self._execute(operations, departure)).body)
            finally:
                departure.over()
        if method == "OPTIONS":
            return Reply(body=b"", status=204, media="", headers=_preflight(headers))
        if method in ("GET", "HEAD"):
            page = await self._page(scope, headers)
            if page is not None:
                return page
        if method == "GET":
            parameters = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
            if not parameters.get("query", "").strip():
                return Reply(body=b"GET query missing.", status=400, media=_TEXT)
            departure = self._departures.of(receive)
            try:
                query = read_query(parameters, _passed_on(headers))
                return Reply(body=(await self._execute(query, departure, reading=True)).body)
            finally:
                departure.over()
        raise Refusal.plain(f"{method} is not supported here.", status=405, headers=[("allow", _METHODS)])

    async def _operations(
        self, headers: Mapping[str, str], receive: Receive
    ) -> GraphQLRequest | list[GraphQLRequest | Refusal]:
        check_content_type(headers.get("content-type", ""))
        encoding = check_encoding(headers.get("content-encoding", ""))
        received, limit = await _received(receive, headers, encoding, self._limits)
        body = inflate(received, encoding, limit)
        operations = read_body(body, _passed_on(headers))
        if not self._limits.fits(len(body), operations):
            raise too_large(self._limits.body)
        return operations

    async def _page(self, scope: Scope, headers: Mapping[str, str]) -> Reply | None:
        """Return what GET shows that is no operation, if the path or the client asks for that."""
        path = scope["path"]
        if path.endswith("/.well-known/apollo/server-health"):
            return Reply(body=b'{"status":"pass"}', media="application/health+json")
        if path.endswith("/health"):
            mismatch = self._gateway.report().mismatch
            health = {"status": "ok", "version": self._version} | ({"mismatch": mismatch} if mismatch else {})
            return Reply(body=json.dumps(health).encode())
        if path.endswith("/ready"):
            report = await self._gateway.ready()
            return Reply(body=json.dumps(report.document()).encode(), status=200 if report.ready else 503)
        if self._playground is not None:
            file = self._playground.file(path)
            if file is not None:
                return file
            if scope["method"] == "GET" and prefers_html(headers.get("accept", "")):
                return self._playground.page(scope.get("root_path", ""))
        return None

    async def _batch(self, operations: Sequence[GraphQLRequest | Refusal], departure: Departure) -> bytes:
        """Answer a batch, all members at once; each one's failure is its own."""
        members = await asyncio.gather(*(self._member(operation, departure) for operation in operations))
        refusals = [each for each in members if isinstance(each, Refusal)]
        if len(refusals) == len(members) and all(each.status == 503 for each in refusals):
            raise refusals[0]  # the server is not ready for any of it: the client shall send the whole again
        return (
            b"[" + b",".join((each.response() if isinstance(each, Refusal) else each).body for each in members) + b"]"
        )

    async def _member(self, operation: GraphQLRequest | Refusal, departure: Departure) -> GraphQLResponse | Refusal:
        if isinstance(operation, Refusal):
            return operation
        try:
            with activity(**current()):  # its own, so that its log lines do not name the runs of its neighbours
                return await self._execute(operation, departure)
        except Refusal as refusal:
            return refusal
        except _Gone:  # its neighbours may be mutations, which go on
            return Refusal.plain("The client has left.")

    async def _execute(
        self, request: GraphQLRequest, departure: Departure, *, reading: bool = False
    ) -> GraphQLResponse:
        try:
            return await self._gateway.answer(request, reading=reading, departure=departure)
        except Departed:
            raise _Gone from None
        except Refusal as refusal:
            raise refusal.to_client(request.headers.get("x-prefect-core-version", ""), self._version) from None
        except Exception:  # a defect of the gateway: masked, and 200 because an upstream may have committed
            error_id = uuid4().hex
            _log.exception("The gateway failed to answer.", extra={"error_id": error_id})
            raise Refusal.plain(
                f"The server failed to answer this request ({error_id}).", code=INTERNAL, status=200
            ) from None


class _Gone(Exception):
    """The client left before its request was complete, or its answer."""


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.startswith("x-prefect")}


async def _received(
    receive: Receive, headers: Mapping[str, str], encoding: str, limits: BodyLimits
) -> tuple[bytes, int]:
    """Read the body, and keep no more of it than its limit; return both.

    A length over the limit of logs is refused unread; one over the general limit, when it begins otherwise.
    """
    declared = headers.get("content-length", "")
    length = int(declared) if declared.isdigit() else 0
    if length > limits.most:
        if "expect" not in headers:
            await _drain(receive)
        raise too_large(limits.body)
    limit = None
    pieces: list[bytes] = []
    held = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        piece = message.get("body", b"")
        held += len(piece)
        pieces.append(piece)
        more = message.get("more_body", False)
        if limit is None and (held >= BEGINNING_BYTES or not more):
            limit = limits.at(beginning(b"".join(pieces), encoding))
        if limit is not None and max(held, length) > limit:
            pieces.clear()
            if more:
                await _drain(receive)
            raise too_large(limit)
        if not more:
            return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), limit or limits.body


async def _drain(receive: Receive) -> None:
    """Let a client finish what is refused, within bounds: one whose connection closes meanwhile sees no answer."""
    drained = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while drained < DRAIN_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                drained += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        pass


def _preflight(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Allow what the browser asks for: the UI sends headers that nobody would think of (data-api.md §3.1)."""
    allowed = [("access-control-allow-methods", "GET,HEAD,PUT,PATCH,POST,DELETE"), ("access-control-max-age", "600")]
    asked = headers.get("access-control-request-headers")
    if asked:
        allowed += [("access-control-allow-headers", asked), ("vary", "Access-Control-Request-Headers")]
    return allowed
