"""HttpUpstream and long answers: passed on as they come to who takes chunks, and never ended well unless they are."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server_core.errors import ServerError
from server_core.spool import Spool
from server_core.wire import GraphQLRequest
from services.gateway.upstream import AnswerLost, HttpUpstream
from tests.support.servers import RawServer, Talk
from tests.support.waiting import wait_until

QUERY = GraphQLRequest(query="{ a }", read_only=True, chunked=True)
WHOLE = GraphQLRequest(query="{ a }", read_only=True)
HEAD = b"HTTP/1.1 200 OK\r\nx-graphql-plain: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = b'{"data":{"a":1}}'
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + BODY
END = b"0\r\n\r\n"
HOUR = 3600.0


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    """Return a raw server; tell it what to say with `then`."""
    raw = RawServer()
    async with raw.running():
        yield raw


def upstream(server: RawServer, **options: Any) -> HttpUpstream:
    """Return a client of it with one place."""
    return HttpUpstream(
        f"http://127.0.0.1:{server.port}/", name="data", **{"connections": 1, "connect_timeout": 20.0, **options}
    )


async def begun(client: HttpUpstream) -> Spool:
    response = await client.execute(QUERY)
    assert response.chunks is not None
    assert (response.status, response.plain, response.body) == (200, True, b"")
    return response.chunks


async def rest(chunks: Spool) -> list[bytes]:
    """Return the chunks to come."""
    return [each async for each in chunks]


def step_by_step(server: RawServer, steps: "asyncio.Queue[bytes | None]") -> Talk:
    """Return a talk that says what is put into a queue; None hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.heard(reader)
        while (step := await steps.get()) is not None:
            writer.write(step)
            await writer.drain()
        writer.close()

    return talk


async def test_chunks_are_there_before_the_end(server: RawServer) -> None:
    steps: asyncio.Queue[bytes | None] = asyncio.Queue()
    server.then(step_by_step(server, steps))
    steps.put_nowait(HEAD + chunk(b'{"data":'))
    chunks = await begun(upstream(server))
    assert await anext(chunks) == b'{"data":'
    steps.put_nowait(chunk(b'{"a":1'))
    assert await anext(chunks) == b'{"a":1'
    steps.put_nowait(chunk(b"}}") + END)
    assert await rest(chunks) == [b"}}"]


async def test_connection_and_place_are_free_when_all_is_here_though_nobody_reads(server: RawServer) -> None:
    server.then(server.saying(HEAD, chunk(BODY[:5]), chunk(BODY[5:]) + END))
    client = upstream(server)
    answers = [await begun(client) for _ in range(3)]
    assert (await client.execute(WHOLE)).body == BODY
    assert server.connections == 1
    for chunks in answers:
        assert b"".join(await rest(chunks)) == BODY


async def test_an_answer_that_comes_all_at_once(server: RawServer) -> None:
    server.then(server.saying(HEAD + chunk(BODY) + END))
    client = upstream(server)
    for _ in range(3):
        assert await rest(await begun(client)) == [BODY]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("pieces", "plain"),
    [
        ([GOOD], False),
        ([GOOD.replace(b"200 OK", b"200 OK\r\nx-graphql-plain: 1")], True),
        ([bytes([byte]) for byte in GOOD.replace(b"200 OK", b"200 OK\r\nX-GraphQL-Plain: 1")], True),
        ([HEAD.replace(b"x-graphql-plain: 1\r\n", b"") + chunk(BODY) + END], False),
        ([HEAD.replace(b"x-graphql-plain: 1", b"x-graphql-plain: 0") + chunk(BODY) + END], False),
        ([HEAD.replace(b"200 OK", b"400 Bad Request") + chunk(BODY) + END], False),
    ],
)
async def test_other_answers_come_whole(server: RawServer, pieces: list[bytes], plain: bool) -> None:
    server.then(server.saying(*pieces))
    client = upstream(server)
    for _ in range(2):
        response = await client.execute(QUERY)
        assert (response.body, response.chunks, response.plain) == (BODY, None, plain)


