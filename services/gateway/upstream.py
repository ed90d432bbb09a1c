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
from collections.abc import Mapping
from functools import partial
from time import monotonic
from urllib.parse import unquote, urlsplit

from server_core.activity import sent_on
from server_core.config import Settings
from server_core.deadlines import Deadlines
from server_core.errors import ConfigError, Overloaded, ServerError, Unavailable
from server_core.gate import Gate
from server_core.spool import MOST_BYTES, PATIENCE_SECONDS, Spool
from server_core.wire import End, GraphQLRequest, GraphQLResponse, ServiceStatus, Watcher
from services.gateway.live_upstream import LiveUpstream
from services.gateway.upstream_connection import Broken, Connection, Late

STATUS_SECONDS = 3.0
"""Longest wait for what a service says of itself; longer than it waits for its database."""

IDLE_SECONDS = 2.0
"""A connection unused for longer is not used again."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUES = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

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
        self._idle: list[Connection] = []
        self._busy = Deadlines[Connection](answer_timeout, Connection.expire)
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
        except (TimeoutError, Late) as error:
            raise Unavailable(f"The {self._name} service does not say in time how it is doing.") from error
        except Broken as error:
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
            except Broken as broken:
                if fresh or broken.begun or not request.read_only:
                    raise AnswerLost(
                        f"The connection to the {self._name} service was lost; the request may have been carried out."
                    ) from broken
            try:
                response = await self._ask(await self._connect(), payload, chunked=request.chunked)
                chunks = response.chunks
                return response
            except Broken as broken:
                raise AnswerLost(f"The connection to the {self._name} service was lost.") from broken
        except Late as error:
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

    async def _ask(self, connection: "Connection", payload: bytes, *, chunked: bool = False) -> GraphQLResponse:
        """Send a request and wait for the whole answer, or the beginning of one in chunks; raises Broken, or Late."""
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

    def _answered(self, connection: "Connection") -> None:
        """Keep a connection whose answer is complete, or close it."""
        self._busy.end(connection)
        connection.done()
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()

    def _kept(self) -> "Connection | None":
        now = monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and now - connection.used_at < self._idle_seconds:
                return connection
            connection.close()
        return None

    async def _connect(self) -> "Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop, self._busy, self._spool), self._host, self._port, ssl=self._ssl
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
