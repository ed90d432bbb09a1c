"""HttpUpstream against a server that misbehaves: what is sent again, what is not, and what the error says."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server_core.config import GraphQLSettings
from server_core.errors import ConfigError, ServerError, Unavailable
from server_core.wire import GraphQLRequest
from services.gateway.upstream import AnswerLost, HttpUpstream, actions_upstream
from tests.support.servers import RawServer
from tests.support.settings import gateway_settings, server_settings

QUERY = GraphQLRequest(query="{ a }", read_only=True)
MUTATION = GraphQLRequest(query="mutation { a }")
BODY = b'{"data":{"a":1}}'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + BODY
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Return a raw server; tell it what to say with `then`."""
    raw = RawServer()
    async with raw.running():
        yield raw


def upstream(server: RawServer, **options: Any) -> HttpUpstream:
    """Return a client of it."""
    return HttpUpstream(f"http://127.0.0.1:{server.port}/graphql/?a=b", name="data", **options)


async def test_what_is_sent(server: RawServer) -> None:
    server.then(server.saying(GOOD))
    request = GraphQLRequest(
        query="{ é }",
        variables={"n": 12345678901234567890},
        operation_name="O",
        headers={
            "x-prefect-core-version": "1.4.1",
            "x-prefect-bad": "1\r\nInjected: yes",
            "x-prefect-worse: 1\r\nInjected": "yes",
            "x-prefect of no server": "refused",
            "x-prefect-control": "\x01",
        },
    )
    response = await upstream(server).execute(request)
    assert (response.status, response.body) == (200, BODY)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /graphql/?a=b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"x-prefect-core-version: 1.4.1" in head
    assert b"Injected" not in head
    assert head.count(b"x-prefect") == 1
    assert json.loads(body) == {"query": "{ é }", "variables": {"n": 12345678901234567890}, "operationName": "O"}


async def test_the_body_that_came_goes_on_as_it_is(server: RawServer) -> None:
    server.then(server.saying(GOOD))
    raw = b'{"query": "{ a }",\n "variables": "null"}'
    await upstream(server).execute(GraphQLRequest(query="{ a }", raw=raw))
    assert server.requests[0].endswith(b"\r\n\r\n" + raw)


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        (GOOD.replace(b"200 OK", b"200 OK\r\nx-graphql-plain: 1"), True),
        (GOOD, False),
        (GOOD.replace(b"200 OK", b"200 OK\r\nx: x-graphql-plain: 1"), False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n\r\nx-graphql-plain: 1\r\n", False),
    ],
)
async def test_whether_there_are_errors_is_told_in_the_head(server: RawServer, answer: bytes, plain: bool) -> None:
    server.then(server.saying(answer))
    assert (await upstream(server).execute(QUERY)).plain is plain


@pytest.mark.parametrize(
    ("pieces", "close"),
    [
        ([GOOD], False),
        ([bytes([byte]) for byte in GOOD], False),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", GOOD], False),
        ([CHUNKED, b'5\r\n{"dat\r\n', b'b;x=y\r\na":{"a":1}}\r\n0\r\n\r\n'], False),
        ([CHUNKED + b"10\r\n" + BODY + b"\r\n0\r\nTrailer: x\r\n\r\n"], False),
        ([b"HTTP/1.1 200 OK\r\n\r\n" + BODY], True),
        ([b"HTTP/1.0 200 OK\r\n\r\n", BODY], True),
        ([b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 16\r\n\r\n" + BODY], True),
        ([b"HTTP/1.1 200 OK\r\nConnection: Close\r\ncontent-length:16\r\n\r\n" + BODY], True),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\nconnection:  close\r\n\r\n" + BODY], True),
        ([b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 16\r\nVary: a\r\n\r\n" + BODY], False),
        ([b"HTTP/1.1 200\r\nx-length: Content-Length: 5\r\ncontent-length: 16\r\n\r\n" + BODY], False),
        ([CHUNKED[:-2] + b"x: Content-Length: 26\r\n\r\n10\r\n" + BODY + b"\r\n0\r\n\r\n"], False),
    ],
)
async def test_every_framing_is_understood(server: RawServer, pieces: list[bytes], close: bool) -> None:
    server.then(server.saying(*pieces, close=close))
    client = upstream(server)
    for _ in range(3):
        assert (await client.execute(MUTATION)).body == BODY
    assert server.connections == (3 if close else 1)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 16\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 16\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\nContent-Length: 16\r\n\r\n",
    ],
)
async def test_an_answer_that_is_framed_twice_or_is_not_http_is_no_answer(server: RawServer, head: bytes) -> None:
    server.then(server.saying(head + BODY))
    with pytest.raises(AnswerLost):
        await upstream(server).execute(MUTATION)


async def test_a_large_answer(server: RawServer) -> None:
    large = b'{"data":{"a":"' + b"x" * 5_000_000 + b'"}}'
    server.then(server.saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large), large))
    assert (await upstream(server).execute(QUERY)).body == large


