"""What statements and probes meet → whether the database is there, in one log line per change. One per service.

Pulse asks for it: on a connection of its own, so that a pool whose places are all taken does not look like an outage,
and so seldom that it may be asked as often as anybody likes.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING

import asyncpg

from server_core.db.dsn import plain_dsn

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

ANSWER_SECONDS = 2.0
"""A database that takes longer to answer `SELECT 1` is not there."""

FRESH_SECONDS = 0.5
"""So old may an answer be."""


class Contact:
    """Whether the database answers, as far as this process knows.

    Args:
        logger: of the service; gets one line when the database goes away and one when it is back.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.lost_it = False

    def lost(self, error: BaseException) -> None:
        """Take notice of a failure for which the database, or the way to it, is to blame."""
        if not self.lost_it:
            self.lost_it = True
            reason = " ".join(str(error).split()) or type(error).__name__
            self._logger.warning("the database is away: %s", reason)

    def found(self) -> None:
        """Take notice of an answer; costs nothing while all is well."""
        if self.lost_it:
            self.lost_it = False
            self._logger.info("the database is back")


class Pulse:
    """Asks whether the database answers.

    Args:
        dsn: the database.
        contact: told what comes out.
        answer_seconds: longest wait.
    """

    def __init__(self, dsn: str, contact: Contact, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._dsn = plain_dsn(dsn)
        self._contact = contact
        self._answer_seconds = answer_seconds
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None
        self._there = False
        self._asked_at = float("-inf")

    async def beats(self) -> bool:
        """Tell whether the database answers now, or did half a second ago; never raises."""
        async with self._turn:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                self._there = await self._ask()
                self._asked_at = time.monotonic()
            return self._there

    async def stop(self) -> None:
        """Close the connection."""
        async with self._turn:
            self._drop()

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(self._answer_seconds):
                if self._connection is None or self._connection.is_closed():
                    self._connection = await asyncpg.connect(
                        self._dsn,
                        statement_cache_size=0,
                        server_settings={"application_name": "prefect-server pulse"},
                    )
                await self._connection.execute("SELECT 1")
        except Exception as error:  # whatever it is: a database that cannot be asked is not there
            self._drop()
            self._contact.lost(error)
            return False
        self._contact.found()
        return True

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
