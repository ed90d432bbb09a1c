"""What waits for a client: order, replacing, bounds."""

import asyncio

import pytest

from server_core.graphql_ws.outbox import FULL, Outbox
from server_core.graphql_ws.protocol import Close


class Reader:
    """A client that takes messages when it is told to."""

    def __init__(self, *, reads: bool = True) -> None:
        self.reading = asyncio.Event()
        self.got: list[str] = []
        if reads:
            self.reading.set()

    async def send(self, text: str) -> None:
        """Take a message."""
        await self.reading.wait()
        self.got.append(text)

    async def close(self, code: int, reason: str) -> None:
        """Take the end."""
        await self.send(f"{code} {reason}")


def outbox_of(reader: Reader, *, timeout: float = 60) -> Outbox:
    """Return an outbox for a reader."""
    return Outbox(reader.send, reader.close, timeout=timeout)


async def test_messages_come_in_order_and_the_end_last() -> None:
    reader = Reader()
    outbox = outbox_of(reader)
    outbox.put("a")
    outbox.replace(1, ("b", "c"))
    outbox.put("d")
    outbox.put(Close(code=1000, reason="bye"))
    await outbox.run()
    assert reader.got == ["a", "bc", "d", "1000 bye"]


async def test_a_newer_result_takes_the_place_of_an_older_one() -> None:
    reader = Reader(reads=False)
    outbox = outbox_of(reader)
    running = asyncio.create_task(outbox.run())
    outbox.put("first")
    await asyncio.sleep(0)
    for number in range(1000):
        outbox.replace("one", (f"one {number}",))
        outbox.replace("two", (f"two {number}",))
    outbox.replace("dropped", ("x",))
    outbox.drop("dropped")
    outbox.drop("never there")
    outbox.put(Close(code=1000, reason=""))
    reader.reading.set()
    await running
    assert reader.got == ["first", "one 999", "two 999", "1000 "]


async def test_there_is_room_again_when_something_was_read() -> None:
    reader = Reader(reads=False)
    outbox = outbox_of(reader)
    for number in range(FULL - 1):
        outbox.put(str(number))
    await outbox.room()
    outbox.put("last")
    waiting = asyncio.create_task(outbox.room())
    running = asyncio.create_task(outbox.run())
    for _ in range(3):
        await asyncio.sleep(0)
    reader.reading.set()
    await waiting
    outbox.put(Close(code=1000, reason=""))
    await running
    assert len(reader.got) == FULL + 1


async def test_who_does_not_read_is_given_up() -> None:
    outbox = outbox_of(Reader(reads=False), timeout=0.01)
    outbox.put("a")
    with pytest.raises(TimeoutError):
        await outbox.run()
