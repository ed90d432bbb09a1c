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

from server_core.activity import branch
from server_core.config import GatewaySettings
from server_core.departure import Departed, Departure, Departures
from server_core.observe import server_version
from server_core.receiving import BodyIncomplete, BodyTooLarge, receive_body
from server_core.wire import BodyLimits, GraphQLRequest, GraphQLResponse, forwarded_headers
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
from services.gateway.reply import Reply, prefers_html, send_list, send_reply
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
        method = scope["method"]
        head: dict[bytes, bytes] = dict(scope["headers"])
        departure = None
        try:
            if method == "POST":
                operations = await self._operations(head, receive)
                departure = self._departures.of(receive)
                if isinstance(operations, list):
                    reply = Reply(body=await self._batch(operations, departure))
                else:
                    operations.chunked = scope["http_version"] != "1.0"
                    try:
                        response = await self._gateway.answer(operations, departure=departure)
                    except Exception as error:
                        raise self._failure(operations, error) from None
                    if response.chunks is not None:
                        accepted = _text(head, b"accept-encoding") if self._settings.compression else None
                        await send_list(send, response.chunks, accepted=accepted, departure=departure)
                        return
                    reply = Reply(body=response.body)
            else:
                reply = await self._other(scope, _texts(head), receive)
        except Refusal as refusal:
            reply = Reply(body=refusal.response().body, status=refusal.status, headers=refusal.headers)
        except _Gone:
            return
        finally:
            if departure is not None:
                departure.over()
        accepted = _text(head, b"accept-encoding") if self._settings.compression else None
        await send_reply(scope, send, reply, accepted=accepted, bodiless=method == "HEAD")

    async def _other(self, scope: Scope, headers: dict[str, str], receive: Receive) -> Reply:
        method = scope["method"]
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
            query = read_query(parameters, forwarded_headers(headers))
            departure = self._departures.of(receive)
            try:
                return Reply(body=(await self._gateway.answer(query, reading=True, departure=departure)).body)
            except Exception as error:
                raise self._failure(query, error) from None
            finally:
                departure.over()
        raise Refusal.plain(f"{method} is not supported here.", status=405, headers=[("allow", _METHODS)])

    async def _operations(
        self, head: dict[bytes, bytes], receive: Receive
    ) -> GraphQLRequest | list[GraphQLRequest | Refusal]:
        check_content_type(_text(head, b"content-type"))
        encoding = check_encoding(_text(head, b"content-encoding")) if b"content-encoding" in head else ""
        declared = head.get(b"content-length", b"")
        try:
            if encoding:
                body = await receive_body(
                    receive, self._limits, declared=declared, beginning=lambda first: beginning(first, encoding)
                )
                body = inflate(body, encoding, self._limits.at(beginning(body, encoding)))
            else:
                body = await receive_body(receive, self._limits, declared=declared)
        except BodyTooLarge as error:
            if error.more and (error.begun or b"expect" not in head):
                await _drain(receive)
            raise too_large(error.limit) from error
        except BodyIncomplete as error:
            raise _Gone from error
        operations = read_body(body, _passed_on(head))
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
            with branch():  # its own, so that its log lines do not name the runs of its neighbours
                return await self._gateway.answer(operation, departure=departure)
        except Exception as error:
            failure = self._failure(operation, error)
            # Who has left may have left neighbours that are mutations, which go on.
            return failure if isinstance(failure, Refusal) else Refusal.plain("The client has left.")

    def _failure(self, request: GraphQLRequest, error: Exception) -> "Refusal | _Gone":
        """Return how the client of an operation is told, or not, what its answering raised."""
        if isinstance(error, Departed):
            return _Gone()
        if isinstance(error, Refusal):
            return error.to_client(request.headers.get("x-prefect-core-version", ""), self._version)
        # A defect of the gateway: masked, and 200 because an upstream may have committed.
        error_id = uuid4().hex
        _log.error("The gateway failed to answer.", exc_info=error, extra={"error_id": error_id})
        return Refusal.plain(f"The server failed to answer this request ({error_id}).", code=INTERNAL, status=200)


class _Gone(Exception):
    """The client left before its request was complete, or its answer."""


def _text(head: Mapping[bytes, bytes], name: bytes) -> str:
    return head.get(name, b"").decode("latin-1")


def _texts(head: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in head.items()}


def _passed_on(head: Mapping[bytes, bytes]) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1") for name, value in head.items() if name.startswith(b"x-prefect")
    }


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
