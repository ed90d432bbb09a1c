"""A client that hangs up ends what only it waits for."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from server_core.departure import Departed, Departure, Departures


class Client:
    """The receiving side of a connection that is closed when a test says so."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.asked = 0

    async def receive(self) -> Mapping[str, Any]:
        self.asked += 1
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def reading(departure: Departure, inside: asyncio.Event) -> str:
    with departure.cancelling():
        inside.set()
        await asyncio.Event().wait()
    return "answer"


async def test_reads_end_when_the_client_leaves() -> None:
    client = Client()
    departure = Departures(after_seconds=0).of(client.receive)
    begun = [asyncio.Event(), asyncio.Event()]
    reads = [asyncio.create_task(reading(departure, each)) for each in begun]
    mutation = asyncio.create_task(asyncio.sleep(0, "written"))
    for each in begun:
        await each.wait()
    client.gone.set()
    assert [type(result) for result in await asyncio.gather(*reads, return_exceptions=True)] == [Departed, Departed]
    assert await mutation == "written"
    assert client.asked == 1
    with pytest.raises(Departed):
        await reading(departure, asyncio.Event())
    departure.over()


async def test_a_quick_answer_is_not_looked_after() -> None:
    client = Client()
    client.gone.set()
    departure = Departures(after_seconds=3600).of(client.receive)
    with departure.cancelling():
        await asyncio.sleep(0)
    departure.over()
    assert client.asked == 0


async def test_who_cancels_the_task_is_obeyed() -> None:
    client = Client()
    departure = Departures(after_seconds=0).of(client.receive)
    begun = asyncio.Event()
    read = asyncio.create_task(reading(departure, begun))
    await begun.wait()
    read.cancel()
    with pytest.raises(asyncio.CancelledError):
        await read
    departure.over()


async def test_a_timeout_around_a_read_stays_a_timeout() -> None:
    departure = Departures(after_seconds=0).of(Client().receive)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await reading(departure, asyncio.Event())
    departure.over()
