"""Which of several towels runs a loop: the one that has the loop's advisory lock in Postgres. Called by the runner.

The locks belong to a transaction that a connection of its own keeps open: they go with the connection, however that
ends, and hold behind a pooler too. The towel that got a lock keeps it; the others ask again at each of their ticks, so
that one of them takes over within an interval.

That transaction is idle for as long as the towel runs, which does no harm: it reads no table, writes nothing and is
READ COMMITTED, so between two statements it has neither a snapshot nor a transaction id (`backend_xmin` and
`backend_xid` of pg_stat_activity are null), holds no vacuum back, and CREATE INDEX CONCURRENTLY does not wait for it. A
session's lock would need a session, which a pooler in transaction mode does not give.
"""

import asyncio
import contextlib
from typing import TYPE_CHECKING

import asyncpg

from server_core.db.session import Database, translate

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]

ANSWER_SECONDS = 5.0
"""A connection that takes longer to answer is given up, and the locks with it."""

_BEGIN = """
    BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL statement_timeout = 0;
    SET LOCAL tcp_keepalives_idle = 30;
    SET LOCAL tcp_keepalives_interval = 10;
    SET LOCAL tcp_keepalives_count = 3;
"""

_NOTHING = "SELECT 1"
"""Sent as a simple query. One with parameters leaves its portal, and with that a snapshot, open until the next."""


class Leases:
    """The locks of one towel.

    Args:
        database: where they are; one of its connections is kept while any lock is held.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stack: contextlib.AsyncExitStack | None = None
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._turn = asyncio.Lock()

    async def hold(self, name: str) -> bool:
        """Tell whether this towel has the lock of a loop, taking it if nobody has.

        Raises:
            Unavailable: the database cannot be reached; all locks are lost.
        """
        async with self._turn:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    ours = await self._hold(name)
                self._database.contact.found()
                return ours
            except BaseException as error:
                await self._let_go()
                translated = translate(error)
                if translated is not None:
                    self._database.contact.lost(error)
                    raise translated from error
                raise

    async def release(self) -> None:
        """Give all locks back, for another towel to take at its next tick."""
        async with self._turn:
            connection, stack = self._connection, self._stack
            if connection is not None and stack is not None:
                with contextlib.suppress(Exception):
                    await connection.execute("ROLLBACK", timeout=1)
                    self._connection = self._stack = None
                    await stack.aclose()
            await self._let_go()

    async def _hold(self, name: str) -> bool:
        connection = self._connection or await self._connect()
        if name in self._held:
            await connection.execute(_NOTHING)
            return True
        taken: bool = await connection.fetchval(
            "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", f"prefect-server towel {name}"
        )
        await connection.execute(_NOTHING)
        if taken:
            self._held.add(name)
        return taken

    async def _connect(self) -> "Connection":
        self._stack = contextlib.AsyncExitStack()
        connection = await self._stack.enter_async_context(self._database.connection())
        await connection.execute(_BEGIN)
        self._connection = connection
        return connection

    async def _let_go(self) -> None:
        """End the connection rather than hand it back: then the locks are gone even if nothing answers."""
        connection, stack = self._connection, self._stack
        self._connection = self._stack = None
        self._held.clear()
        if connection is not None:
            # A connection that is closed already is the pool's again, and says so by raising.
            with contextlib.suppress(asyncpg.InterfaceError):
                connection.terminate()
        if stack is not None:
            with contextlib.suppress(Exception):
                await stack.aclose()
