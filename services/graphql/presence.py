"""Notes in the database, every few seconds, that clients have a way in: to this service, and to it through the gateway.
Called by app.

The gateway gives its sign every few seconds even if no client asks for anything; so what is missing when it stays away
is the way in, not clients. Where there is no gateway, that this service runs is all that can be known.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from server_core.actions.context import ActionContext
from server_core.actions.presence import note_presence

logger = logging.getLogger(__name__)

EVERY_SECONDS = 5.0


class Presence:
    """Notes in the background that this service and the gateway are there.

    Args:
        context: the database.
        every_seconds: the shortest time between two notes of the same.
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
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Note from now on that this service is there."""
        self._running = asyncio.create_task(self._run(), name="presence of graphql")

    def reached(self) -> None:
        """Take notice of a sign of the gateway; costs nothing but once in a while."""
        now = self._clock()
        if now >= self._due and (self._noting is None or self._noting.done()):
            self._due = now + self._every
            self._noting = asyncio.create_task(note_presence(self._context, service="gateway"), name="presence")

    async def stop(self) -> None:
        """Drop the notes that are being written."""
        tasks = [task for task in (self._noting, self._running) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await note_presence(self._context, service="graphql")
            except Exception:
                logger.exception("presence was not noted")
