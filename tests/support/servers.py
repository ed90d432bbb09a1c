"""Servers on loopback for tests: an ASGI app under uvicorn, and a raw one that says what it is told to say."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server_core.serving import PROTOCOLS, Server
from server_core.wire import GraphQLRequest, GraphQLService, forwarded_headers, parse_body


class _Quiet(Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the test run."""
        yield


@asynccontextmanager
async def listening(app: Any, *, at: int = 0) -> AsyncIterator[str]:
    """Serve an ASGI app on a port of this machine (0: a free one); yields its base URL."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", at))
        listener.listen()
        port = listener.getsockname()[1]
        config = uvicorn.Config(app, lifespan="on", log_config=None, access_log=False, **PROTOCOLS)
        server = _Quiet(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        # A listening socket takes connections before the server accepts them: nobody needs to wait.
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await task


def behind_http(service: GraphQLService, heard: list[dict[str, str]] | None = None) -> Starlette:
    """Put a service behind HTTP, at `/graphql/` and `/ready`; `heard` gets the headers of each operation."""

    async def endpoint(request: Request) -> Response:
        if heard is not None:
            heard.append(dict(request.headers))
        parsed = parse_body(await request.body(), forwarded_headers(request.headers))
        assert isinstance(parsed, GraphQLRequest)
        answer = await service.execute(parsed)
        return Response(answer.body, answer.status, media_type="application/json")

    async def ready(_: Request) -> Response:
        status = await service.status()
        return JSONResponse(status.document(), 200 if status.ready else 503)

    return Starlette(routes=[Route("/graphql/", endpoint, methods=["POST"]), Route("/ready", ready)])


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawServer:
    """Serves each connection by the next of its talks; counts what arrives.

    Attributes:
        port: where it listens.
        requests: head and body of every complete request, in order.
        connections: connections accepted.
    """

    def __init__(self, *talks: Talk) -> None:
        self._talks = list(talks)
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0
        self.requests: list[bytes] = []
        self.connections = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RawServer"]:
        """Listen while the context is entered."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._server.close()
            for writer in self._writers:
                writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = self._talks[min(self.connections, len(self._talks) - 1)]
        self.connections += 1
        self._writers.append(writer)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()

    async def heard(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        )
        request = head + await reader.readexactly(length)
        self.requests.append(request)
        return request

    def saying(self, *pieces: bytes, close: bool = False) -> Talk:
        """Return a talk that answers every request with these pieces, flushed one by one."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await self.heard(reader)
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                if close:
                    writer.close()
                    return

        return talk

    def then(self, *talks: Talk) -> None:
        """Set what connections get, in order; the last for all that follow."""
        self._talks = list(talks)
