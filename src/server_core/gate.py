"""Work that arrives → so much at a time, a short queue, and the rest turned away. Used where a service would choke.

While there are places the way through costs a comparison and two additions. What is turned away was not begun.
"""

import asyncio
from collections import deque
from types import TracebackType

from server_core.errors import Overloaded


class Gate:
    """Lets a number of callers in at a time.

    Args:
        places: most that are inside.
        waiting: most that wait for a place; of urgent callers as many again, whom the others cannot keep out.
        seconds: longest wait.
        kept: places of these that only urgent callers get; they are also let in before all others who wait.
        message: what those are told who are turned away.
    """

    def __init__(
        self,
        *,
        places: int,
        waiting: int,
        seconds: float,
        kept: int = 0,
        message: str = "The server is busy; try again in a few seconds.",
    ) -> None:
        self._free = places
        self._kept = min(kept, places - 1)
        self._most = waiting
        self._seconds = seconds
        self._message = message
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._urgent) + len(self._others)

    def place(self, *, urgent: bool = False) -> "_Place":
        """Return a place, to be entered with `async with`; entering raises Overloaded when there is none in time."""
        return _Place(self, urgent)

    async def enter(self, urgent: bool) -> None:
        """Take a place, waiting for it if need be.

        Raises:
            Overloaded: too many wait, or the wait was too long.
        """
        if self._free > (0 if urgent else self._kept):  # then nobody waits whose turn it is
            self._free -= 1
            return
        queue = self._urgent if urgent else self._others
        if len(queue) >= self._most:
            raise Overloaded(self._message)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        queue.append(turn)
        limit = loop.call_later(self._seconds, self._expire, queue, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # the place came at the same moment
            elif turn in queue:
                queue.remove(turn)
            raise
        finally:
            limit.cancel()

    def leave(self) -> None:
        """Give a place back, to whoever waits first."""
        self._free += 1
        for queue, least in ((self._urgent, 0), (self._others, self._kept)):
            while queue and self._free > least:
                turn = queue.popleft()
                if not turn.done():
                    self._free -= 1
                    turn.set_result(None)

    def _expire(self, queue: deque[asyncio.Future[None]], turn: asyncio.Future[None]) -> None:
        if not turn.done():
            queue.remove(turn)
            turn.set_exception(Overloaded(self._message))


class _Place:
    """One caller's stay."""

    __slots__ = ("_gate", "_urgent")

    def __init__(self, gate: Gate, urgent: bool) -> None:
        self._gate = gate
        self._urgent = urgent

    async def __aenter__(self) -> None:
        await self._gate.enter(self._urgent)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.leave()
