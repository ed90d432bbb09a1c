"""Turns a GraphQLRequest into a GraphQLResponse over HTTP/1.1: an upstream that runs as a process of its own.

Called by app. Raw asyncio under httptools instead of an HTTP client library: it carries every request, and a general
client costs more than all the rest of the gateway together. For the same reason an answer that comes whole and simple,
as those of our services do, goes past the parser.

A long list comes in chunks and goes on as it comes, if whoever asked takes it so; then its connection and its place are
given back when the last chunk is here, not when it is sent.
"""

import asyncio
import base64
import re
import ssl
import sys
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import cast
from urllib.parse import unquote, urlsplit

import httptools

from server_core.activity import sent_on
from server_core.config import Settings
from server_core.deadlines import Deadlines
from server_core.errors import ConfigError, Overloaded, ServerError, Unavailable
from server_core.gate import Gate
from server_core.spool import MOST_BYTES, PATIENCE_SECONDS, Spool
from server_core.wire import PLAIN, End, GraphQLRequest, GraphQLResponse, ServiceStatus, Watcher
from services.gateway.live_upstream import LiveUpstream

STATUS_SECONDS = 3.0
"""Longest wait for what a service says of itself; longer than it waits for its database."""

IDLE_SECONDS = 2.0
"""A connection unused for longer is not used again."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_SIMPLE = re.compile(
    rb"HTTP/1\.1 200(?: [^\r\n]*+)?\r\n"
    rb"(?:(?!content-length|transfer-encoding|connection:(?! *keep-alive\r))[!#-9A-Z^-z|~]++:[^\r\n]*+\r\n)*+"
    rb"content-length: *([0-9]{1,9})\r\n"
    rb"(?:(?!content-length|transfer-encoding|connection:(?! *keep-alive\r))[!#-9A-Z^-z|~]++:[^\r\n]*+\r\n)*+"
    rb"\r\n",
    re.IGNORECASE,
)
"""The head of an answer that needs no parser: a length, no other framing, and the connection is kept."""

_PLAIN = b"\r\n%b: %b\r\n" % PLAIN
_UNSAID = "{ __typename }"
_LARGEST_STATUS = 10_000


class AnswerLost(ServerError):
    """The connection broke; whether the request was carried out is not known."""


class HttpUpstream:
    """A LiveService behind a URL, over a pool of kept connections.

    A request is sent a second time only if the first cannot have had an effect: its connection was never opened, or
    it only reads and a reused connection broke before a byte of the answer came.

    Args:
        url: http or https, with path.
        name: what messages call the service.
        connections: most requests in flight; others wait.
        connect_timeout: seconds to wait for a connection, or for a place in the pool.
        answer_timeout: seconds to wait for an answer.
        operations_per_socket: most subscriptions on one WebSocket to the service.
        idle_seconds: a connection unused for longer is not used again; must be less than the service keeps it open,
            so that it does not close under a mutation.
        held: see Spool.most.
        patience: see Spool.

    Attributes:
        live: the subscriptions.

    Raises:
        ConfigError: the URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "upstream",
        connections: int = 64,
        operations_per_socket: int = 100,
        connect_timeout: float = 5.0,
        answer_timeout: float = 60.0,
        idle_seconds: float = IDLE_SECONDS,
        held: int = MOST_BYTES,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._name = name
        self._spool = partial(Spool, most=held, patience=patience)
        self._connect_timeout = connect_timeout
        self._idle_seconds = idle_seconds
        self._idle: list[_Connection] = []
        self._busy = Deadlines[_Connection](answer_timeout, _Connection.expire)
        self._places = Gate(
            places=connections, waiting=sys.maxsize, seconds=connect_timeout, message=f"The {name} service is too busy."
        )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"The URL of the {name} service cannot be used: {error}.") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"The URL of the {name} service must start with http:// or https:// and name a host.")
        self._host = parts.hostname
        self._port = port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self.live = LiveUpstream(
            parts._replace(scheme="wss" if self._ssl else "ws").geturl(),
            name=name,
            per_line=operations_per_socket,
            connect_timeout=connect_timeout,
        )
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = [f"Host: {parts.netloc.rpartition('@')[2]}"]
        if parts.username is not None:
            credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            head.append(f"Authorization: Basic {base64.b64encode(credentials.encode()).decode()}")
        head.append("Accept: application/json")
        self._head = "\r\n".join([f"POST {target} HTTP/1.1", *head, "Content-Type: application/json", ""]).encode(
            "latin-1", "replace"
        )
        self._ready = "\r\n".join(["GET /ready HTTP/1.1", *head, "Connection: close", "", ""]).encode("latin-1")

    async def start(self) -> None:
        """Do nothing: connections are opened when they are needed."""

    async def stop(self) -> None:
        """End the subscriptions and close all connections; what is still under way on them fails."""
        await self.live.stop()
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._busy.close()
        self._idle.clear()

    async def status(self) -> ServiceStatus:
        """Ask the service how it is doing, past the requests that wait for a place in the pool.

        Raises:
            ServerError: it cannot be reached, or does not answer in time.
        """
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                response = await self._ask(await self._connect(), self._ready)
        except (TimeoutError, _Late) as error:
            raise Unavailable(f"The {self._name} service does not say in time how it is doing.") from error
        except _Broken as error:
            raise Unavailable(f"The {self._name} service does not say how it is doing.") from error
        if len(response.body) <= _LARGEST_STATUS:
            try:
                return ServiceStatus.read(response.body)
            except (ValueError, RecursionError):
                pass
        # It is older, or behind something that shows no more than its endpoint: then that must do.
        answer = await self.execute(GraphQLRequest(query=_UNSAID, read_only=True))
        return ServiceStatus(ready=answer.status == 200 and answer.body.startswith(b'{"data"'))

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> End:
        """Begin a subscription, or join those who asked for the same; return how to end it."""
        return self.live.subscribe(request, watcher)

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        """Send one operation and wait for its answer, whatever its status; or for the beginning of one in chunks.

        Raises:
            Unavailable: it was certainly not executed: no connection, or no free place in the pool.
            AnswerLost: the connection broke; it may have been executed.
            ServerError: there is no answer, and the operation may have been executed.
        """
        payload = self._payload(request)
        if not self._places.enter_at_once():
            try:
                await self._places.enter()
            except Overloaded as error:
                raise Unavailable(error.message) from error
        chunks = None
        try:
            connection = self._kept()
            fresh = connection is None
            try:
                response = await self._ask(connection or await self._connect(), payload, chunked=request.chunked)
                chunks = response.chunks
                return response
            except _Broken as broken:
                if fresh or broken.begun or not request.read_only:
                    raise AnswerLost(
                        f"The connection to the {self._name} service was lost; the request may have been carried out."
                    ) from broken
            try:
                response = await self._ask(await self._connect(), payload, chunked=request.chunked)
                chunks = response.chunks
                return response
            except _Broken as broken:
                raise AnswerLost(f"The connection to the {self._name} service was lost.") from broken
        except _Late as error:
            raise ServerError(
                f"The {self._name} service did not answer in time; the request may have been carried out."
            ) from error
        finally:
            if chunks is None:
                self._places.leave()
            else:
                chunks.when_over(self._places.leave)
                chunks.give_way(self._places.is_waited_for)

    def _payload(self, request: GraphQLRequest) -> bytes:
        body = request.body()
        own = sent_on()
        if request.headers or len(own) != 1:
            lines = _lines({**request.headers, **own})
        else:  # as for each query; activity sees to it that this one is fit
            lines = f"x-request-id: {own['x-request-id']}\r\n".encode()
        return b"%bContent-Length: %d\r\n%b\r\n%b" % (self._head, len(body), lines, body)

    async def _ask(self, connection: "_Connection", payload: bytes, *, chunked: bool = False) -> GraphQLResponse:
        """Send a request and wait for the whole answer, or the beginning of one in chunks; raises _Broken, or _Late."""
        self._busy.begin(connection)
        chunks = None
        try:
            response = await connection.send(payload, chunked=chunked)
            chunks = response.chunks
            return response
        finally:
            if chunks is None:
                self._answered(connection)
            else:
                chunks.when_over(partial(self._answered, connection))

    def _answered(self, connection: "_Connection") -> None:
        """Keep a connection whose answer is complete, or close it."""
        self._busy.end(connection)
        connection.done()
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()

    def _kept(self) -> "_Connection | None":
        now = monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and now - connection.used_at < self._idle_seconds:
                return connection
            connection.close()
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop, self._busy, self._spool), self._host, self._port, ssl=self._ssl
                )
        except OSError as error:  # TimeoutError is one
            raise Unavailable(f"The {self._name} service cannot be reached.") from error
        return connection


