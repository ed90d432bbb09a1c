"""An answer in chunks: when its head goes, how it ends, and how its client learns that it does not."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from uvicorn.server import ServerState

from server_core.access import Observed, RequestMetrics
from server_core.answering import CutOff, send_chunks
from server_core.departure import Departures
from server_core.serving import PROTOCOLS, BoundedHttp
from server_core.spool import Spool
from tests.support.waiting import wait_until
from tests.unit.test_serving import Wire

POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
HEADERS = [(b"content-type", b"text/plain")]


class Making:
    """The making of chunks; tells whether it was stopped."""

    def __init__(self) -> None:
        self.stopped = False
        self.spool = Spool(stop=self.stop)

    def stop(self) -> None:
        """Stop."""
        self.stopped = True


class Client:
    """Both directions of a request, as ASGI has them."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.messages: list[Any] = []

    async def receive(self) -> Any:
        """Return when the client has left."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Take a message."""
        self.messages.append(message)

    async def answer(self, spool: Spool) -> None:
        """Send the client what is in a spool."""
        departure = Departures(after_seconds=0).of(self.receive)
        await send_chunks(self.send, spool, headers=HEADERS, departure=departure)

    @property
    def body(self) -> list[bytes]:
        """What came after the head, and whether it ended."""
        return [message["body"] for message in self.messages[1:]]


async def test_the_head_goes_with_the_first_chunk() -> None:
    client, making = Client(), Making()
    answering = asyncio.create_task(client.answer(making.spool))
    await asyncio.sleep(0)
    assert client.messages == []
    for chunk in (b"a", b"b"):
        making.spool.push(chunk)
    making.spool.end()
    await answering
    assert client.messages == [
        {"type": "http.response.start", "status": 200, "headers": HEADERS},
        {"type": "http.response.body", "body": b"a", "more_body": True},
        {"type": "http.response.body", "body": b"b", "more_body": True},
        {"type": "http.response.body", "body": b""},
    ]
    assert not making.stopped


async def test_what_fails_midway_is_not_ended(caplog: pytest.LogCaptureFixture) -> None:
    client, making = Client(), Making()
    answering = asyncio.create_task(client.answer(making.spool))
    making.spool.push(b"a")
    await wait_until(lambda: client.body, seconds=30, what="a chunk was sent")
    making.spool.fail(ZeroDivisionError())
    with pytest.raises(CutOff):
        await answering
    assert all(message.get("more_body") for message in client.messages[1:])
    (record,) = [each for each in caplog.records if each.name == "server_core.answering"]
    assert record.getMessage() == "an answer was cut off after 1 bytes"
    assert isinstance(record.exc_info[1], ZeroDivisionError)  # type: ignore[index]
    assert len(record.error_id) == 32  # type: ignore[attr-defined]


async def test_who_leaves_stops_the_making_and_is_sent_no_more(caplog: pytest.LogCaptureFixture) -> None:
    client, making = Client(), Making()
    answering = asyncio.create_task(client.answer(making.spool))
    making.spool.push(b"a")
    client.gone.set()
    await answering
    assert making.stopped
    assert client.body == [b"a"]
    assert caplog.records == []


async def test_an_answer_that_somebody_cancels_stops_the_making() -> None:
    client, making = Client(), Making()
    answering = asyncio.create_task(client.answer(making.spool))
    await asyncio.sleep(0)
    answering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await answering
    assert making.stopped


@asynccontextmanager
async def served(
    making: Making, registry: CollectorRegistry, sent: bytes = POST
) -> AsyncIterator[tuple[Wire, "asyncio.Future[None]"]]:
    """Serve one request with the chunks of a making; yields the connection, and what becomes done with the request."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await send_chunks(send, making.spool, headers=HEADERS, departure=Departures().of(receive))
        finally:
            done.set_result(None)

    observed = Observed(app, service="data", metrics=RequestMetrics(registry))
    config = uvicorn.Config(observed, log_config=None, lifespan="off", date_header=False, **PROTOCOLS)
    wire, protocol = Wire(), BoundedHttp(config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(wire)
    protocol.data_received(sent)
    yield wire, done
    await asyncio.sleep(0)
    await asyncio.gather(*protocol.server_state.tasks)
    protocol.connection_lost(None)


async def test_over_http_a_good_end_leaves_the_connection_open() -> None:
    registry, making = CollectorRegistry(), Making()
    async with served(making, registry) as (wire, done):
        making.spool.push(b"abc")
        making.spool.end()
        await done
    head, _, body = wire.written.partition(b"\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert b"content-length" not in head
    assert b"x-request-id" in head
    assert body == b"3\r\nabc\r\n0\r\n\r\n"
    assert not wire.aborted
    assert 'status="200"} 1.0' in generate_latest(registry).decode()


@pytest.mark.parametrize(
    "sent", [POST, 2 * b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"], ids=["one", "two at once"]
)
async def test_over_http_the_connection_is_cut_amid_a_failed_answer(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if the client has sent its next request already."""
    registry, making = CollectorRegistry(), Making()
    async with served(making, registry, sent) as (wire, done):
        making.spool.push(b"abc")
        await wait_until(lambda: wire.written, seconds=30, what="a chunk was sent")
        making.spool.fail(ZeroDivisionError())
        await done
    assert wire.written.endswith(b"3\r\nabc\r\n")
    assert wire.aborted
    shown = generate_latest(registry).decode()
    assert (
        'prefect_server_http_request_duration_seconds_count{method="POST",service="data",status="cut off"} 1.0' in shown
    )
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == ["server_core.answering"]


async def test_a_server_that_cannot_be_told_is_left_the_exception() -> None:
    client, making = Client(), Making()
    making.spool.push(b"abc")
    making.spool.fail(ZeroDivisionError())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await client.answer(making.spool)

    observed = Observed(app, service="data", metrics=RequestMetrics(CollectorRegistry()))
    with pytest.raises(CutOff):
        await observed({"type": "http", "method": "POST", "path": "/", "headers": []}, client.receive, client.send)
    assert client.messages == []
