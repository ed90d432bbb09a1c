"""Connections at hand: lent again at once, given up when in doubt, left to the pool when unused."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from server_core.db.dsn import plain_dsn
from server_core.db.warm import WarmPool
from tests.support.cluster import Cluster, connected
from tests.support.waiting import wait_until


class Relay:
    """Passes connections on to Postgres, until it falls silent: then nothing gets through, and nobody hangs up."""

    def __init__(self, dsn: str) -> None:
        self._parts = urlsplit(dsn)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.silent = False
        self.dsn = ""

    async def __aenter__(self) -> "Relay":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        user = self._parts.username or "postgres"
        self.dsn = f"postgresql://{user}@127.0.0.1:{port}{self._parts.path}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = parse_qs(self._parts.query).get("host", [self._parts.hostname or ""])[0]
        port = self._parts.port or 5432
        if host.startswith("/"):
            theirs, ours = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            theirs, ours = await asyncio.open_connection(host, port)
        self._writers += [writer, ours]
        for source, sink in ((reader, ours), (theirs, writer)):
            task = asyncio.create_task(self._pass_on(source, sink))
            self._tasks.add(task)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if not self.silent:
                sink.write(data)


@pytest.fixture
async def relay(cluster: Cluster) -> AsyncIterator[Relay]:
    async with Relay(plain_dsn(cluster.dsn)) as made:
        yield made


async def test_a_silent_database_keeps_no_place(relay: Relay) -> None:
    """Connections of the age of one that broke are let go without its leave (demands.md 6)."""
    pool = await asyncpg.create_pool(relay.dsn, min_size=0, max_size=3, ssl=False)
    warm = WarmPool(pool, release_seconds=0.1)
    first, second, third = [await warm.borrow() for _ in range(3)]
    warm.give_back(first)
    warm.give_back(second)
    relay.silent = True
    await warm.lost(third)
    await wait_until(lambda: pool.get_size() == 0, seconds=10, what="all are closed, as far as we know")
    relay.silent = False
    for _ in range(3):  # a pool counts no connection that is being closed, but its place is taken
        connection = await asyncio.wait_for(warm.borrow(), 10)
        assert await connection.fetchval("SELECT 1") == 1
    pool.terminate()


async def test_a_silent_database_does_not_keep_a_process_from_ending(relay: Relay) -> None:
    pool = await asyncpg.create_pool(relay.dsn, min_size=0, max_size=3, ssl=False)
    warm = WarmPool(pool, release_seconds=0.1, close_seconds=0.2)
    kept, lent = await warm.borrow(), await warm.borrow()
    warm.give_back(kept)
    asking = asyncio.create_task(lent.fetchval("SELECT 1"))
    relay.silent = True
    await asyncio.wait_for(warm.close(), 10)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await asking


@pytest.fixture
async def pool(cluster: Cluster) -> "AsyncIterator[asyncpg.Pool[asyncpg.Record]]":
    made = await asyncpg.create_pool(plain_dsn(cluster.dsn), min_size=0, max_size=3)
    yield made
    made.terminate()


async def test_the_last_one_used_is_lent_first(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    warm = WarmPool(pool)
    first, second = await warm.borrow(), await warm.borrow()
    assert (warm.get_size(), warm.get_idle_size(), warm.get_max_size()) == (2, 0, 3)
    warm.give_back(first)
    warm.give_back(second)
    assert warm.get_idle_size() == 2
    assert await warm.borrow() is second
    assert await warm.borrow() is first


async def test_unused_ones_go_back_to_the_pool(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    """At each round those go that nobody has borrowed since the one before."""
    warm = WarmPool(pool, unused_seconds=0.05)
    for connection in [await warm.borrow() for _ in range(3)]:
        warm.give_back(connection)
    assert pool.get_idle_size() == 0
    await wait_until(lambda: pool.get_idle_size() == 3, seconds=10, what="all are back in the pool")
    assert await (await warm.borrow()).fetchval("SELECT 1") == 1


async def test_a_dead_one_is_not_lent(pool: "asyncpg.Pool[asyncpg.Record]", cluster: Cluster) -> None:
    warm = WarmPool(pool)
    connection = await warm.borrow()
    pid = connection.get_server_pid()
    warm.give_back(connection)
    async with connected(cluster.dsn) as other:
        await other.execute("SELECT pg_terminate_backend($1)", pid)
    await wait_until(lambda: pool.get_size() == 0, seconds=10, what="its end is noticed")
    again = await warm.borrow()
    assert again.get_server_pid() != pid
    assert await again.fetchval("SELECT 1") == 1


async def test_when_one_breaks_none_of_its_age_is_lent(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    warm = WarmPool(pool)
    first, second = await warm.borrow(), await warm.borrow()
    pids = {first.get_server_pid(), second.get_server_pid()}
    warm.give_back(second)
    await warm.lost(first)
    fresh = [await warm.borrow() for _ in range(3)]
    assert not pids & {connection.get_server_pid() for connection in fresh}


async def test_one_that_the_pool_has_taken_back_already_is_lost_as_well(
    pool: "asyncpg.Pool[asyncpg.Record]", cluster: Cluster
) -> None:
    warm = WarmPool(pool)
    broken, kept = await warm.borrow(), await warm.borrow()
    pid = kept.get_server_pid()
    warm.give_back(kept)
    async with connected(cluster.dsn) as other:
        await other.execute("SELECT pg_terminate_backend($1)", broken.get_server_pid())
    await wait_until(lambda: pool.get_size() == 1, seconds=10, what="its end is noticed")
    await warm.lost(broken)
    assert (await warm.borrow()).get_server_pid() != pid


async def test_closing_waits_for_the_borrowers(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    warm = WarmPool(pool)
    connection, idle = await warm.borrow(), await warm.borrow()
    warm.give_back(idle)
    closing = asyncio.create_task(warm.close())
    assert await connection.fetchval("SELECT 1") == 1
    assert not closing.done()
    warm.give_back(connection)
    await closing
    assert pool.is_closing()


async def test_one_given_up_in_a_transaction_is_lent_without_it(pool: "asyncpg.Pool[asyncpg.Record]") -> None:
    warm = WarmPool(pool)
    connection = await warm.borrow()
    await connection.execute("BEGIN")
    await warm.give_up(connection)
    assert not (await warm.borrow()).is_in_transaction()