def data_upstream(settings: Settings) -> HttpUpstream:
    """Return the data API as settings say where it is."""
    return HttpUpstream(
        settings.gateway.data_url,
        name="data",
        connections=settings.gateway.data_connections,
        connect_timeout=settings.gateway.connect_timeout_seconds,
        answer_timeout=settings.gateway.data_timeout_seconds,
        operations_per_socket=settings.live.max_operations_per_socket,
    )


def actions_upstream(settings: Settings) -> HttpUpstream:
    """Return the actions as settings say where they are."""
    return HttpUpstream(
        settings.gateway.graphql_url,
        name="actions",
        connections=settings.gateway.graphql_connections,
        connect_timeout=settings.gateway.connect_timeout_seconds,
        answer_timeout=settings.gateway.graphql_timeout_seconds,
        idle_seconds=min(IDLE_SECONDS, settings.graphql.keep_alive_seconds / 2),
    )


def _lines(headers: Mapping[str, str]) -> bytes:
    """Write headers; those are left out that would break the frame of the request, or have it refused: on a WebSocket
    they are just text.
    """
    return "".join(
        f"{name}: {value}\r\n"
        for name, value in headers.items()
        if _NAME.fullmatch(name) and (value.isprintable() or not _FORBIDDEN_IN_VALUES.search(value))
    ).encode("latin-1", "replace")


