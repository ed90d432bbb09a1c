"""The least that Python can do between a client and an upstream: run by servers.asgi, with BENCH_UPSTREAM as its URL.

Plain ASGI under uvicorn and uvloop; asyncio streams kept open to the upstream; it reads the answer's length and passes
bytes on. It knows nothing of GraphQL, checks nothing, limits nothing and notes nothing.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

_PARTS = urlsplit(os.environ["BENCH_UPSTREAM"])
_HEAD = f"POST {_PARTS.path or '/'} HTTP/1.1\r\nhost: {_PARTS.netloc}\r\ncontent-type: application/json\r\n".encode()
_JSON = (b"content-type", b"application/json; charset=utf-8")
_kept: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []


async def app(
    scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    """Pass a request on and its answer back."""
    if scope["type"] != "http":
        for said in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{said}.complete"})
        return
    body = b""
    if scope["method"] == "POST":
        message = await receive()
        sent = message["body"]
        while message["more_body"]:
            message = await receive()
            sent += message["body"]
        body = await _asked(sent)
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [_JSON, length]})
    await send({"type": "http.response.body", "body": body})


async def _asked(body: bytes) -> bytes:
    reader, writer = _kept.pop() if _kept else await asyncio.open_connection(_PARTS.hostname, _PARTS.port)
    writer.write(b"%bcontent-length: %d\r\n\r\n%b" % (_HEAD, len(body), body))
    head = await reader.readuntil(b"\r\n\r\n")
    at = head.index(b"content-length:") + 15
    answer = await reader.readexactly(int(head[at : head.index(b"\r", at)]))
    _kept.append((reader, writer))
    return answer
