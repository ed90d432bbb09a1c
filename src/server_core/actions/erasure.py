"""Deletes what has very many rows below it: bottom up, in statements of about equal time, until a budget is spent.

Called by actions.removal and actions.retention. Each statement is a transaction of its own, so whatever ends the work
in the middle leaves less to do and nothing half done in a row. Several may work on the same rows: nobody waits for
anybody while it holds more than one row.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol
from uuid import UUID

from server_core.db.session import Database, WriteSession
from server_core.errors import Unavailable
from server_core.rules import pacing
from server_core.store import removal as store
from server_core.store.removal import Branch, Kind

logger = logging.getLogger(__name__)

TARGET_SECONDS = 0.1
"""How long one statement should last: on a machine that is busy with others it lasts several times as long."""


class Budget(Protocol):
    """How much may be done now."""

    def is_spent(self) -> bool: ...

    def note(self, rows: int) -> None:
        """Take note of a statement that deleted so many rows."""
        ...


class TimeBudget:
    """So many seconds from now.

    Args:
        seconds: None: no limit.
        timer: tells seconds.
    """

    def __init__(self, seconds: float | None, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._end = None if seconds is None else timer() + seconds

    def is_spent(self) -> bool:
        """Tell whether the time is over; with 0 seconds it is at once."""
        return self._end is not None and self._timer() >= self._end

    def note(self, rows: int) -> None:
        """Nothing: time passes by itself."""


class BudgetSpent(Exception):
    """Not now: the budget is spent."""


class Eraser:
    """Deletes rows in small statements; knows how large they should be by those before.

    Args:
        database: where.
        budget: ends the work, between two statements.
        rest: seconds of pause per second of work, for the sake of everybody else.
        first_rows: the most rows of the first statement on each table.
        timer: tells seconds.

    Attributes:
        deleted: rows by table.
    """

    def __init__(
        self,
        database: Database,
        budget: Budget,
        *,
        rest: float = 0.0,
        first_rows: int = pacing.FIRST_ROWS,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._budget = budget
        self._rest = rest
        self._timer = timer
        self._first_rows = first_rows
        self._rows: dict[str, int] = {}
        self.deleted: Counter[str] = Counter()

    async def erase(self, kind: Kind, ids: Sequence[UUID]) -> bool:
        """Delete rows of a kind with all below them; return whether all of that was done.

        It was not when the budget is spent or somebody else keeps rows: then a later call goes on.

        Raises:
            Unavailable: the database cannot be reached.
        """
        root = store.ROOTS[kind]
        try:
            return await self._clear(root, ids, durable=True)
        except BudgetSpent:
            return False

    async def work(self, table: str, statement: Callable[[WriteSession, int], Awaitable[int]]) -> tuple[int, int]:
        """Run one statement in a transaction; return how many rows it took and how many it might have taken.

        Args:
            table: what it deletes from, or works on.
            statement: is given the most rows to take, returns how many it took.

        Raises:
            BudgetSpent: before anything was done.
        """
        if self._budget.is_spent():
            raise BudgetSpent
        limit = self._rows.setdefault(table, self._first_rows)
        started = self._timer()
        async with self._database.transaction() as session:
            took = await statement(session, limit)
        seconds = self._timer() - started
        self._rows[table] = pacing.next_rows(limit, took=took, seconds=seconds, target_seconds=TARGET_SECONDS)
        if took:
            self._budget.note(took)
        if self._rest:
            await asyncio.sleep(seconds * self._rest)
        return took, limit

    async def _clear(self, branch: Branch, above: Sequence[UUID], *, durable: bool = False) -> bool:
        if not branch.below:
            return await self._clear_leaves(branch, above)
        if branch.first:  # what of these is kept by somebody comes again among all
            await self._clear_rows(branch, above, durable=durable, first=True)
        return await self._clear_rows(branch, above, durable=durable, first=False)

    async def _clear_leaves(self, branch: Branch, above: Sequence[UUID]) -> bool:
        async def delete(session: WriteSession, limit: int) -> int:
            await store.scope(session, durable=False)
            return await store.delete_leaves(session, branch, above=above, limit=limit)

        while True:
            took, limit = await self.work(branch.table, delete)
            self.deleted[branch.table] += took
            if took < limit:
                return True

    async def _clear_rows(self, branch: Branch, above: Sequence[UUID], *, durable: bool, first: bool) -> bool:
        while True:
            limit = self._rows.setdefault(branch.table, self._first_rows)
            ids = await self._find(branch, above, limit, first=first)
            gone = await self._clear_page(branch, ids, durable=durable) if ids else 0
            if gone == len(ids) < limit:
                return True
            if not gone:
                return False

    async def _clear_page(self, branch: Branch, ids: Sequence[UUID], *, durable: bool) -> int:
        """Delete rows with all below them; return how many went.

        When somebody keeps a row below one of these, its halves are tried: what holds it stays, whole, the others go.
        """
        for below in branch.below:
            if not await self._clear(below, ids):
                if len(ids) == 1:
                    return 0
                middle = len(ids) // 2
                halves = (ids[:middle], ids[middle:])
                return sum([await self._clear_page(branch, half, durable=durable) for half in halves])
        gone = await self._delete(branch, ids, durable=durable)
        if gone:
            return gone
        try:
            return await self._delete(branch, ids[:1], durable=durable, wait=True)
        except Unavailable as error:
            logger.info("a row of %s is left to a later pass: %s", branch.table, error)
            return 0

    async def _find(self, branch: Branch, above: Sequence[UUID], limit: int, *, first: bool) -> list[UUID]:
        if self._budget.is_spent():
            raise BudgetSpent
        async with self._database.transaction() as session:
            await store.scope(session)
            return await store.find_rows(session, branch, above=above, limit=limit, first=first)

    async def _delete(self, branch: Branch, ids: Sequence[UUID], *, durable: bool, wait: bool = False) -> int:
        async def delete(session: WriteSession, limit: int) -> int:
            await store.scope(session, durable=durable)
            return await store.delete_rows(session, branch, ids=ids, wait=wait)

        gone, _ = await self.work(branch.table, delete)
        self.deleted[branch.table] += gone
        return gone
