"""A statement with many rows → its response in chunks, while Postgres still sends. Called by app for long lists.

The rows are read through a portal (a cursor of the protocol) in a transaction, so many at a time as make a chunk. One
statement has one snapshot, however long it is read. The connection is held while Postgres works, and while a client
that reads slowly is waited for, which is not for long (server_core.spool). For Postgres each piece begins its
`statement_timeout` anew, so what the pieces take together is limited here.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from server_core.spool import MOST_BYTES, PATIENCE_SECONDS, Spool
from services.data.answer import BETWEEN_ROWS, Prepared, Rows, joined
from services.data.errors import ConnectionFailed, DataError, TimedOut
from services.data.execute import LOST, NotBegun, Postgres

_T = TypeVar("_T")

FIRST_ROWS: Final = 500
MOST_ROWS: Final = 2000
"""Fetched at a time, however little the rows before weighed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListSizes:
    """How long lists are told and cut into chunks.

    Attributes:
        whole: bytes of JSON up to which a list is answered whole.
        chunk: about so many bytes has a chunk.
        held: see Spool.most.
        patience: see Spool.
    """

    whole: int = 4 * 1024 * 1024
    chunk: int = 256 * 1024
    held: int = MOST_BYTES
    patience: float = PATIENCE_SECONDS


SIZES: Final = ListSizes()


class TimeLimit:
    """What some steps may take together, whatever is done between them.

    Args:
        seconds: in all; 0 for no limit.
    """

    def __init__(self, seconds: float) -> None:
        self._left = seconds or None
        self._loop = asyncio.get_running_loop()

    async def bound(self, step: Awaitable[_T]) -> _T:
        """Take a step.

        Raises:
            TimedOut: the time is over; the step is cancelled.
        """
        began = self._loop.time()
        try:
            async with asyncio.timeout(self._left):
                return await step
        except TimeoutError as error:
            raise TimedOut("Operation timed out", path="$") from error
        finally:
            if self._left is not None:
                self._left -= self._loop.time() - began


class Portals:
    """Long answers under way.

    Args:
        postgres: the connections that read.
        sizes: of chunks.
    """

    def __init__(self, postgres: Postgres, sizes: ListSizes = SIZES) -> None:
        self._postgres = postgres
        self._sizes = sizes
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, prepared: Prepared) -> Spool:
        """Begin to answer a request and return its response, the first chunk of which is there.

        Args:
            prepared: its rows come one by one.

        Raises:
            DataError: Postgres refuses the statement or cannot be reached.
        """
        spool = Spool(stop=lambda: task.cancel(), most=self._sizes.held, patience=self._sizes.patience)
        spool.give_way(self._postgres.is_waited_for)
        task = asyncio.create_task(self._fill(spool, prepared), name="portal")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _: spool.fail(ConnectionFailed()))  # if it was cancelled
        try:
            await spool.begun()
        except BaseException:
            spool.close()
            raise
        return spool

    async def stop(self) -> None:
        """Cut off what is under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fill(self, spool: Spool, prepared: Prepared) -> None:
        try:
            try:
                await self._read(spool, prepared)
            except LOST:
                if spool.highest:  # something is on its way to the client
                    raise
                await self._read(spool, prepared)
        except DataError as error:
            spool.fail(error)
        except Exception as error:
            failure = self._postgres.translated(error)
            failure.__cause__ = error
            spool.fail(failure)

    async def _read(self, spool: Spool, prepared: Prepared) -> None:
        head, tail = prepared.answer.around_list()
        before = head
        try:
            async with self._postgres.transaction() as connection:
                cursor = await self._postgres.portal(connection, prepared.text, prepared.parameters)
                wanted = FIRST_ROWS
                limit = TimeLimit(self._postgres.statement_timeout)
                while len(rows := cast(Rows, await limit.bound(cursor.fetch(wanted)))) == wanted:
                    chunk = joined(rows)
                    wanted = min(MOST_ROWS, max(1, len(rows) * self._sizes.chunk // len(chunk)))
                    del rows
                    spool.push(before + chunk)
                    before = BETWEEN_ROWS
                    await spool.room()
                spool.push(before + joined(rows) + tail if rows or before is head else tail)
                spool.end()  # whatever becomes of the transaction, which only read
        except NotBegun as error:
            raise error.cause from error
