"""A client that hangs up → an end of what only it waits for. Used at the HTTP doors of gateway and data, for reads.

    departure = departures.of(receive)          one per HTTP request, after its body has been read
    with departure.cancelling():                a read; a mutation goes on whoever still listens
        answer = await …                        raises Departed if the client left
    departure.over()                            the answer is there

Most reads are answered before anybody would look, so looking begins late, and one timer serves all requests.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from types import TracebackType
from typing import Any

LOOK_AFTER_SECONDS = 0.2
"""What takes less is finished: to end it would save nothing."""

ON_AND_ON = nullcontext()
"""What goes on though the client leaves; stands where `cancelling` might."""

Receive = Callable[[], Awaitable[Mapping[str, Any]]]


class Departed(Exception):
    """The client has left; there is nobody to answer."""


class Departures:
    """The clients of one door, looked after from some time on.

    Args:
        after_seconds: how long a read takes before anybody looks, at least; at most twice as long.
    """

    def __init__(self, *, after_seconds: float = LOOK_AFTER_SECONDS) -> None:
        self._after = after_seconds
        self._young: set[Departure] = set()
        self._old: set[Departure] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of all clients; asking for it costs a system call, so it is asked for once."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop

    def of(self, receive: Receive) -> "Departure":
        """Return whether the client of a request has left.

        Args:
            receive: of the ASGI scope; nothing else may call it any more.
        """
        return Departure(receive, self)

    def begun(self, departure: "Departure") -> None:
        """Take notice of a read under way."""
        self._young.add(departure)
        if self._timer is None:
            self._timer = self.loop.call_later(self._after, self._round)

    def over(self, departure: "Departure") -> None:
        """Look after it no more."""
        self._young.discard(departure)
        self._old.discard(departure)

    def _round(self) -> None:
        for departure in self._old:
            departure.look()
        self._old, self._young = self._young, set()
        self._timer = self.loop.call_later(self._after, self._round) if self._old else None


class Departure:
    """Whether the client of one HTTP request has left; made by Departures."""

    __slots__ = ("_departures", "_left", "_looking", "_receive", "_tasks")

    def __init__(self, receive: Receive, departures: Departures) -> None:
        self._receive = receive
        self._departures = departures
        self._left = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._looking: asyncio.Task[None] | None = None

    def cancelling(self) -> "_Cancelling":
        """Cancel the current task inside the block when the client leaves; the block then raises Departed."""
        return _Cancelling(self)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the client's request."""
        return self._departures.loop

    def over(self) -> None:
        """Stop looking."""
        self._departures.over(self)
        if self._looking is not None:
            self._looking.cancel()

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Note a task that only the client waits for.

        Raises:
            Departed: it has left.
        """
        if self._left:
            raise Departed
        if not self._tasks and self._looking is None:
            self._departures.begun(self)
        self._tasks.add(task)

    def end(self, task: asyncio.Task[Any], error: BaseException | None) -> None:
        """Note that a task is done, or failed.

        Raises:
            Departed: it was cancelled because the client left.
        """
        if isinstance(error, asyncio.CancelledError) and task not in self._tasks and task.uncancel() == 0:
            # If somebody else cancelled the task too, that one's wish is the stronger.
            raise Departed from None
        self._tasks.discard(task)

    def look(self) -> None:
        """Begin to wait for the client's departure."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._wait(), name="departure")

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left = True
        while self._tasks:
            self._tasks.pop().cancel()


class _Cancelling:
    __slots__ = ("_departure", "_task")

    def __init__(self, departure: Departure) -> None:
        self._departure = departure

    def __enter__(self) -> None:
        task = asyncio.current_task(self._departure.loop)
        assert task is not None  # noqa: S101 - only coroutines come here
        self._task = task
        self._departure.begin(task)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._departure.end(self._task, error)
