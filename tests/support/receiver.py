"""A receiver of webhooks on loopback that keeps what it was sent, and a transport that leads every host to it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import httpx


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request: header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form body."""
        return {name: values[0] for name, values in parse_qs(self.body.decode(), strict_parsing=True).items()}

    @property
    def basic_auth(self) -> str:
        """`user:password` of the Authorization header."""
        return base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()


class Receiver:
    """Answers every request with one status; with `silent` it reads and never answers."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.status = 200
        self.headers = ""
        self.silent = False
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.received.append(Received(method=method, path=path, headers=headers, body=body))
                if not self.silent:
                    writer.write(f"HTTP/1.1 {self.status} X\r\n{self.headers}Content-Length: 2\r\n\r\nok".encode())
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Run a receiver for the length of a block."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for writer in list(receiver._open):
            writer.close()
        await server.wait_closed()


class LeadsTo(httpx.AsyncBaseTransport):
    """Sends every request to a receiver, whatever its host; the Host header still says whom it was meant for."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._receiver.port)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()
