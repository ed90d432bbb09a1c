"""A pool or a connection → the statements it sent, for tests of the kind "one statement". Called by service tests.

async with recorded(database) as recorder:
    await create_flow_run(context, flow_id=flow_id)
assert len(recorder.statements) == 3
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
from asyncpg.connection import LoggedQuery

from server_core.db.session import Database
from server_core.db.warm import WarmPool

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

TRANSACTION = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


class Recorder:
    """Collects what was sent, in order.

    Attributes:
        sent: every message that cost a round trip: statements, BEGIN, COMMIT, a pool's reset. Preparing a statement for
            the first time costs one more, which is not counted: it is paid once per connection.
    """

    def __init__(self) -> None:
        self.sent: list[str] = []

    @property
    def statements(self) -> list[str]:
        """What was sent, without the words that begin and end transactions and without a pool's reset."""
        return [text for text in self.sent if not text.startswith((*TRANSACTION, "SELECT pg_advisory_unlock_all()"))]

    def clear(self) -> None:
        """Forget what was sent so far."""
        self.sent.clear()

    async def told(self) -> None:
        """Wait until the driver, which tells a little later, has told of all that was sent so far."""
        await asyncio.sleep(0)

    def __call__(self, query: LoggedQuery) -> None:
        """Take one query from asyncpg."""
        self.sent.append(query.query.strip().rstrip(";"))


@asynccontextmanager
async def recorded(target: "Database | Pool | WarmPool | Connection") -> AsyncIterator[Recorder]:
    """Record everything the target sends during the block; look at it afterwards, or once it is `told`.

    A pool is filled to its maximum first: a connection made during the block would not be recorded.
    """
    recorder = Recorder()
    if not isinstance(target, asyncpg.Pool | WarmPool | Database):
        with target.query_logger(recorder):
            yield recorder
        return
    async with all_of(target) as connections:
        for connection in connections:
            connection.add_query_logger(recorder)
    recorder.clear()
    try:
        yield recorder
    finally:
        async with all_of(target) as connections:
            for connection in connections:
                connection.remove_query_logger(recorder)


@asynccontextmanager
async def all_of(
    target: "Database | Pool | WarmPool",
) -> "AsyncIterator[list[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]]]":
    """Borrow every connection that may be handed out.

    Those of a pool must be idle. Those of a database are waited for, as its borrowers wait for each other.
    """
    if isinstance(target, Database):
        pool = target._pool
        assert pool is not None
        async with AsyncExitStack() as places:
            for _ in range(pool.get_max_size()):
                await places.enter_async_context(target._places)
            async with all_of(pool) as connections:
                yield connections
        return
    borrow, give_back = (
        (target.borrow, target.give_up) if isinstance(target, WarmPool) else (target.acquire, target.release)
    )
    connections = [await borrow() for _ in range(target.get_max_size())]
    try:
        yield connections
    finally:
        for connection in connections:
            await give_back(connection)
