"""Chunks of a long answer on their way from who makes them to who sends them, and how long one waits for the other.

Used by the data service between Postgres and the client, and by the gateway between an upstream and the client.

    spool = Spool(stop=task.cancel)
    spool.push(chunk); await spool.room(); …; spool.end()         who makes: in the end, or `fail`, whatever happened
    async for chunk in spool: …                                   who sends
    spool.close()                                                 who sends wants no more

What makes chunks holds something dear: a connection to Postgres, a place at an upstream. So it waits for a client that
reads slowly only while more than `most` bytes lie here, only so long, and only while nobody waits for the same; then it
goes on, and the rest of the answer lies in memory, as all of it would without chunks.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

MOST_BYTES: Final = 8 * 1024 * 1024
"""Who makes chunks waits while more lies here."""

PATIENCE_SECONDS: Final = 3.0
"""So long, in all, and as long again as it took to make what was made: what is dear is held about twice as long as
without a client, at most."""

LOOK_SECONDS: Final = 0.1
"""Who waits for a client looks so often whether somebody waits for what it holds."""


class Closed(Exception):
    """Somebody wanted no more chunks, and then asked for one."""


class Spool:
    """The chunks of one answer.

    Args:
        stop: ends the making; called when nobody wants more, if it is not over.
        most: bytes that may lie here before it waits.
        patience: seconds that it waits in all, beside the time that it works.
        clock: of seconds; that of the event loop by default.

    Attributes:
        held: bytes that lie here.
        highest: the most that ever did.
        failed: whether the making ended with an error.
    """

    def __init__(
        self,
        *,
        stop: Callable[[], object],
        most: int = MOST_BYTES,
        patience: float = PATIENCE_SECONDS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.held = 0
        self.highest = 0
        self.failed = False
        self._stop = stop
        self._most = most
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._began = self._clock()
        self._waited = 0.0
        self._chunks: deque[bytes] = deque()
        self._error: BaseException | None = None
        self._over = False
        self._closed = False
        self._maker: asyncio.Future[None] | None = None
        self._sender: asyncio.Future[None] | None = None
        self._then: list[Callable[[], object]] = []
        self._wanted: list[Callable[[], bool]] = []

    @property
    def full(self) -> bool:
        """Whether so much lies here that there is no room."""
        return self.held > self._most

    def push(self, chunk: bytes) -> None:
        """Take a chunk; one that nobody wants is dropped."""
        if self._closed or not chunk:
            return
        self._chunks.append(chunk)
        self.held += len(chunk)
        self.highest = max(self.highest, self.held)
        _wake(self._sender)

    async def room(self) -> None:
        """Wait until there is room, nobody wants more, the patience is over, or others wait."""
        while self.full and not any(wanted() for wanted in self._wanted):
            now = self._clock()
            # How long it has worked, and may wait as long again, is the time since it began without what it waited.
            left = self._patience + (now - self._began - self._waited) - self._waited
            if left <= 0:
                return
            maker = self._maker = self._loop.create_future()
            timer = self._loop.call_later(min(left, LOOK_SECONDS) if self._wanted else left, _wake, maker)
            try:
                await maker
            finally:
                timer.cancel()
                self._maker = None
                self._waited += self._clock() - now

    def end(self) -> None:
        """Take notice that all chunks are here."""
        self._finish()

    def fail(self, error: BaseException) -> None:
        """Take notice that there will be no more, though the answer is not complete; if it was, nothing happens."""
        if not self._over:
            self.failed = True
            self._error = error
            self._drop()
            self._finish()

    def when_over(self, then: Callable[[], object]) -> None:
        """Have something done once when the making is over, whatever came of it; at once if it is."""
        if self._over:
            then()
        else:
            self._then.append(then)

    def give_way(self, wanted: Callable[[], bool]) -> None:
        """Wait for a client only while nobody wants what the making holds.

        Args:
            wanted: tells whether somebody does; asked every LOOK_SECONDS while it waits.
        """
        self._wanted.append(wanted)

    def close(self) -> None:
        """Want no more, and stop the making if it is not over."""
        if self._closed:
            return
        self._closed = True
        self._drop()
        if not self._over:
            self._stop()

    async def begun(self) -> None:
        """Wait for the first chunk, and leave it here.

        Raises:
            BaseException: what the making failed with.
            Closed: nobody wants more.
        """
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self._closed:
                raise Closed
            if self._over:
                return
            self._sender = self._loop.create_future()
            await self._sender

    def __aiter__(self) -> "Spool":
        return self

    async def __anext__(self) -> bytes:
        """Return the next chunk; raises as begun does."""
        await self.begun()
        if not self._chunks:
            raise StopAsyncIteration
        chunk = self._chunks.popleft()
        self.held -= len(chunk)
        if not self.full:
            _wake(self._maker)
        return chunk

    def _drop(self) -> None:
        self._chunks.clear()
        self.held = 0
        _wake(self._maker)

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        _wake(self._sender)
        then, self._then = self._then, []
        for each in then:
            each()


def _wake(waiter: "asyncio.Future[None] | None") -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
