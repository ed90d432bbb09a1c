"""Rows as they come from Postgres → a statement that is given up when they weigh more than shall be held. Called by
execute for lists that may be of any length.

Whether a list is long shows only when it comes. A LIMIT would tell too, but Postgres plans for a limit: it may walk an
index in the order that is asked for instead of finding the few rows that are, and one that the driver sets
(`Execute` with a row count) forbids parallel workers. So the statement stays as it is, and what its rows weigh is
counted where they are decoded, which costs a short list nothing.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import asyncpg

if TYPE_CHECKING:
    Lent = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


class TooHeavy(Exception):
    """The rows of a statement weigh more than shall be held; it was given up."""


class Scales:
    """What the JSON of a connection's statement weighs.

    Attributes:
        decode: takes a value and leaves it as it is; called by the driver for each. A closure, because it is called for
            each row: what it needs is nearer than the attributes of an object.
        tipped: whether the last statement that was weighed was given up.
    """

    __slots__ = ("_allow", "_task", "decode", "tipped")

    def __init__(self) -> None:
        left = sys.maxsize

        def decode(text: bytes) -> bytes:
            nonlocal left
            left -= len(text)
            if left < 0:
                self._tip()
            return text

        def allow(heaviest: int) -> None:
            nonlocal left
            left = heaviest

        self.decode = decode
        self.tipped = False
        self._allow = allow
        self._task: asyncio.Task[Any] | None = None

    def begin(self, heaviest: int) -> None:
        """Weigh what the current task asks for."""
        self.tipped = False
        self._task = asyncio.current_task()
        self._allow(heaviest)

    def end(self) -> None:
        """Weigh no more."""
        self._task = None
        self._allow(sys.maxsize)

    def _tip(self) -> None:
        task = self._task
        self.end()
        if task is not None:
            self.tipped = True
            task.cancel()  # it waits for the statement, which thereby ends


class WeighingConnection(asyncpg.Connection):
    """A connection with scales, once `weigh_json` put them on."""

    scales: Scales


async def weigh_json(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Let JSON come from a new connection as bytes, over its scales."""
    if isinstance(connection, WeighingConnection):
        connection.scales = Scales()
        await connection.set_type_codec(
            "json", schema="pg_catalog", encoder=bytes, decoder=connection.scales.decode, format="binary"
        )


async def fetch_weighed(
    connection: "Lent", text: str, parameters: Sequence[Any], *, heaviest: int
) -> list[asyncpg.Record]:
    """Run a statement and return its rows.

    Args:
        connection: borrowed from a pool of WeighingConnections.
        text, parameters: the statement.
        heaviest: bytes of JSON in all.

    Raises:
        TooHeavy: there is more; the driver has asked Postgres to stop, and waits for that before the next statement.
    """
    scales: Scales = cast(Any, connection).scales
    scales.begin(heaviest)
    try:
        return await connection.fetch(text, *parameters)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if scales.tipped and task is not None and task.uncancel() == 0:
            raise TooHeavy from None
        raise  # somebody else cancelled the task too, and that one's wish is the stronger
    finally:
        scales.end()
