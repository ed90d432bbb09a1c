"""Work that arrives → so much at a time, a short queue, and the rest turned away. Used where a service would choke.

While there are places the way through costs a comparison and two additions. One timer serves all who wait. What is
turned away was not begun.
"""

import asyncio
from collections import deque

from server_core.errors import Overloaded

_Waiter = tuple[asyncio.Future[None], float]
"""Who waits for a turn, and until when."""


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
        self._urgent: deque[_Waiter] = deque()
        self._others: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._urgent) + len(self._others)

    def is_waited_for(self) -> bool:
        """Tell whether somebody waits."""
        return bool(self._urgent or self._others)

    def enter_at_once(self, *, urgent: bool = False) -> bool:
        """Take a place if there is one; tell whether there was. To be tried before `enter`: it costs no coroutine."""
        if self._free > (0 if urgent else self._kept):  # then nobody waits whose turn it is
            self._free -= 1
            return True
        return False

    async def enter(self, *, urgent: bool = False) -> None:
        """Take a place, waiting for it if need be; `leave` gives it back.

        Raises:
            Overloaded: too many wait, or the wait was too long.
        """
        if self.enter_at_once(urgent=urgent):
            return
        queue = self._urgent if urgent else self._others
        if len(queue) >= self._most:
            raise Overloaded(self._message)
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        waiter = turn, loop.time() + self._seconds
        queue.append(waiter)
        if self._timer is None:
            self._timer = loop.call_at(waiter[1], self._expire)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # the place came at the same moment
            elif waiter in queue:
                queue.remove(waiter)
            raise

    def leave(self) -> None:
        """Give a place back, to whoever waits first."""
        self._free += 1
        for queue, least in ((self._urgent, 0), (self._others, self._kept)):
            while queue and self._free > least:
                turn, _ = queue.popleft()
                if not turn.done():
                    self._free -= 1
                    turn.set_result(None)

    def _expire(self) -> None:
        """Turn those away who have waited too long; all wait equally long, so they stand at the front."""
        assert self._loop is not None  # noqa: S101 - somebody waits
        self._timer = None
        now = self._loop.time()
        for queue in (self._urgent, self._others):
            while queue and queue[0][1] <= now:
                turn, _ = queue.popleft()
                if not turn.done():
                    turn.set_exception(Overloaded(self._message))
        deadlines = [queue[0][1] for queue in (self._urgent, self._others) if queue]
        if deadlines:
            self._timer = self._loop.call_at(min(deadlines), self._expire)
