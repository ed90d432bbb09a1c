"""An ASGI app → a server of uvicorn that bounds heads and takes leave of WebSocket clients. Used by all that serve one.

Head and body of an answer leave in one write: that is one system call, and one packet, where uvicorn makes two.

Messages are not compressed: with many clients of one live query each would cost the time to compress the same result
again, in the event loop, and memory of its own. A proxy in front of the server is the better place.
"""

import asyncio
import socket
from typing import Any, Final, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES: Final = 64 * 1024
"""A request line with headers that go on beyond this is refused; what comes in one piece with their beginning is not
counted."""

_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


JOINED_BYTES: Final = 4 * 1024
"""Shorter bodies are copied behind their head: that is quicker than to have the system gather both."""

_HEAD: Final = b"HTTP/1.1 "
_CONTINUE: Final = b"HTTP/1.1 100 "


class Together:
    """A transport that holds the head of an answer back until its body comes; whatever else is written goes at once.

    Args:
        transport: what is written to.
    """

    __slots__ = ("_held", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: bytes | None = None

    def write(self, data: bytes) -> None:
        """Write, or hold back."""
        if self._held is not None:
            held, self._held = self._held, None
            if len(data) < JOINED_BYTES:
                self._transport.write(held + data)
            else:
                self._transport.writelines((held, data))
        elif data.startswith(_HEAD) and not data.startswith(_CONTINUE):
            self._held = data
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Write what is held back."""
        if self._held is not None:
            held, self._held = self._held, None
            self._transport.write(held)

    def close(self) -> None:
        """Close once everything is written."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether it is closed, or will be."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return what the transport knows."""
        return self._transport.get_extra_info(name, default)


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 whose clients cannot fill the memory with a head that does not end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._begun = 0
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Write answers to what holds heads back."""
        super().connection_made(transport)
        self._plain = transport
        self.transport = self._together = cast("asyncio.Transport", Together(transport))

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to WebSockets as it came."""
        self.transport = self._plain
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """Let nothing stay behind."""
        cast("Together", self._together).flush()
        super().on_response_complete()

    def on_message_begin(self) -> None:
        """Take notice of the first byte of a request."""
        super().on_message_begin()
        self._in_head = True
        self._begun += 1
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Take notice of the end of a head."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Parse what came; refuse a head that is too large."""
        begun = self._begun
        super().data_received(data)
        if self._in_head and self._begun == begun:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()


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
