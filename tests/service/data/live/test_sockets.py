"""The WebSocket door: negotiation, close codes, limits, signs of life, and clients that do not read."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from server_core.db.session import Database
from services.data.live.listener import BUSY
from tests.service.data.live.conftest import Served, Serving
from tests.service.data.live.test_subscriptions import PROJECTS, add, projects
from tests.support.live_client import BOTH, LEGACY, TRANSPORT, connected_to, narrow, talking
from tests.support.waiting import wait_until

INIT = {"type": "connection_init"}
LARGE = "subscription { project(order_by: {created: asc}) { name description } }"


def begin(id: str = "1", query: object = PROJECTS) -> dict[str, Any]:
    """Return a message that begins an operation."""
    return {"id": id, "type": "subscribe", "payload": {"query": query}}


@pytest.mark.parametrize(
    ("offered", "spoken"), [((TRANSPORT,), TRANSPORT), ((LEGACY,), LEGACY), ((LEGACY, "x", TRANSPORT), TRANSPORT)]
)
@pytest.mark.parametrize("path", ["/v1/graphql", "/v1alpha1/graphql"])
async def test_the_protocol_is_negotiated(served: Served, offered: tuple[str, ...], spoken: str, path: str) -> None:
    async with connected_to(served.url, *offered, path=path) as client:
        assert client.protocol == spoken
        await client.init()


@pytest.mark.parametrize("offered", [(), ("x",)])
async def test_without_a_protocol_the_socket_is_closed(served: Served, offered: tuple[str, ...]) -> None:
    async with connected_to(served.url, *offered) as client:
        assert await client.closed() == (4406, "Subprotocol not acceptable")


@pytest.mark.parametrize(
    ("messages", "code", "reason"),
    [
        ([INIT, INIT], 4429, "Too many initialisation requests"),
        ([begin()], 4401, "Unauthorized"),
        ([INIT, begin(), begin()], 4409, "Subscriber for 1 already exists"),
        ([INIT, {"type": "nope"}], 4400, "Invalid message: Clients send no messages of this `type`."),
        ([INIT, "{"], 4400, "Invalid message: The message is not valid JSON."),
        ([b"\x00"], 4400, "Invalid message: Messages are text, not binary."),
        ([INIT, begin(query=5)], 4400, "Invalid message: The request has no `query` text."),
    ],
)
async def test_who_breaks_the_protocol_is_cut_off(
    served: Served, messages: list[object], code: int, reason: str
) -> None:
    async with connected_to(served.url, TRANSPORT) as client:
        for message in messages:
            await client.send(message)
        assert await client.closed() == (code, reason)
    await wait_until(lambda: not served.service._hub.tables(), seconds=20, what="the end of the live query")


async def test_the_older_protocol_complains_and_goes_on(served: Served) -> None:
    async with connected_to(served.url, LEGACY) as client:
        await client.begin("1", PROJECTS)
        assert (await client.error())["extensions"]["code"] == "start-failed"
        await client.init()
        for message in ("{", b"\x00", {"type": "nope"}, {"type": "start", "payload": {}}):
            await client.send(message)
            answer = await client.message()
            assert answer["type"] == "connection_error"
            assert answer["payload"]["extensions"]["code"] == "unexpected-payload"
        await client.send({"type": "start", "id": "1", "payload": {"query": 5}})
        assert (await client.error())["message"] == "The request has no `query` text."
        for _ in range(2):
            await client.begin("1", PROJECTS)
            assert await client.data() == projects()
        await client.send({"type": "connection_terminate"})
        assert (await client.closed())[0] == 1000


@pytest.mark.parametrize("protocol", BOTH)
async def test_who_does_not_begin_is_cut_off(serving: Serving, protocol: str) -> None:
    async with serving(init_timeout_seconds=0.05) as served, connected_to(served.url, protocol) as client:
        assert await client.closed() == (4408, "Connection initialisation timeout")


@pytest.mark.parametrize(("protocol", "sign"), [(TRANSPORT, {"type": "ping"}), (LEGACY, {"type": "ka"})])
async def test_signs_of_life(serving: Serving, protocol: str, sign: object) -> None:
    async with serving(keep_alive_seconds=0.02) as served, talking(served.url, protocol) as client:
        for _ in range(3):
            assert json.loads(await client.socket.recv()) == sign


async def test_pings_are_answered(served: Served) -> None:
    async with connected_to(served.url, TRANSPORT) as client:
        await client.send({"type": "ping"})
        assert await client.message() == {"type": "pong"}
        await client.send({"type": "pong"})
        await client.send({"type": "ping", "payload": {"a": [1]}})
        assert await client.message() == {"type": "pong", "payload": {"a": [1]}}


async def test_operations_of_one_socket_are_limited(serving: Serving) -> None:
    async with serving(max_operations_per_socket=2) as served, talking(served.url) as client:
        for id in ("1", "2"):
            await client.begin(id, PROJECTS)
            await client.data(id)
        await client.begin("3", PROJECTS)
        assert (await client.error("3"))["extensions"]["code"] == "limit-reached"
        await client.end("1")
        await client.begin("3", PROJECTS)
        await client.data("3")


async def test_sockets_are_limited(serving: Serving) -> None:
    async with serving(max_sockets=1) as served:
        async with talking(served.url) as first:
            async with connected_to(served.url, TRANSPORT) as second:
                assert await second.closed() == (1013, "Too many connections")
            await first.begin("1", PROJECTS)
            await first.data()
        await wait_until(lambda: served.service.sockets.open == 0, seconds=20, what="room for a socket")
        async with talking(served.url):
            pass


async def test_a_slow_reader_holds_up_nobody_and_gets_the_newest(served: Served, database: Database) -> None:
    # Fewer than make the table count as written to all the time.
    names = [str(number) for number in range(BUSY - 2)]
    async with (
        talking(served.url, **narrow(served.url)) as slow,
        talking(served.url, max_size=None) as quick,
    ):
        for client in (slow, quick):
            await client.begin("1", LARGE)
        await quick.data()
        for number, name in enumerate(names, 1):
            await add(database, name, description="x" * 1_000_000)
            assert len((await quick.data())["project"]) == number
        # All this time the slow one has read nothing.
        seen: list[int] = []
        while not seen or seen[-1] < len(names):
            seen.append(len((await slow.data())["project"]))
        assert seen == sorted(set(seen))
        assert len(seen) < len(names)


async def test_who_never_reads_is_cut_off(serving: Serving, database: Database) -> None:
    async with (
        serving(send_timeout_seconds=0.5) as served,
        talking(served.url, **narrow(served.url)) as dead,
        talking(served.url, max_size=None) as quick,
    ):
        for client in (dead, quick):
            await client.begin("1", LARGE)
            await client.data()
        for number in range(5):
            await add(database, str(number), description="x" * 1_000_000)
            await quick.data()
        await wait_until(lambda: served.service.sockets.open == 1, seconds=20, what="the end of the one")
        await quick.end("1")
        await wait_until(lambda: not served.service._hub.tables(), seconds=20, what="the end of the live query")
        dead.socket.transport.abort()


async def test_a_server_that_stops_says_so(serving: Serving) -> None:
    async with AsyncExitStack() as server, AsyncExitStack() as clients:
        served = await server.enter_async_context(serving())
        client = await clients.enter_async_context(talking(served.url))
        await client.begin("1", PROJECTS)
        await client.data()
        closing = asyncio.create_task(client.closed())
        await server.aclose()
        assert (await closing)[0] == 1001
        assert not served.service._hub.tables()
