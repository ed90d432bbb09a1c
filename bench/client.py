"""Request bytes → the body of the answer, over one kept connection: the lean HTTP client of the load generators.

A general client costs more than the server that is measured; this one knows POST and GET, `Content-Length` and chunked
answers, and nothing else.
"""

import asyncio
from urllib.parse import urlsplit


class ConnectionEnded(Exception):
    """The server closed the connection before its answer was whole."""


class Connection(asyncio.Protocol):
    """One connection: one request at a time. Made by `connect`."""

    def __init__(self) -> None:
        self.status = 0
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._body = 0
        self._length: int | None = None
        self._answer: asyncio.Future[bytes] | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    async def ask(self, request: bytes) -> bytes:
        """Send a whole request, return the body of its answer; `status` is that of the answer.

        Raises:
            ConnectionEnded: there is none.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionEnded
        self._buffer.clear()
        self._body = 0
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is no subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._body and not self._head():
            return
        if self._length is not None:
            if len(self._buffer) >= self._body + self._length:
                self._done(bytes(self._buffer[self._body : self._body + self._length]))
        elif self._buffer.endswith(b"\r\n0\r\n\r\n"):
            self._done(_unchunked(bytes(self._buffer[self._body :])))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionEnded())

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[: end + 2]).lower()
        self._body, self.status, self._length = end + 4, int(head[9:12]), None
        begin = head.find(b"\r\ncontent-length:")
        if begin >= 0:
            self._length = int(head[begin + 17 : head.index(b"\r", begin + 17)])
        elif b"\r\ntransfer-encoding:" not in head:
            self._length = 0
        return True

    def _done(self, body: bytes) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(body)


async def connect(url: str) -> Connection:
    """Open a connection to the host of an `http://` URL."""
    parts = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, parts.hostname or "127.0.0.1", parts.port or 80)
    return connection


def head(url: str, *, path: str = "", method: str = "POST", headers: tuple[str, ...] = ()) -> bytes:
    """Return the head of a JSON request up to and without its `Content-Length`: see `request`."""
    parts = urlsplit(url)
    lines = [f"{method} {path or parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += ["Content-Type: application/json", "Accept: application/json", *headers, "Content-Length: "]
    return "\r\n".join(lines).encode()


def request(opening: bytes, body: bytes) -> bytes:
    """Return a whole request."""
    return b"%b%d\r\n\r\n%b" % (opening, len(body), body)


def _unchunked(body: bytes) -> bytes:
    pieces: list[bytes] = []
    at = 0
    while True:
        line = body.index(b"\r\n", at)
        size = int(body[at:line].partition(b";")[0], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
