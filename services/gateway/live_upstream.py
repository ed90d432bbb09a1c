"""Subscriptions at an upstream that runs as a process of its own, over WebSockets. Called by upstream.

    LiveUpstream    who asks for the same shares one subscription; as few lines as hold them
    _Line           one WebSocket to the service, kept open while there is a subscription on it

A line that breaks is made anew, sooner first and then every few seconds, and its subscriptions are begun again. That
loses nothing, because each result is complete; what has not changed meanwhile is not told twice. Only a subscription
that has had no result yet is ended with an error when the service cannot be reached.
"""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from server_core.errors import Unavailable
from server_core.graphql_ws.audience import Audience
from server_core.graphql_ws.socket import first_done
from server_core.wire import End, GraphQLRequest, Watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PROTOCOL: Final = "graphql-transport-ws"
IDLE_SECONDS: Final = 5.0
RETRY_SECONDS: Final = (0.1, 2.0)
BEAT_SECONDS: Final = 10.0
"""Pause between two pings of the WebSocket; an answer that takes as long means that the line is dead."""

_NEXT: Final = re.compile(r'\{"id":"(\d+)","type":"next","payload":(?=\{)')
"""How our own service begins a result: the rest is its text and a brace."""

_log = logging.getLogger(__name__)


class LiveUpstream:
    """The subscriptions at a service behind a URL.

    Args:
        url: ws or wss, with path.
        name: what messages call the service.
        per_line: most subscriptions on one WebSocket; the service must allow as many.
        connect_timeout: seconds to wait until the service is ready to take subscriptions.
        idle_seconds: how long a line without subscriptions is kept.
        retry_seconds: first and longest pause before a line is made anew.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        per_line: int,
        connect_timeout: float,
        idle_seconds: float = IDLE_SECONDS,
        retry_seconds: tuple[float, float] = RETRY_SECONDS,
    ) -> None:
        self.idle_seconds = idle_seconds
        self.retry_seconds = retry_seconds
        self._url = url
        self._name = name
        self._per_line = per_line
        self._connect_timeout = connect_timeout
        self._serial = count()
        self._shared: dict[str, _Shared] = {}
        self._lines: list[_Line] = []
        self._away = False

    @property
    def lines(self) -> int:
        """How many WebSockets there are, or are being made."""
        return len(self._lines)

    @property
    def subscriptions(self) -> int:
        """How many different subscriptions are open."""
        return len(self._shared)

    def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> End:
        """Begin a subscription, or join one with the same text and variables; return how to end it."""
        key = request.body().decode()
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _Shared(str(next(self._serial)), key)
            line = next((each for each in self._lines if len(each.held) < self._per_line), None)
            if line is None:
                line = _Line(self)
                self._lines.append(line)
            line.take(shared)
        shared.audience.add(watcher)
        return partial(self._leave, shared, watcher)

    async def stop(self) -> None:
        """End all, without a word."""
        lines, self._lines = self._lines, []
        for shared in self._shared.values():
            shared.audience.clear()
        self._shared.clear()
        for line in lines:
            line.task.cancel()
        await asyncio.gather(*(line.task for line in lines), return_exceptions=True)

    def unavailable(self) -> Unavailable:
        """Return the error of who asks while the service is away."""
        return Unavailable(f"The {self._name} service cannot be reached.")

    def forget(self, shared: "_Shared") -> None:
        """Note that a subscription has ended."""
        self._shared.pop(shared.payload, None)

    def give_up(self, line: "_Line") -> None:
        """Use a line no more; it may have been given up, or be stopped, already."""
        if line in self._lines:
            self._lines.remove(line)

    def away(self, error: Exception) -> None:
        """Note that a line is interrupted; one message until some line is there again."""
        if not self._away:
            self._away = True
            _log.warning("Subscriptions at the %s service are interrupted: %r", self._name, error)

    def back(self) -> None:
        """Note that a line is there."""
        if self._away:
            self._away = False
            _log.info("Subscriptions at the %s service go on.", self._name)

    @asynccontextmanager
    async def connected(self) -> "AsyncIterator[ClientConnection]":
        """Make a WebSocket on which subscriptions may begin.

        Raises:
            OSError, WebSocketException, ValueError: there is none.
        """
        async with asyncio.timeout(self._connect_timeout) as patience:
            async with connect(
                self._url,
                subprotocols=[Subprotocol(PROTOCOL)],
                compression=None,
                proxy=None,
                max_size=None,
                ping_interval=BEAT_SECONDS,
                ping_timeout=BEAT_SECONDS,
                open_timeout=None,
                close_timeout=1,
            ) as socket:
                if socket.subprotocol != PROTOCOL:
                    raise ValueError(f"it does not speak {PROTOCOL}")
                await socket.send('{"type":"connection_init"}')
                while _read(await socket.recv())["type"] != "connection_ack":
                    pass
                patience.reschedule(None)
                yield socket

    def _leave(self, shared: "_Shared", watcher: Watcher) -> None:
        if shared.audience.remove(watcher):
            self.forget(shared)
            if shared.line is not None:
                shared.line.drop(shared)


class _Shared:
    """One subscription at the service, for all who asked for it."""

    def __init__(self, id: str, payload: str) -> None:
        self.id = id
        self.payload = payload
        self.audience = Audience()
        self.line: _Line | None = None


class _Line:
    """One WebSocket to the service, and the subscriptions on it.

    Attributes:
        held: the subscriptions by id.
        task: keeps the socket, until there is nothing to keep it for.
    """

    def __init__(self, upstream: LiveUpstream) -> None:
        self.held: dict[str, _Shared] = {}
        self._upstream = upstream
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._heard = False
        # It outlives the request that made it, and serves others: what it logs is not about that one.
        self.task = asyncio.create_task(self._run(), name="live upstream", context=Context())

    def take(self, shared: _Shared) -> None:
        """Begin a subscription."""
        shared.line = self
        self.held[shared.id] = shared
        self._changed.set()
        self._hurry.set()

    def drop(self, shared: _Shared) -> None:
        """End a subscription."""
        self.held.pop(shared.id, None)
        self._changed.set()

    async def _run(self) -> None:
        first, longest = self._upstream.retry_seconds
        pause = first
        while True:
            connected = False
            self._heard = False
            self._hurry.clear()
            try:
                async with self._upstream.connected() as socket:
                    connected = True
                    self._upstream.back()
                    await first_done(self._listen(socket), self._keep(socket))
                return
            except (OSError, WebSocketException, ValueError) as error:
                if self.held:
                    self._upstream.away(error)
            except Exception:
                _log.exception("A subscription line failed.")
            if not connected:
                self._end_new()
            if not self.held:
                self._upstream.give_up(self)
                return
            if self._heard:
                pause = first
            try:
                async with asyncio.timeout(pause):
                    await self._hurry.wait()
            except TimeoutError:
                pass
            pause = min(pause * 2, longest)

    def _end_new(self) -> None:
        """End what has had no result: nobody knows when the service will be there."""
        error = self._upstream.unavailable()
        for shared in list(self.held.values()):
            if shared.audience.newest is None:
                self._end(shared, [{"message": error.message, "extensions": {"code": error.code}}])

    def _end(self, shared: _Shared, errors: list[Mapping[str, Any]]) -> None:
        self.held.pop(shared.id, None)
        self._upstream.forget(shared)
        shared.audience.end(errors)

    async def _keep(self, socket: ClientConnection) -> None:
        """Tell the service what is wanted; return when nothing has been for a while."""
        told: set[str] = set()
        while True:
            self._changed.clear()
            for id in told - self.held.keys():
                told.discard(id)
                await socket.send(json.dumps({"id": id, "type": "complete"}))
            for id, shared in list(self.held.items()):
                if id not in told:
                    told.add(id)
                    await socket.send(f'{{"id":"{id}","type":"subscribe","payload":{shared.payload}}}')
            try:
                async with asyncio.timeout(None if self.held else self._upstream.idle_seconds):
                    await self._changed.wait()
            except TimeoutError:
                if not self.held:
                    self._upstream.give_up(self)
                    return

    async def _listen(self, socket: ClientConnection) -> None:
        async for message in socket:
            match _read(message):
                case {"type": "next", "id": id, "payload": str(body)} if id in self.held:
                    self._heard = True
                    self.held[id].audience.tell(body)
                case {"type": "error", "id": id, "payload": list(errors)} if id in self.held:
                    self._end(self.held[id], errors)
                case {"type": "complete", "id": id} if id in self.held:
                    self._end(self.held[id], [])
                case {"type": "ping"}:
                    await socket.send('{"type":"pong"}')
        raise ConnectionResetError("the service closed the connection")


def _read(message: str | bytes) -> Mapping[str, Any]:
    """Decode a message; the payload of a result stays text.

    Raises:
        ValueError: it is none of the protocol's.
    """
    if isinstance(message, bytes):
        raise ValueError("a message is not text")
    begun = _NEXT.match(message)
    if begun is not None:
        return {"type": "next", "id": begun[1], "payload": message[begun.end() : -1]}
    document = json.loads(message)
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise ValueError("a message is not an object with a `type`")
    if document["type"] == "next":
        document["payload"] = json.dumps(document.get("payload"))
    return document
