"""The head of a request has a bound, whatever came before it on its connection; whole answers leave in one write."""

import asyncio
import gc
from collections.abc import Iterable
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from server_core.access import Observed, RequestMetrics
from server_core.answering import send_answer
from server_core.serving import JOINED_BYTES, MOST_HEAD_BYTES, PROTOCOLS, BoundedHttp, Forwarded
from tests.support.waiting import wait_until

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n"


class Wire(asyncio.Transport):
    """The server's end of a connection: notes what is written, and the closing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.writes = 0
        self.closed = False
        self.aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)
        self.writes += 1

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        """Bodies are not read by anybody here."""

    def resume_reading(self) -> None:
        """Nor are they read on."""


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


class Answers:
    """An app that answers POST with what it was made for, whole."""

    def __init__(self, status: int, body: bytes, *, at_once: bool) -> None:
        self._status = status
        self._body = body
        self._at_once = at_once
        self.answered = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        if not self._at_once:
            del scope["extensions"]
        headers = [(b"content-length", b"%d" % len(self._body)), (b"x", b"y")]
        await send_answer(scope, send, status=self._status, headers=headers, body=self._body)
        self.answered.set()


async def exchanged(app: Answers, *requests: bytes) -> Wire:
    """Return the connection after an answer to each request."""
    config = uvicorn.Config(app, log_config=None, lifespan="off", date_header=False, **PROTOCOLS)
    wire, protocol = Wire(), BoundedHttp(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    for request in requests:
        app.answered.clear()
        protocol.data_received(request)
        await asyncio.wait_for(app.answered.wait(), 10)
    protocol.connection_lost(None)
    return wire


SHORT_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("size", [0, 5, JOINED_BYTES, 1_000_000])
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (SHORT_POST, 200),
        (SHORT_POST, 400),
        (SHORT_POST.replace(b"Host", b"Connection: close\r\nHost"), 200),
        (SHORT_POST.replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ],
)
async def test_an_answer_taken_whole_is_the_same_as_by_messages(size: int, request_: bytes, status: int) -> None:
    body = b"b" * size
    at_once, by_messages = [await exchanged(Answers(status, body, at_once=each), request_) for each in (True, False)]
    assert at_once.written == by_messages.written
    assert at_once.closed == by_messages.closed


async def test_a_whole_answer_is_one_write() -> None:
    """And the connection goes on, as it does after uvicorn's two."""
    wire = await exchanged(Answers(200, b"{}", at_once=True), SHORT_POST, SHORT_POST)
    assert wire.writes == 2
    wire = await exchanged(Answers(200, b"{}", at_once=False), SHORT_POST, SHORT_POST)
    assert wire.writes == 4


async def test_requests_in_one_piece_are_answered_in_their_order() -> None:
    app = Answers(200, b"{}", at_once=True)
    one = (await exchanged(app, SHORT_POST)).written
    config = uvicorn.Config(app, log_config=None, lifespan="off", date_header=False, **PROTOCOLS)
    wire, protocol = Wire(), BoundedHttp(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    protocol.data_received(SHORT_POST * 3)
    await wait_until(lambda: wire.written == one * 3, seconds=10, what="three answers")


async def test_nobody_is_written_to_who_reads_nothing() -> None:
    """What the connection cannot take is awaited by messages."""
    app = Answers(200, b"{}", at_once=True)
    config = uvicorn.Config(app, log_config=None, lifespan="off", **PROTOCOLS)
    wire, protocol = Wire(), BoundedHttp(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    protocol.pause_writing()
    protocol.data_received(SHORT_POST)
    for _ in range(10):
        await asyncio.sleep(0)
    assert wire.written == b""
    protocol.resume_writing()
    await asyncio.wait_for(app.answered.wait(), 10)
    assert wire.written.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_connection_that_stays_idle_is_closed() -> None:
    app = Answers(200, b"{}", at_once=True)
    config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_keep_alive=0, **PROTOCOLS)
    wire, protocol = Wire(), BoundedHttp(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    protocol.data_received(SHORT_POST)
    await wait_until(lambda: wire.closed, seconds=10, what="the connection is closed")
    assert wire.written


async def test_requests_leave_no_circles() -> None:
    """What the garbage collector must find stops all requests for a moment, again and again."""
    answers = Answers(200, b"{}", at_once=True)
    app = Observed(answers, service="data", metrics=RequestMetrics(CollectorRegistry()))
    config = uvicorn.Config(app, log_config=None, lifespan="off", **PROTOCOLS)
    wire, protocol = Wire(), BoundedHttp(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    gc.collect()
    gc.disable()
    try:
        for _ in range(100):
            protocol.data_received(SHORT_POST)
            for _ in range(5):
                await asyncio.sleep(0)
        assert wire.writes == 100
        assert gc.collect() < 100
    finally:
        gc.enable()


async def connection(app: Any, **options: Any) -> tuple[Wire, BoundedHttp]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", **options, **PROTOCOLS)
    wire, protocol = Wire(), BoundedHttp(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    return wire, protocol


async def test_the_rest_of_a_body_that_nobody_read_keeps_no_connection() -> None:
    """A request is refused unread; its client sends on a little, and then falls silent."""

    async def refuses(scope: Any, receive: Any, send: Any) -> None:
        await send_answer(scope, send, status=413, headers=[(b"content-length", b"0")], body=b"")

    wire, protocol = await connection(refuses, timeout_keep_alive=0.05)
    protocol.data_received(POST)
    await wait_until(lambda: wire.written, seconds=10, what="the refusal")
    protocol.data_received(b"b")
    await wait_until(lambda: wire.closed, seconds=10, what="the connection is closed")


async def test_a_client_that_hangs_up_with_requests_in_line_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    go = asyncio.Event()

    class Slow(Answers):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            await super().__call__(scope, receive, send)

    app = Slow(200, b"{}", at_once=True)
    wire, protocol = await connection(app)
    protocol.data_received(SHORT_POST * 2)
    wire.close()
    protocol.connection_lost(ConnectionResetError())
    go.set()
    await asyncio.wait_for(app.answered.wait(), 10)
    assert wire.written == b""
    assert not caplog.records


@pytest.mark.parametrize(
    ("peer", "headers", "seen"),
    [
        ("127.0.0.1", [], ("127.0.0.1", 1, "http")),
        ("127.0.0.1", [(b"x-forwarded-for", b"10.0.0.7"), (b"x-forwarded-proto", b"https")], ("10.0.0.7", 0, "https")),
        ("127.0.0.1", [(b"x-forwarded-for", b"10.0.0.7")], ("10.0.0.7", 0, "http")),
        ("127.0.0.1", [(b"x-forwarded-proto", b"https")], ("127.0.0.1", 1, "https")),
        ("10.0.0.9", [(b"x-forwarded-for", b"10.0.0.7"), (b"x-forwarded-proto", b"https")], ("10.0.0.9", 1, "http")),
    ],
    ids=["no proxy", "a proxy on this machine", "who it is alone", "its scheme alone", "somebody else"],
)
async def test_a_proxy_on_this_machine_tells_who_its_client_is(
    peer: str, headers: list[tuple[bytes, bytes]], seen: tuple[str, int, str]
) -> None:
    met: list[tuple[str, int, str]] = []

    async def meet(scope: Any, receive: Any, send: Any) -> None:
        met.append((*scope["client"], scope["scheme"]))

    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
    await Forwarded(meet)(scope, None, None)
    await Forwarded(meet)({"type": "lifespan", "client": (peer, 1), "scheme": "http"}, None, None)
    assert met == [seen, (peer, 1, "http")]
