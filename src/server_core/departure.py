"""A client that hangs up → an end of what only it waits for. Used at the HTTP doors of gateway and data, for reads.

    departure = Departure(receive)              one per HTTP request, after its body has been read
    with departure.cancelling():                a read; a mutation goes on whoever still listens
        answer = await …                        raises Departed if the client left
    departure.over()                            the answer is there

Most reads are answered before anybody would look, so looking begins late: until then this costs one timer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

LOOK_AFTER_SECONDS = 0.2
"""What takes less is finished: to end it would save nothing."""


class Departed(Exception):
    """The client has left; there is nobody to answer."""


class Departure:
    """Whether the client of one HTTP request has left.

    Args:
        receive: of the ASGI scope; nothing else may call it any more.
        after_seconds: how long a read takes before anybody looks.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Mapping[str, Any]]],
        *,
        after_seconds: float = LOOK_AFTER_SECONDS,
    ) -> None:
        self._receive = receive
        self._after = after_seconds
        self._left = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def cancelling(self) -> Iterator[None]:
        """Cancel the current task inside the block when the client leaves.

        Raises:
            Departed: it has.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - only coroutines come here
        if self._left:
            raise Departed
        self._tasks.add(task)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._after, self._look)
        try:
            yield
        except asyncio.CancelledError:
            # If somebody else cancelled the task too, that one's wish is the stronger.
            if task not in self._tasks and task.uncancel() == 0:
                raise Departed from None
            raise
        finally:
            self._tasks.discard(task)

    def over(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _look(self) -> None:
        self._looking = asyncio.create_task(self._wait(), name="departure")

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        while self._tasks:
            self._tasks.pop().cancel()
