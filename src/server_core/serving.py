"""An ASGI app → a server of uvicorn that bounds heads and takes leave of WebSocket clients. Used by all that serve one.

An answer that is whole (server_core.answering) leaves in one write: that is one system call, and one packet, where
uvicorn makes two.

Messages are not compressed: with many clients of one live query each would cost the time to compress the same result
again, in the event loop, and memory of its own. A proxy in front of the server is the better place.
"""

import os
import socket
from functools import partial
from http import HTTPStatus
from typing import Any, Final
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from server_core.answering import ANSWER_AT_ONCE, CUT_OFF, Headers
from server_core.deadlines import Deadlines

MOST_HEAD_BYTES: Final = 64 * 1024
"""A request line with headers that go on beyond this is refused; what comes in one piece with their beginning is not
counted."""

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


_TOLD: Final = frozenset({b"x-forwarded-for", b"x-forwarded-proto"})

JOINED_BYTES: Final = 4 * 1024
"""Shorter bodies are copied behind their head: that is quicker than to have the system gather both."""


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 that takes whole answers at once, and whose clients cannot fill the memory with an endless head."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._idle = _idle_of(self.server_state, self.timeout_keep_alive)
        self._upgraded = False
        self._in_head = True
        self._begun = 0
        self._head_bytes = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._idle.end(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, all connections by one timer."""
        if self.pipeline or self._upgraded or self.transport.is_closing():
            super().on_response_complete()
            if self._upgraded:
                super()._unset_keepalive_if_required()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        self._idle.begin(self)

    def _unset_keepalive_if_required(self) -> None:
        self._idle.end(self)

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to WebSockets, with no timer of ours."""
        self._upgraded = True
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        """Take notice of the first byte of a request."""
        super().on_message_begin()
        self._in_head = True
        self._begun += 1
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Take notice of the end of a head, and offer to take the answer at once."""
        self._in_head = False
        super().on_headers_complete()
        cycle = self.cycle  # of pipelined requests it is the last one later
        extensions: dict[str, Any] = {
            ANSWER_AT_ONCE: partial(self._answer, cycle),
            CUT_OFF: partial(self._cut_off, cycle),
        }
        self.scope["extensions"] = extensions

    def _answer(self, cycle: RequestResponseCycle, status: int, headers: Headers, body: bytes) -> bool:
        """Write a whole answer as uvicorn would, in one write; leave to it all that is not plain and good."""
        if self.transport.is_closing():  # of pipelined requests, uvicorn tells the last one only
            cycle.disconnected = True
            return False
        if (
            status != HTTPStatus.OK
            or cycle.response_started
            or cycle.disconnected
            or not cycle.keep_alive
            or self.flow.write_paused
            or cycle.scope["method"] == "HEAD"
        ):
            return False
        content = [_OK]
        for name, value in (*cycle.default_headers, *headers):
            content += (name, b": ", value, b"\r\n")
        content.append(b"\r\n")
        cycle.waiting_for_100_continue = False
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if len(body) < JOINED_BYTES:
            content.append(body)
            self.transport.write(b"".join(content))
        else:
            self.transport.writelines((b"".join(content), body))
        cycle.on_response()
        return True

    def _cut_off(self, cycle: RequestResponseCycle) -> None:
        """End the connection amid an answer."""
        cycle.disconnected = True  # or else uvicorn would complain that the answer is not complete
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse what came; refuse a head that is too large."""
        begun = self._begun
        super().data_received(data)
        answered = self.cycle is not None and self.cycle.response_complete
        if answered and not self._upgraded and not self.transport.is_closing():
            self._idle.begin(self)  # it was the rest of a body whose request is answered, or the start of a head
        if self._in_head and self._begun == begun:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()


class Forwarded(ProxyHeadersMiddleware):
    """What proxies on this machine tell (`X-Forwarded-*`), for an app that does not judge that itself.

    uvicorn's own layer, for the requests that a proxy sent; the others do without a coroutine more.
    """

    def __init__(self, app: Any) -> None:
        super().__init__(app, os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1"))  # as uvicorn does

    @property
    def state(self) -> Any:
        """That of the app, where the server looks."""
        return getattr(self.app, "state", None)

    def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Answer as the app does."""
        if _TOLD.isdisjoint(dict(scope.get("headers", ()))):
            return self.app(scope, receive, send)
        return super().__call__(scope, receive, send)


_idle: "WeakKeyDictionary[ServerState, Deadlines[BoundedHttp]]" = WeakKeyDictionary()
"""The connections of each server that wait for a request."""


def _idle_of(state: ServerState, seconds: float) -> "Deadlines[BoundedHttp]":
    found = _idle.get(state)
    if found is None:
        found = _idle[state] = Deadlines[BoundedHttp](seconds, BoundedHttp.timeout_keep_alive_handler)
    return found


PROTOCOLS: Final[dict[str, Any]] = {
    "interface": "asgi3",  # it is not to be guessed from what is called: that need not be a coroutine function
    "http": BoundedHttp,
    "ws": "websockets-sansio",
    "ws_per_message_deflate": False,
}
"""Options of uvicorn: how HTTP and WebSockets are spoken; beside `ws_max_size`."""


ACCEPTED_AT_ONCE: Final = 8
"""Connections taken in one turn of the event loop."""


class Server(uvicorn.Server):
    """Uvicorn that takes several new connections at a time, and calls `app.state.leave`, if there is one, before it
    cuts WebSockets off.

    uvloop accepts one connection per socket and turn. When turns are long because there is much to do, hundreds of
    clients that come anew every few seconds would wait for seconds before anybody knew of them, heartbeats among them.
    So it listens on each socket several times.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, as often as ACCEPTED_AT_ONCE says where sockets are given."""
        listened = None if sockets is None else [each.dup() for each in sockets for _ in range(ACCEPTED_AT_ONCE)]
        await super().startup(listened)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take leave, then stop as usual."""
        leave = getattr(getattr(self.config.app, "state", None), "leave", None)
        if leave is not None:
            await leave()
        await super().shutdown(sockets)
