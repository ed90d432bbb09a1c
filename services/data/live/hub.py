"""The live queries of a process: one per statement and parameters, asked again when what it reads has changed.

Called by app (watch) and listener (cover, changed). A live query is asked at once, then after each change of a
table it reads: at once, but not more often than settings allow, so that many changes become one question. Where no
notification can be had (a view, a function, a table without the trigger, no connection to listen on) it is asked at an
interval. Whoever watches gets a result only if its bytes are others than before.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Hashable
from contextvars import Context
from typing import Final

from server_core.graphql_ws.audience import Audience
from server_core.wire import End, Watcher
from services.data.answer import Prepared
from services.data.catalog.model import QualifiedName
from services.data.errors import ConnectionFailed, DataError, Unexpected
from services.data.plan.reads import Reads

logger = logging.getLogger(__name__)

RETRY_SECONDS: Final = 1.0
"""Pause before a question that could not be put is put again."""

NOTHING: Final[frozenset[QualifiedName]] = frozenset()


class Hub:
    """All live queries.

    Args:
        answer: asks the database; raises DataError.
        min_interval: seconds between two questions of one live query.
        poll_interval: seconds between them where there are no notifications.
        retry_interval: seconds before a question that could not be put is put again.
        at_once: most questions put at the same time; the others wait, so that ordinary requests find connections.

    Attributes:
        wanted: set while there is a live query.
        interest: called when a live query begins or ends, and with it what `tables` returns.
    """

    def __init__(
        self,
        answer: Callable[[Prepared], Awaitable[bytes]],
        *,
        min_interval: float,
        poll_interval: float,
        at_once: int,
        retry_interval: float = RETRY_SECONDS,
    ) -> None:
        self.answer = answer
        self.min_interval = min_interval
        self.poll_interval = poll_interval
        self.retry_interval = retry_interval
        self.turn = asyncio.Semaphore(at_once)
        self.wanted = asyncio.Event()
        self.interest: Callable[[], None] = lambda: None
        self._covered = NOTHING
        self._queries: dict[Hashable, _LiveQuery] = {}

    def watch(self, prepared: Prepared, watcher: Watcher) -> End:
        """Tell the watcher the result now and whenever it changes, until the returned function is called.

        Args:
            prepared: a subscription.
        """
        key = _key(prepared)
        query = self._queries.get(key)
        if query is None:
            query = self._queries[key] = _LiveQuery(self, prepared, lambda: self._forget(key))
            self.wanted.set()
            self.interest()
        query.add(watcher)
        return lambda: query.remove(watcher)

    def changed(self, table: QualifiedName) -> None:
        """Ask again what reads this table."""
        for query in self._queries.values():
            if table in query.reads.tables:
                query.ask()

    def tables(self) -> frozenset[QualifiedName]:
        """Return every table that a live query reads."""
        return frozenset().union(*(query.reads.tables for query in self._queries.values()))

    def cover(self, tables: frozenset[QualifiedName]) -> None:
        """Note of which tables `changed` will tell every change from now on.

        What reads a table that was not among them, or is no longer, is asked again: a change may have gone unnoticed.
        """
        turned, self._covered = tables ^ self._covered, tables
        for query in self._queries.values():
            if turned & query.reads.tables:
                query.ask()

    def covers(self, reads: Reads) -> bool:
        """Say whether every change of an answer is told by `changed`."""
        return not reads.unknown and reads.tables <= self._covered

    def stop(self) -> None:
        """End every live query, without a word."""
        for query in list(self._queries.values()):
            query.stop()

    def _forget(self, key: Hashable) -> None:
        del self._queries[key]
        if not self._queries:
            self.wanted.clear()
        self.interest()


class _LiveQuery:
    """One statement with its parameters, and who watches it."""

    def __init__(self, hub: Hub, prepared: Prepared, forget: Callable[[], None]) -> None:
        if prepared.answer.reads is None:
            raise TypeError("not a subscription")
        self.reads = prepared.answer.reads
        self._hub = hub
        self._prepared = prepared
        self._forget = forget
        self._audience = Audience()
        self._stale = asyncio.Event()
        # It outlives the request that began it, and answers others: what it logs is not about that one.
        self._task = asyncio.create_task(self._run(), context=Context())

    def add(self, watcher: Watcher) -> None:
        """Tell a further watcher; the result that is known comes at once."""
        self._audience.add(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Tell a watcher no more; without watchers the live query ends."""
        if self._audience.remove(watcher):
            self.stop()

    def ask(self) -> None:
        """Ask again: the answer may have changed."""
        self._stale.set()

    def stop(self) -> None:
        """End, without a word."""
        self._audience.clear()
        self._task.cancel()
        self._forget()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._stale.clear()
            began = loop.time()
            try:
                body = await self._answer()
            except ConnectionFailed as error:
                if self._audience.newest is None:
                    return self._fail(error)
                await asyncio.sleep(self._hub.retry_interval)
                continue
            except DataError as error:
                return self._fail(error)
            self._audience.tell(body)
            # A question that takes long is put as long not again: half of its connection's time stays free.
            await asyncio.sleep(max(self._hub.min_interval, loop.time() - began))
            await self._until_stale()

    async def _answer(self) -> str:
        try:
            async with self._hub.turn:
                return (await self._hub.answer(self._prepared)).decode()
        except DataError:
            raise
        except Exception as error:
            unexpected = Unexpected("internal error", id=uuid.uuid4().hex)
            logger.exception("live query failed", extra={"error_id": unexpected.id})
            raise unexpected from error

    async def _until_stale(self) -> None:
        try:
            async with asyncio.timeout(None if self._hub.covers(self.reads) else self._hub.poll_interval):
                await self._stale.wait()
        except TimeoutError:
            pass

    def _fail(self, error: DataError) -> None:
        self._forget()
        self._audience.end([error.entry()])


def _key(prepared: Prepared) -> Hashable:
    """Return what two subscriptions must share to be one live query."""
    parameters = tuple(tuple(value) if isinstance(value, list) else value for value in prepared.parameters)
    return (prepared.text, parameters, prepared.answer.order)