async def test_an_answer_that_ends_with_its_connection_comes_whole(server: RawServer) -> None:
    server.then(server.saying(HEAD.replace(b"Transfer-Encoding: chunked\r\n", b""), BODY, close=True))
    response = await upstream(server).execute(QUERY)
    assert (response.body, response.chunks, response.plain) == (BODY, None, True)


async def test_who_takes_no_chunks_gets_it_whole(server: RawServer) -> None:
    server.then(server.saying(HEAD, chunk(BODY[:5]), chunk(BODY[5:]) + END))
    response = await upstream(server).execute(WHOLE)
    assert (response.body, response.chunks, response.plain) == (BODY, None, True)


@pytest.mark.parametrize("last", [b"", b"5\r\nabc", b"zz\r\n", b"0\r\n"])
async def test_what_breaks_off_has_no_good_end(server: RawServer, last: bytes) -> None:
    steps: asyncio.Queue[bytes | None] = asyncio.Queue()
    server.then(step_by_step(server, steps), server.saying(GOOD))
    steps.put_nowait(HEAD + chunk(b'{"data":'))
    client = upstream(server)
    chunks = await begun(client)
    assert await anext(chunks) == b'{"data":'
    steps.put_nowait(last)
    steps.put_nowait(None)
    with pytest.raises(Exception, match=r"closed|HTTP"):
        await rest(chunks)
    assert chunks.failed
    assert (await client.execute(WHOLE)).body == BODY, "its place is free"
    assert len(server.requests) == 2, "what was begun is not asked for again"


async def test_what_breaks_off_before_the_first_chunk_is_an_error_as_ever(server: RawServer) -> None:
    server.then(server.saying(HEAD, close=True))
    with pytest.raises(AnswerLost):
        await upstream(server).execute(QUERY)
    assert len(server.requests) == 1


async def test_the_next_chunk_is_not_waited_for_without_end(server: RawServer) -> None:
    steps: asyncio.Queue[bytes | None] = asyncio.Queue()
    server.then(step_by_step(server, steps))
    steps.put_nowait(HEAD + chunk(b'{"data":'))
    client = upstream(server, answer_timeout=0.2)
    chunks = await begun(client)
    with pytest.raises(Exception, match="no chunk for too long"):
        await rest(chunks)
    with pytest.raises(ServerError, match="did not answer in time"):
        await client.execute(WHOLE)


async def test_who_wants_no_more_hangs_up(server: RawServer) -> None:
    left = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.heard(reader)
        writer.write(HEAD + chunk(b'{"data":'))
        await reader.read()
        left.set()

    server.then(talk, server.saying(GOOD))
    client = upstream(server)
    (await begun(client)).close()
    await left.wait()
    assert (await client.execute(WHOLE)).body == BODY


@pytest.mark.parametrize("patience", [HOUR, -HOUR])
async def test_what_a_client_does_not_read_is_read_from_the_service_within_bounds(
    server: RawServer, patience: float
) -> None:
    size, count = 100_000, 300
    said = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.heard(reader)
            writer.write(HEAD)
            for _ in range(count):
                writer.write(chunk(b"x" * size))
                await writer.drain()
            writer.write(END)
            await writer.drain()
            said.set()

    server.then(talk)
    client = upstream(server, held=500_000, patience=patience)
    chunks = await begun(client)
    over = asyncio.Event()
    chunks.when_over(over.set)
    if patience < 0:
        await over.wait()
        assert chunks.held == size * count
    else:
        await wait_until(lambda: chunks.full, seconds=30, what="as much lies here as may")
        assert not said.is_set()
    total = sum(map(len, await rest(chunks)))
    assert total == size * count
    assert chunks.highest < 2_000_000 or patience < 0
    assert over.is_set()
    again = await begun(client)
    assert server.connections == 1
    again.close()