class _Broken(Exception):
    """The exchange cannot be completed on this connection."""

    def __init__(self, reason: str, *, begun: bool) -> None:
        super().__init__(reason)
        self.begun = begun


class _Late(Exception):
    """The time for an answer is over."""


class _Connection(asyncio.Protocol):
    """One connection: one request at a time. Also the callbacks of the parser of its answers.

    Args:
        loop: the event loop.
        busy: has it expire when an answer takes too long, or the next chunk of one.
        make_spool: makes what chunks lie in.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, busy: "Deadlines[_Connection]", make_spool: Callable[..., Spool]
    ) -> None:
        self.loop = loop
        self._busy = busy
        self._make_spool = make_spool
        self.used_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[GraphQLResponse] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._chunks: list[bytes] = []
        self._begun = False
        self._framed = False
        self._headed = False
        self._keep = False
        self._chunked = False
        self._plain = False
        self._spool: Spool | None = None
        self._pausing: asyncio.Task[None] | None = None

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last answer is complete, nothing else came, nobody closed."""
        return self._keep and self._transport is not None and not self._transport.is_closing()

    def send(self, payload: bytes, *, chunked: bool) -> "asyncio.Future[GraphQLResponse]":
        """Send a request; return what becomes its answer, or _Broken, or _Late. `done` comes after it.

        Args:
            payload: head and body.
            chunked: a long answer is wanted as it comes.
        """
        self._chunked = chunked
        self._answer = answer = self.loop.create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(_Broken("closed", begun=False))
            return answer
        self._begun = self._keep = self._headed = False
        self._parser = None
        self._transport.write(payload)
        return answer

    def done(self) -> None:
        """Take notice that nobody waits for an answer any more."""
        self._answer = None

    def expire(self) -> None:
        """Wait for the answer no longer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_Late())
        elif self._spool is not None:
            self._fail("no chunk for too long")

    def close(self) -> None:
        """Close without waiting for anything."""
        self._keep = False
        if self._transport is not None:
            self._transport.abort()

    def _reset(self) -> None:
        self._chunks = []
        self._framed = self._headed = self._plain = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's; create_connection makes only this kind.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or answer.done():
            if self._spool is None:
                self.close()  # nobody asked: what comes next could be taken for the answer to the next request
                return
        elif not self._begun:
            self._begun = True
            if self._whole(data, answer):
                return
            self._reset()
            self._parser = httptools.HttpResponseParser(self)
        assert self._parser is not None  # noqa: S101 - the first piece made it
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")

    def _whole(self, data: bytes, answer: "asyncio.Future[GraphQLResponse]") -> bool:
        """Take an answer that came in one piece, as most do, past the parser; tell whether it was one."""
        head = _SIMPLE.match(data)
        if head is None or int(head[1]) != len(data) - head.end() or self._transport is None:
            return False
        self._keep = self._transport.get_write_buffer_size() == 0
        self.used_at = monotonic()
        plain = data.find(_PLAIN, 0, head.end()) >= 0
        answer.set_result(GraphQLResponse(body=data[head.end() :], plain=plain))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep = False
        if self._headed and not self._framed and exc is None:
            self._complete()  # an answer without a length ends with the connection
        else:
            self._fail("connection closed")

    def _fail(self, reason: str) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.fail(_Broken(reason, begun=True))
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_Broken(reason, begun=self._begun))
        self.close()

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done() and self._parser is not None:
            status = self._parser.get_status_code()
            plain = self._plain and status == HTTPStatus.OK
            self._answer.set_result(GraphQLResponse(body=b"".join(self._chunks), status=status, plain=plain))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._framed = True
            self._chunked = self._chunked and name == b"transfer-encoding"
        elif (name, value) == PLAIN:
            self._plain = True

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_body(self, body: bytes) -> None:
        spool = self._spool
        if spool is None:
            if not self._begins_list():
                self._chunks.append(body)
                return
            assert self._answer is not None  # noqa: S101 - _begins_list has looked
            spool = self._spool = self._make_spool(stop=self.close)
            self._answer.set_result(GraphQLResponse(body=b"", plain=True, chunks=spool))
        spool.push(body)
        transport = self._transport
        if self._pausing is None and transport is not None and not transport.is_closing():
            self._busy.begin(self)
            if spool.full:
                transport.pause_reading()
                self._busy.end(self)
                self._pausing = self.loop.create_task(self._resume(spool, transport))

    def _begins_list(self) -> bool:
        """Tell whether what comes now is the beginning of a long answer to be passed on as it comes."""
        return (
            self._chunked
            and self._framed
            and self._plain
            and not self._chunks
            and self._parser is not None
            and self._parser.get_status_code() == HTTPStatus.OK
            and self._answer is not None
            and not self._answer.done()
        )

    async def _resume(self, spool: Spool, transport: asyncio.Transport) -> None:
        """Read on when there is room."""
        await spool.room()
        self._pausing = None
        if not transport.is_closing():
            self._busy.begin(self)
            transport.resume_reading()

    def on_message_complete(self) -> None:
        parser, transport, spool = self._parser, self._transport, self._spool
        if parser is None or transport is None or (spool is None and (self._answer is None or self._answer.done())):
            self.close()
            return
        if parser.get_status_code() < 200:  # 100 Continue and its like: the answer is still to come
            self._reset()
            return
        self._keep = parser.should_keep_alive() and transport.get_write_buffer_size() == 0
        self.used_at = monotonic()
        if spool is None:
            self._complete()
        else:
            self._spool = None
            if self._pausing is not None:
                self._pausing.cancel()
                self._pausing = None
                transport.resume_reading()
            spool.end()
