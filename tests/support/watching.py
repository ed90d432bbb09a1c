"""Someone who watches a subscription and notes what it is told, for tests of whatever has subscriptions."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

PATIENCE = 20.0
"""Seconds after which what is not told fails the test."""


class Noting:
    """A wire.Watcher that notes what it is told, in order: bodies, and the list of errors at the end."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[Any] = asyncio.Queue()

    def result(self, body: str) -> None:
        """Note a result."""
        self.told.put_nowait(body)

    def ended(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Note the end."""
        self.told.put_nowait(list(errors))

    async def next(self) -> Any:
        """Return what was told next."""
        async with asyncio.timeout(PATIENCE):
            return await self.told.get()

    async def code(self) -> str:
        """Return the code of the one error that was told next."""
        (error,) = await self.next()
        code: str = error["extensions"]["code"]
        return code
