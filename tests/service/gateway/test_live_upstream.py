"""Subscriptions at a service behind a URL: shared, on few lines, begun again after a line broke."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from server_core.config import LiveSettings
from server_core.graphql_ws.socket import Sockets
from server_core.wire import GraphQLRequest, Watcher
from services.gateway.live_upstream import LiveUpstream
from tests.support.gateway import data_service
from tests.support.live_client import LEGACY, TRANSPORT
from tests.support.servers import listening
from tests.support.upstreams import SchemaService
from tests.support.waiting import wait_until
from tests.support.watching import Noting

ONE, TWO = '{"data":{"flow":[1]}}', '{"data":{"flow":[2]}}'


def asking(number: int = 0) -> GraphQLRequest:
    """Return a subscription; another number makes another one."""
    return GraphQLRequest(query="subscription { flow { id } }", variables={"n": number})


def app_of(service: SchemaService, **live: Any) -> Starlette:
    """Put a service behind WebSockets, as data is."""
    sockets = Sockets(service, LiveSettings(**live))
    app = Starlette(routes=[WebSocketRoute("/graphql", sockets.serve)])
    app.state.leave = sockets.leave
    return app


@asynccontextmanager
async def upstream(url: str, **options: Any) -> AsyncIterator[LiveUpstream]:
    """Make the upstream at a base URL; it is quick to try again."""
    given = {"per_line": 100, "connect_timeout": 10.0, "retry_seconds": (0.01, 0.05), **options}
    one = LiveUpstream(url.replace("http", "ws", 1) + "/graphql", name="data", **given)
    try:
        yield one
    finally:
        await one.stop()
        assert (one.lines, one.subscriptions) == (0, 0)


async def told(service: SchemaService, number: int = 1) -> list[Watcher]:
    """Return whom the service tells, once there are so many."""
    await wait_until(lambda: len(service.followed) == number, seconds=20, what=f"{number} at the service")
    return list(service.followed)


async def test_who_asks_the_same_shares_one_subscription() -> None:
    service, first, second, other = data_service(), Noting(), Noting(), Noting()
    async with listening(app_of(service)) as url, upstream(url) as live:
        ends = [live.subscribe(asking(), first)]
        (at_service,) = await told(service)
        at_service.result(ONE)
        assert await first.next() == ONE
        ends.append(live.subscribe(asking(), second))
        assert await second.next() == ONE
        ends.append(live.subscribe(asking(1), other))
        await told(service, 2)
        ends[0]()
        ends[0]()
        at_service.result(TWO)
        assert await second.next() == TWO
        assert first.told.empty()
        ends[1]()
        assert list(await told(service)) != [at_service]
        ends[2]()
        await told(service, 0)
        assert other.told.empty()


async def test_lines_hold_a_number_and_go_when_they_are_idle() -> None:
    service = data_service()
    async with (
        listening(app_of(service, max_operations_per_socket=2)) as url,
        upstream(url, per_line=2, idle_seconds=0.05) as live,
    ):
        ends = [live.subscribe(asking(number), Noting()) for number in range(5)]
        await told(service, 5)
        assert live.lines == 3
        ends[0]()
        await told(service, 4)
        ends.append(live.subscribe(asking(9), Noting()))
        await told(service, 5)
        assert live.lines == 3
        for end in ends:
            end()
        await wait_until(lambda: live.lines == 0, seconds=20, what="the end of all lines")
        watcher = Noting()
        live.subscribe(asking(), watcher)
        (again,) = await told(service)
        again.result(ONE)
        assert await watcher.next() == ONE


async def test_after_a_restart_it_goes_on_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is told the same twice; there is one line of log when it goes and one when it is back."""
    caplog.set_level(logging.INFO, logger="services.gateway")
    service, watcher, beside, late = data_service(), Noting(), Noting(), Noting()
    async with listening(app_of(service)) as url:
        port = int(url.rpartition(":")[2])
        live = LiveUpstream(
            f"ws://127.0.0.1:{port}/graphql", name="data", per_line=2, connect_timeout=10, retry_seconds=(0.01, 0.05)
        )
        ends = [live.subscribe(asking(number), each) for number, each in enumerate((watcher, beside))]
        for at_service in await told(service, 2):
            at_service.result(ONE)
        assert (await watcher.next(), await beside.next()) == (ONE, ONE)
    await told(service, 0)
    live.subscribe(asking(2), late)
    assert await late.code() == "API_ERROR"
    async with listening(app_of(service), at=port):
        at_service, at_service_beside = await told(service, 2)
        at_service.result(ONE)
        at_service_beside.result(TWO)
        # Both are on one line: what came before this was heard.
        assert await beside.next() == TWO
        assert watcher.told.empty()
        at_service.result(TWO)
        assert await watcher.next() == TWO
        for end in ends:
            end()
        await told(service, 0)
    await live.stop()
    said = [record.getMessage() for record in caplog.records if record.name.startswith("services.gateway")]
    assert [text.partition(":")[0] for text in said] == [
        "Subscriptions at the data service are interrupted",
        "Subscriptions at the data service go on.",
    ]


