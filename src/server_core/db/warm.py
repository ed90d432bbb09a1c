"""asyncpg's pool → connections at hand: lent and taken back without a round through the pool. Used by hot paths.

The pool makes connections, and sees to those in doubt: dead ones, ones whose statement was cancelled, ones left in a
transaction. All others stay here between two statements, the last one used on top, so that what is not needed sinks,
and goes back to the pool after a while. Whoever borrows sees to it that no more are lent than the pool may make.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import asyncpg

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

UNUSED_SECONDS: Final = 60.0
"""After so long, or up to twice as long, unused connections go back to the pool, which closes them later."""

RELEASE_SECONDS: Final = 5.0
"""Longest wait for a database that takes leave of a connection; one that is silent keeps no place of the pool."""

CLOSE_SECONDS: Final = 30.0
"""Longest wait for the statements in flight when all is closed."""


class WarmPool:
    """Connections of a pool, some of them at hand.

    Args:
        pool: open; whose connections are lent here only.
        unused_seconds: when unused connections go back to it.
        release_seconds: longest wait for the database when one does.
        close_seconds: longest wait for the statements in flight when all is closed.
    """

    def __init__(
        self,
        pool: "Pool",
        *,
        unused_seconds: float = UNUSED_SECONDS,
        release_seconds: float = RELEASE_SECONDS,
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._pool = pool
        self._unused_seconds = unused_seconds
        self._release_seconds = release_seconds
        self._close_seconds = close_seconds
        self._kept: list[Connection] = []
        self._unused = 0  # how many of them, counted from the bottom, nobody has borrowed since the last round
        self._timer: asyncio.TimerHandle | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    def get_size(self) -> int:
        """Return how many connections are open."""
        return self._pool.get_size()

    def get_idle_size(self) -> int:
        """Return how many of them nobody uses."""
        return self._pool.get_idle_size() + len(self._kept)

    def get_max_size(self) -> int:
        """Return how many there may be."""
        return self._pool.get_max_size()

    async def borrow(self) -> "Connection":
        """Return a connection, which `give_back` or `give_up` takes back.

        Raises:
            OSError, asyncpg.PostgresError, asyncpg.InterfaceError: none can be made.
        """
        while self._kept:
            connection = self._kept.pop()
            if len(self._kept) < self._unused:
                self._unused = len(self._kept)
            if is_alive(connection):
                return connection
            await self._release(connection)
        return await self._pool.acquire()

    def give_back(self, connection: "Connection") -> None:
        """Keep a connection whose last statement ended well."""
        self._kept.append(connection)
        if self._timer is None:
            if self._closed:
                self._let_go(1)
            else:
                self._timer = asyncio.get_running_loop().call_later(self._unused_seconds, self._round)

    async def give_up(self, connection: "Connection") -> None:
        """Leave a connection in doubt to the pool: it waits for what was cancelled, ends transactions, or closes it."""
        await self._release(connection)

    async def lost(self, connection: "Connection") -> None:
        """Close a connection that broke, and all of its age: they may be as dead, and not know it yet."""
        with suppress(asyncpg.InterfaceError):  # the pool noticed first, and has taken it back
            connection.terminate()
        await self.forget()
        await self._release(connection)

    async def forget(self) -> None:
        """Lend no connection again that was made before now."""
        await self._pool.expire_connections()
        self._let_go(len(self._kept))

    async def close(self) -> None:
        """Close all connections after the statements in flight, if these end in time."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._let_go(len(self._kept))
        with suppress(TimeoutError):  # then the pool has cut them off
            async with asyncio.timeout(self._close_seconds):
                await self._pool.close()

    def _round(self) -> None:
        self._timer = None
        self._let_go(self._unused)
        self._unused = len(self._kept)
        if self._kept:
            self._timer = asyncio.get_running_loop().call_later(self._unused_seconds, self._round)

    def _let_go(self, number: int) -> None:
        """Return connections to the pool, those used longest ago first."""
        leaving, self._kept = self._kept[:number], self._kept[number:]
        self._unused = max(0, self._unused - number)
        for connection in leaving:
            task = asyncio.get_running_loop().create_task(self._release(connection))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _release(self, connection: "Connection") -> None:
        # What fails here is the connection's end: the pool has cut it off, and the place is free.
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):  # TimeoutError is an OSError
            await self._pool.release(connection, timeout=self._release_seconds)


def is_alive(connection: "Connection") -> bool:
    """Tell whether a connection is of use, as far as this side knows."""
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # the pool noticed first, and has taken it back
        return False
