"""A WebSocket client of gateway and data API for tests: speaks both sub-protocols, waits for messages and never sleeps.

async with talking(url, LEGACY) as client:
    await client.begin("1", "subscription { flow { name } }")
    assert await client.data() == {"flow": []}
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

TRANSPORT: Final = "graphql-transport-ws"
LEGACY: Final = "graphql-ws"
BOTH: Final = (TRANSPORT, LEGACY)

PATIENCE: Final = 20.0
"""Seconds after which a message that does not come fails the test."""

_NOISE: Final = ("ka", "ping")


class Client:
    """One connection.

    Attributes:
        socket: the connection.
        protocol: its sub-protocol.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.protocol = socket.subprotocol

    async def send(self, message: object) -> None:
        """Send a message: a text or bytes as they are, all else as JSON."""
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def init(self, parameters: object = None) -> None:
        """Begin as the protocol wants it."""
        await self.send({"type": "connection_init", "payload": parameters})
        assert await self.message() == {"type": "connection_ack"}

    async def begin(self, id: str, query: str, variables: dict[str, Any] | None = None) -> None:
        """Begin an operation."""
        kind = "subscribe" if self.protocol == TRANSPORT else "start"
        await self.send({"id": id, "type": kind, "payload": {"query": query, "variables": variables}})

    async def end(self, id: str) -> None:
        """End an operation."""
        await self.send({"id": id, "type": "complete" if self.protocol == TRANSPORT else "stop"})

    async def text(self) -> str:
        """Return the text of the next message that is not a sign of life."""
        async with asyncio.timeout(PATIENCE):
            while True:
                text = await self.socket.recv(decode=True)
                if json.loads(text)["type"] not in _NOISE:
                    return text

    async def message(self) -> Any:
        """Return the next message that is not a sign of life."""
        return json.loads(await self.text())

    async def data(self, id: str = "1") -> Any:
        """Return the `data` of the next message, which must be a result of this operation."""
        message = await self.message()
        assert message["id"] == id, message
        assert message["type"] == ("next" if self.protocol == TRANSPORT else "data"), message
        assert list(message["payload"]) == ["data"], message
        return message["payload"]["data"]

    async def errors(self, id: str = "1") -> list[Any]:
        """Return the errors in the next message, which must end this operation."""
        message = await self.message()
        assert (message["id"], message["type"]) == (id, "error"), message
        payload = message["payload"]
        if self.protocol == TRANSPORT:
            assert isinstance(payload, list)
            return payload
        several: list[Any] = payload.get("errors", [payload])
        return several

    async def error(self, id: str = "1") -> Any:
        """Return the one error in the next message, which must end this operation."""
        (error,) = await self.errors(id)
        return error

    async def answer(self, query: str, variables: dict[str, Any] | None = None, id: str = "q") -> Any:
        """Have an operation answered and return the whole answer: `data`, and `errors` if there are any."""
        await self.begin(id, query, variables)
        message = await self.message()
        assert message["type"] == ("next" if self.protocol == TRANSPORT else "data"), message
        assert await self.message() == {"type": "complete", "id": id}
        return message["payload"]

    async def closed(self) -> tuple[int, str]:
        """Return code and reason of the close that follows, whatever comes before it."""
        async with asyncio.timeout(PATIENCE):
            with suppress(ConnectionClosed):
                while True:
                    await self.socket.recv()
        assert self.socket.close_code is not None
        return self.socket.close_code, self.socket.close_reason or ""


@asynccontextmanager
async def connected_to(
    url: str, *protocols: str, path: str = "/v1alpha1/graphql", **options: Any
) -> AsyncIterator[Client]:
    """Connect without a word; `url` is the base URL of the server."""
    address = url.replace("http", "ws", 1) + path
    async with connect(address, subprotocols=[Subprotocol(each) for each in protocols] or None, **options) as socket:
        yield Client(socket)


def narrow(url: str) -> dict[str, Any]:
    """Return options for a client that takes in little more than it reads, so that a server soon waits for it."""
    address = urlsplit(url)
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    end.connect((address.hostname, address.port))
    end.setblocking(False)
    return {"sock": end, "max_size": None, "max_queue": 1, "compression": None}


@asynccontextmanager
async def talking(url: str, protocol: str = TRANSPORT, **options: Any) -> AsyncIterator[Client]:
    """Connect and begin."""
    async with connected_to(url, protocol, **options) as client:
        await client.init()
        yield client