@pytest.mark.parametrize("errors", [[], [{"message": "m", "extensions": {"code": "x"}}]])
async def test_what_the_service_ends_is_over(errors: list[Any]) -> None:
    service, watcher = data_service(), Noting()
    async with listening(app_of(service)) as url, upstream(url) as live:
        end = live.subscribe(asking(), watcher)
        (at_service,) = await told(service)
        at_service.ended(errors)
        assert await watcher.next() == errors
        assert live.subscriptions == 0
        end()
        # The line is as good as before.
        live.subscribe(asking(1), watcher)
        await wait_until(lambda: len(service.followed) == 2, seconds=20, what="another subscription")
        list(service.followed)[1].result(ONE)
        assert await watcher.next() == ONE


async def test_a_service_without_room_refuses_new_ones() -> None:
    service, watcher = data_service(), Noting()
    async with listening(app_of(service, max_sockets=0)) as url, upstream(url) as live:
        live.subscribe(asking(), watcher)
        assert await watcher.code() == "API_ERROR"


Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def answering(handler: Handler, protocol: str = TRANSPORT) -> AsyncIterator[str]:
    """Serve WebSockets by hand."""
    async with serve(handler, "127.0.0.1", 0, subprotocols=[Subprotocol(protocol)]) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("answer", ["nonsense", b"\x00", "[]", '{"type":1}', None])
async def test_a_service_that_talks_nonsense_cannot_be_reached(answer: str | bytes | None) -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.recv()
        if answer is not None:
            await socket.send(answer)

    watcher = Noting()
    async with answering(handler) as url, upstream(url) as live:
        live.subscribe(asking(), watcher)
        assert await watcher.code() == "API_ERROR"


async def test_a_service_that_speaks_the_older_protocol_only_cannot_be_reached() -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.wait_closed()

    watcher = Noting()
    async with answering(handler, LEGACY) as url, upstream(url) as live:
        live.subscribe(asking(), watcher)
        assert await watcher.code() == "API_ERROR"


async def test_another_server_may_write_its_messages_differently() -> None:
    """Another order of members, spaces, a message before the acknowledgement; its pings are answered."""
    heard: list[Any] = []

    async def handler(socket: ServerConnection) -> None:
        heard.append(json.loads(await socket.recv()))
        await socket.send('{"type": "ping"}')
        await socket.send('{"type": "connection_ack", "payload": {}}')
        begun = json.loads(await socket.recv())
        heard.append(begun)
        await socket.send('{"type": "ping"}')
        heard.append(json.loads(await socket.recv()))
        await socket.send('{"type": "next", "id": "unknown", "payload": {"data": 0}}')
        await socket.send(json.dumps({"type": "next", "payload": {"data": 1}, "id": begun["id"]}))
        await socket.send(json.dumps({"id": begun["id"], "type": "complete"}))
        await socket.wait_closed()

    watcher = Noting()
    async with answering(handler) as url, upstream(url) as live:
        live.subscribe(asking(), watcher)
        assert json.loads(await watcher.next()) == {"data": 1}
        assert await watcher.next() == []
    assert [message["type"] for message in heard] == ["connection_init", "subscribe", "pong"]
    assert heard[1]["payload"] == {"query": "subscription { flow { id } }", "variables": {"n": 0}}
