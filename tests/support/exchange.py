"""One HTTP request as bytes, sent in process or over a socket, and what came back: nothing is added or hidden.

Tables of cases are driven through both (`in_process`, `over_socket`), so that a server's own handling shows.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

JSON = ("Content-Type", "application/json")


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request.

    Attributes:
        method, target: of the request line.
        headers: exactly these are sent, besides Host, Content-Length and Connection.
        body: its bytes; a list is sent in pieces: chunked, over a socket.
    """

    method: str = "POST"
    target: str = "/"
    headers: Sequence[tuple[str, str]] = (JSON,)
    body: bytes | Sequence[bytes] = b""

    @property
    def pieces(self) -> list[bytes]:
        """The body in pieces."""
        return [self.body] if isinstance(self.body, bytes) else list(self.body)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer; header names are in lower case, a repeated header is joined with commas."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Return the decoded body."""
        return json.loads(self.body)


class Exchange(Protocol):
    """Sends a request and returns the answer."""

    async def __call__(self, sent: Sent) -> Reply:
        """Send."""


def posted(query: str, variables: object = "null", *, target: str = "/", headers: Any = (JSON,), **more: Any) -> Sent:
    """Return a POST of one operation, with `variables` as the 1.x client sends them."""
    body = json.dumps({"query": query, "variables": variables, **more}).encode()
    return Sent(target=target, headers=headers, body=body)


def in_process(app: Any, *, client: str = "127.0.0.1") -> Exchange:
    """Return an exchange with an ASGI application, whose lifespan the caller has entered."""

    async def exchange(sent: Sent) -> Reply:
        path, _, query = sent.target.partition("?")
        pieces = sent.pieces
        headers = [("Host", "gateway"), *sent.headers]
        if len(pieces) == 1 and not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(pieces[0]))))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": sent.method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            "client": (client, 50_000),
            "server": ("gateway", 80),
        }
        messages: list[Any] = []
        coming = [
            {"type": "http.request", "body": piece, "more_body": at < len(pieces)} for at, piece in enumerate(pieces, 1)
        ]

        async def receive() -> Any:
            return coming.pop(0) if coming else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            messages.append(message)

        await app(scope, receive, send)
        start, *rest = messages
        return Reply(
            status=start["status"],
            headers=_joined((name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]),
            body=b"".join(message.get("body", b"") for message in rest),
        )

    return exchange


def over_socket(url: str, *, context: ssl.SSLContext | None = None) -> Exchange:
    """Return an exchange with a server at a URL: a connection per request, read to its end."""
    parts = urlsplit(url)

    async def exchange(sent: Sent) -> Reply:
        return read_reply(await spoken(parts.hostname or "", parts.port or 0, *framed(sent), context=context))

    return exchange


def framed(sent: Sent, *, last: bool = True) -> list[bytes]:
    """Return a request as the bytes that go over a connection, which ends after the `last` one."""
    pieces = sent.pieces
    head = [f"{sent.method} {sent.target} HTTP/1.1", "Host: gateway"]
    head += [f"{name}: {value}" for name, value in sent.headers]
    if last:
        head.append("Connection: close")
    if len(pieces) == 1:
        if not any(name.lower() == "content-length" for name, _ in sent.headers):
            head.append(f"Content-Length: {len(pieces[0])}")
        return ["\r\n".join([*head, "", ""]).encode("latin-1") + pieces[0]]
    head.append("Transfer-Encoding: chunked")
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece]
    return ["\r\n".join([*head, "", ""]).encode("latin-1"), *chunks, b"0\r\n\r\n"]


async def spoken(host: str, port: int, *pieces: bytes, context: ssl.SSLContext | None = None) -> bytes:
    """Say something on a new connection, and return all that is said back until its end."""
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            pass  # it has heard enough; what it said is there to read
        try:
            return await reader.read()
        finally:
            writer.close()


def read_reply(said: bytes) -> Reply:
    """Read one answer that is the whole of what was said."""
    head, mark, body = said.partition(b"\r\n\r\n")
    assert mark, f"no answer in {said[:200]!r}"
    lines = head.decode("latin-1").split("\r\n")
    if lines[0].split()[1] == "100":
        return read_reply(body)
    headers = _joined(tuple(line.split(": ", 1)) for line in lines[1:])
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(body)
    elif "content-length" in headers and body:
        assert len(body) == int(headers["content-length"])
    return Reply(status=int(lines[0].split()[1]), headers=headers, body=body)


def _unchunked(body: bytes) -> bytes:
    pieces: list[bytes] = []
    while True:
        size, _, body = body.partition(b"\r\n")
        if not int(size, 16):
            return b"".join(pieces)
        pieces.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]


def _joined(headers: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