async def test_the_status_is_passed_on(server: RawServer) -> None:
    server.then(server.saying(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"))
    assert (await upstream(server).execute(QUERY)).status == 400


async def test_nobody_there_was_certainly_not_executed(server: RawServer) -> None:
    port = server.port
    async with RawServer().running() as gone:
        port = gone.port
    client = HttpUpstream(f"http://127.0.0.1:{port}/", name="actions")
    with pytest.raises(Unavailable, match="The actions service cannot be reached") as caught:
        await client.execute(MUTATION)
    assert caught.value.code == "API_ERROR"


async def test_a_mutation_on_a_connection_that_breaks_is_not_sent_again(server: RawServer) -> None:
    server.then(server.saying(close=True), server.saying(GOOD))
    with pytest.raises(ServerError, match="may have been carried out") as caught:
        await upstream(server).execute(MUTATION)
    assert caught.value.code == "INTERNAL_SERVER_ERROR"
    assert len(server.requests) == 1


async def once(server: RawServer, client: HttpUpstream) -> None:
    """Have one connection answered once and then, when it is used again, dropped."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.heard(reader)
        writer.write(GOOD)
        await server.heard(reader)
        writer.close()

    server.then(talk, server.saying(GOOD))
    await client.execute(QUERY)


async def test_a_query_on_a_reused_connection_that_breaks_is_sent_again_once(server: RawServer) -> None:
    client = upstream(server)
    await once(server, client)
    assert (await client.execute(QUERY)).body == BODY
    assert server.connections == 2
    assert len(server.requests) == 3


async def test_a_mutation_on_a_reused_connection_that_breaks_is_not(server: RawServer) -> None:
    client = upstream(server)
    await once(server, client)
    with pytest.raises(ServerError, match="may have been carried out"):
        await client.execute(MUTATION)
    assert len(server.requests) == 2


async def test_a_query_is_sent_twice_at_most(server: RawServer) -> None:
    client = upstream(server)
    await once(server, client)
    server.then(server.saying(GOOD), server.saying(close=True))
    with pytest.raises(ServerError):
        await client.execute(QUERY)
    assert len(server.requests) == 3


async def test_a_connection_closed_while_idle_is_replaced_even_for_a_mutation(server: RawServer) -> None:
    closed = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.heard(reader)
        writer.write(GOOD)
        writer.close()
        await writer.wait_closed()
        closed.set()

    server.then(talk, server.saying(GOOD))
    client = upstream(server)
    await client.execute(MUTATION)
    await closed.wait()
    for _ in range(10):
        await asyncio.sleep(0)  # let the loop notice the closing
    assert (await client.execute(MUTATION)).body == BODY
    assert len(server.requests) == 2


async def test_an_idle_connection_is_not_trusted_for_long(server: RawServer) -> None:
    server.then(server.saying(GOOD))
    client = upstream(server, idle_seconds=0.0)
    await client.execute(MUTATION)
    await client.execute(MUTATION)
    assert server.connections == 2


async def test_a_connection_is_not_used_up_to_the_moment_when_the_actions_close_it(server: RawServer) -> None:
    """A mutation sent into a connection that closes has no known outcome."""
    server.then(server.saying(GOOD))
    client = actions_upstream(
        server_settings(
            gateway=gateway_settings(graphql_url=f"http://127.0.0.1:{server.port}/"),
            graphql=GraphQLSettings(keep_alive_seconds=0),
        )
    )
    await client.execute(MUTATION)
    await client.execute(MUTATION)
    assert server.connections == 2


async def test_what_comes_unasked_is_no_answer_to_the_next_request(server: RawServer) -> None:
    other = GOOD.replace(b"1}}", b"2}}")
    server.then(server.saying(GOOD + other))
    client = upstream(server)
    for _ in range(3):
        assert (await client.execute(MUTATION)).body == BODY
    assert server.connections == 3


@pytest.mark.parametrize(
    "pieces",
    [
        [b"garbage\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY],
        [b"HTTP/1.1 200 OK\r\nContent-Le"],
        [b"SSH-2.0-OpenSSH_9.6\r\n"],
        [b""],
    ],
)
@pytest.mark.parametrize("request_", [QUERY, MUTATION])
async def test_half_an_answer_or_none_is_an_error_and_nothing_is_sent_again(
    server: RawServer, pieces: list[bytes], request_: GraphQLRequest
) -> None:
    server.then(server.saying(*pieces, close=True))
    with pytest.raises(ServerError):
        await upstream(server).execute(request_)
    assert len(server.requests) == 1


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take everything and say nothing."""
    await reader.read()


async def test_an_answer_is_not_waited_for_without_end(server: RawServer) -> None:
    server.then(silent, server.saying(GOOD))
    client = upstream(server, answer_timeout=0.05)
    with pytest.raises(ServerError, match="did not answer in time"):
        await client.execute(MUTATION)
    assert (await upstream(server).execute(MUTATION)).body == BODY


async def test_a_place_in_the_pool_is_not_waited_for_without_end(server: RawServer) -> None:
    server.then(silent)
    client = upstream(server, connections=1, connect_timeout=0.05)
    stuck = asyncio.create_task(client.execute(QUERY))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="too busy"):
        await client.execute(MUTATION)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stuck


async def test_a_cancelled_request_leaves_no_connection_to_confuse_the_next(server: RawServer) -> None:
    heard = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.heard(reader)
        heard.set()
        await reader.read()

    server.then(slow, server.saying(GOOD))
    client = upstream(server)
    first = asyncio.create_task(client.execute(QUERY))
    await heard.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await client.execute(QUERY)).body == BODY
    assert server.connections == 2


async def test_requests_at_the_same_time_have_connections_of_their_own(server: RawServer) -> None:
    together = asyncio.Barrier(5)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.heard(reader)
            await together.wait()
            writer.write(GOOD)

    server.then(talk)
    client = upstream(server)
    async with asyncio.timeout(10):
        for _ in range(2):
            await asyncio.gather(*(client.execute(QUERY) for _ in range(5)))
    assert server.connections == 5
    await client.stop()


@pytest.mark.parametrize("url", ["", "localhost:3000", "ftp://host/", "http://", "http://host:port/", "http://[::1"])
def test_a_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError, match="data service"):
        HttpUpstream(url, name="data")
