"""What one client still has to be sent, in order, and the task that sends it. Called by conversation and socket.

A result that was not sent yet is replaced by a newer one of the same subscription: a client that reads slowly gets
fewer results, never old ones, and nobody waits for it. Everything else is bounded by `room`: no further message is
taken from a client until it has read what it was sent before.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from itertools import count
from typing import Final

from server_core.graphql_ws.protocol import Close, Parts

Item = Parts | Close

FULL: Final = 100
"""Messages that may wait before no more is taken from the client."""


class Outbox:
    """Sends messages one after the other.

    Args:
        send: sends one message; waits as long as the client does not read.
        close: closes the socket with a code and a reason.
        timeout: seconds that one message may take.
    """

    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int, str], Awaitable[None]],
        *,
        timeout: float,
    ) -> None:
        self._send = send
        self._close = close
        self._timeout = timeout
        self._serial = count()
        self._items: OrderedDict[Hashable, Item] = OrderedDict()
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, message: str | Close) -> None:
        """Add a message, or the end, after everything that waits."""
        self._add(next(self._serial), message if isinstance(message, Close) else (message,))

    def replace(self, key: Hashable, message: Parts) -> None:
        """Add a message, or put it in the place of one with the same key that still waits."""
        self._add(("newest", key), message)

    def drop(self, key: Hashable) -> None:
        """Forget the message with this key if it still waits."""
        self._items.pop(("newest", key), None)

    async def room(self) -> None:
        """Return when few enough messages wait."""
        await self._room.wait()

    async def run(self) -> None:
        """Send until the end was sent.

        Raises:
            TimeoutError: the client does not read.
        """
        while True:
            await self._filled.wait()
            while self._items:
                _, item = self._items.popitem(last=False)
                if len(self._items) < FULL:
                    self._room.set()
                async with asyncio.timeout(self._timeout):
                    if isinstance(item, Close):
                        await self._close(item.code, item.reason)
                        return
                    await self._send("".join(item))
            self._filled.clear()

    def _add(self, key: Hashable, item: Item) -> None:
        self._items[key] = item
        self._filled.set()
        if len(self._items) >= FULL:
            self._room.clear()
