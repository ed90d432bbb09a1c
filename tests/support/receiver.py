"""A receiver of requests on loopback that keeps what it was sent, and a transport that leads every host to it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
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


Answer = Callable[[Received], tuple[int, object]]
"""What to answer a request with: a status, and a JSON value for the body."""


class Receiver:
    """Answers every request with one status, or what `answer` says; with `silent` it reads and never answers.

    Attributes:
        statuses: what to answer the next requests with, before `status`.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.status = 200
        self.statuses: list[int] = []
        self.headers = ""
        self.answer: Answer | None = None
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
                request = Received(method=method, path=path, headers=headers, body=body)
                self.received.append(request)
                if not self.silent:
                    writer.write(self._response(request))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def _response(self, request: Received) -> bytes:
        status = self.statuses.pop(0) if self.statuses else self.status
        headers, body = self.headers, b"ok"
        if self.answer is not None:
            status, value = self.answer(request)
            headers, body = f"{headers}Content-Type: application/json\r\n", json.dumps(value).encode()
        return f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def receiving(answer: Answer | None = None, *, port: int = 0) -> AsyncIterator[Receiver]:
    """Run a receiver for the length of a block, on any free port if none is given."""
    receiver = Receiver()
    receiver.answer = answer
    server = await asyncio.start_server(receiver._serve, "127.0.0.1", port)
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
