"""The head of a request has a bound, whatever came before it on its connection."""

import asyncio
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from server_core.serving import MOST_HEAD_BYTES, PROTOCOLS, BoundedHttp

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"


class Wire(asyncio.Transport):
    """The server's end of a connection: notes what is written, and the closing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Bodies are not read by anybody here."""


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
async def http(wire: Wire) -> BoundedHttp:
    """A connection."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", **PROTOCOLS)
    protocol = BoundedHttp(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    return protocol


@pytest.mark.parametrize("filler", [b"x", b"x: y\r\n"])
async def test_a_head_that_goes_on_and_on(http: BoundedHttp, wire: Wire, filler: bytes) -> None:
    http.data_received(HEAD)
    counted = 0
    while counted + len(filler) * 100 <= MOST_HEAD_BYTES:
        http.data_received(filler * 100)
        counted += len(filler) * 100
        assert not wire.closed
    http.data_received(filler * 100)
    assert wire.closed
    assert wire.written.startswith(b"HTTP/1.1 431 ")


async def test_what_is_no_head_does_not_count(http: BoundedHttp, wire: Wire) -> None:
    """Neither a body nor what comes with the beginning of the next head."""
    http.data_received(POST)
    for _ in range(2):
        http.data_received(b"b" * 100_000)
    http.data_received(b"b" * 100_000 + HEAD)
    http.data_received(b"x" * 1000)
    assert not wire.closed
    http.data_received(b"x" * MOST_HEAD_BYTES)
    assert wire.written.startswith(b"HTTP/1.1 431 ")
