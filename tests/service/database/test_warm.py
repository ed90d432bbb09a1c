"""Connections at hand: lent again at once, given up when in doubt, left to the pool when unused."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from server_core.db.dsn import plain_dsn
from server_core.db.warm import WarmPool
from tests.support.cluster import Cluster, connected
from tests.support.waiting import wait_until


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
