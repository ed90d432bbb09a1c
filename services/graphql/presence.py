"""Requests that arrive → a note in the database, every few seconds, that clients can reach the server. Called by app.

The gateway asks something every few seconds even if no client does; so what is missing is the way in, not clients.
"""

import asyncio
import time
from collections.abc import Callable

from server_core.actions.context import ActionContext
from server_core.actions.presence import note_presence

EVERY_SECONDS = 5.0


class Presence:
    """Notes that requests arrive, in the background and not for each of them.

    Args:
        context: the database.
        every_seconds: the shortest time between two notes.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        context: ActionContext,
        *,
        every_seconds: float = EVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._every = every_seconds
        self._clock = clock
        self._due = clock()
        self._noting: asyncio.Task[None] | None = None

    def reached(self) -> None:
        """Take notice of a request; costs nothing but once in a while."""
        now = self._clock()
        if now >= self._due and (self._noting is None or self._noting.done()):
            self._due = now + self._every
            self._noting = asyncio.create_task(note_presence(self._context), name="presence")

    async def stop(self) -> None:
        """Drop a note that is being written."""
        if self._noting is not None:
            self._noting.cancel()
            await asyncio.gather(self._noting, return_exceptions=True)
