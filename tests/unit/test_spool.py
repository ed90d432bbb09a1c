"""Chunks between who makes and who sends them: order, bounds, and the ends that each side may choose."""

import asyncio
from collections.abc import Callable

import pytest

from server_core.spool import Closed, Spool

NEVER = 3600.0


class Stopped:
    """Counts how often the making is stopped."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def spool(stop: Callable[[], object] | None = None, *, most: int = 10, patience: float = NEVER) -> Spool:
    return Spool(stop=stop or Stopped(), most=most, patience=patience)


async def turns() -> None:
    """Let all go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_chunks_come_in_order_and_then_the_end() -> None:
    chunks = spool()

    async def make() -> None:
        for number in range(100):
            chunks.push(b"%d," % number)
            await chunks.room()
        chunks.end()

    making = asyncio.create_task(make())
    assert b"".join([chunk async for chunk in chunks]) == b"".join(b"%d," % number for number in range(100))
    await making
    assert chunks.held == 0
    assert 10 < chunks.highest <= 13, "it fills up to the bound, and no further than the chunk that passes it"


async def test_who_waits_for_the_beginning_leaves_it_there() -> None:
    chunks = spool()
    waiting = asyncio.create_task(chunks.begun())
    await turns()
    assert not waiting.done()
    chunks.push(b"a")
    await waiting
    chunks.end()
    assert [chunk async for chunk in chunks] == [b"a"]
    await chunks.begun()


async def test_an_empty_chunk_is_none() -> None:
    """Of it nothing could be sent: an empty chunk ends an answer of HTTP/1.1."""
    chunks = spool()
    chunks.push(b"")
    chunks.end()
    assert [chunk async for chunk in chunks] == []


async def test_there_is_room_up_to_the_bound() -> None:
    chunks = spool()
    chunks.push(b"x" * 10)
    await chunks.room()
    chunks.push(b"x")
    waiting = asyncio.create_task(chunks.room())
    await turns()
    assert not waiting.done()
    assert await anext(chunks) == b"x" * 10
    await waiting


async def test_without_patience_it_goes_on_though_nobody_reads() -> None:
    chunks = spool(patience=-NEVER)
    for _ in range(5):
        chunks.push(b"x" * 10)
        await chunks.room()
    assert chunks.highest == 50
    chunks.end()
    assert len([chunk async for chunk in chunks]) == 5


async def test_patience_ends_by_itself() -> None:
    chunks = spool(patience=0.01)
    chunks.push(b"x" * 11)
    await chunks.room()
    assert chunks.full


async def test_who_makes_chunks_waits_no_longer_in_all_than_its_patience_and_its_work() -> None:
    now = 0.0
    chunks = Spool(stop=Stopped(), most=10, patience=3000, clock=lambda: now)

    async def waits() -> "asyncio.Task[None] | None":
        chunks.push(b"x" * 11)
        waiting = asyncio.create_task(chunks.room())
        await turns()
        return None if waiting.done() else waiting

    for work, patience in [(0, 3000), (1000, 1000), (0.0, 0), (500, 500), (0, 0)]:
        now += work
        waiting = await waits()
        assert (waiting is not None) == (patience > 0), (work, patience)
        now += patience
        await anext(chunks)
        if waiting is not None:
            await waiting


async def test_what_the_making_failed_with_is_raised_in_place_of_the_rest() -> None:
    chunks = spool()
    chunks.push(b"a")
    chunks.push(b"b")
    assert await anext(chunks) == b"a"
    chunks.fail(ZeroDivisionError())
    assert chunks.failed
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await anext(chunks)
    with pytest.raises(ZeroDivisionError):
        await chunks.begun()


async def test_a_failure_wakes_who_waits_for_a_chunk() -> None:
    chunks = spool()
    waiting = asyncio.create_task(chunks.begun())
    await turns()
    chunks.fail(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await waiting


async def test_what_fails_after_the_end_is_no_failure() -> None:
    chunks = spool()
    chunks.push(b"a")
    chunks.end()
    chunks.fail(ZeroDivisionError())
    assert not chunks.failed
    assert [chunk async for chunk in chunks] == [b"a"]


async def test_who_wants_no_more_stops_the_making_and_never_sees_a_good_end() -> None:
    stopped = Stopped()
    chunks = spool(stopped)
    chunks.push(b"x" * 20)
    making = asyncio.create_task(chunks.room())
    await turns()
    chunks.close()
    assert stopped.times == 1
    await making
    chunks.push(b"x")
    assert chunks.held == 0
    with pytest.raises(Closed):
        await anext(chunks)


async def test_what_is_over_is_not_stopped() -> None:
    stopped = Stopped()
    chunks = spool(stopped)
    chunks.push(b"a")
    chunks.end()
    chunks.close()
    assert stopped.times == 0


@pytest.mark.parametrize("ending", [Spool.end, lambda chunks: chunks.fail(ZeroDivisionError())])
async def test_what_is_to_be_done_when_it_is_over_is_done_once(ending: Callable[[Spool], None]) -> None:
    chunks = spool()
    done: list[int] = []
    chunks.when_over(lambda: done.append(1))
    chunks.close()
    assert done == [], "the maker has been told to stop, and has not yet"
    ending(chunks)
    ending(chunks)
    assert done == [1]
    chunks.when_over(lambda: done.append(2))
    assert done == [1, 2]


async def test_nobody_waits_for_a_client_while_others_wait() -> None:
    chunks = spool(patience=NEVER)
    waiting: list[str] = []
    chunks.give_way(lambda: bool(waiting))
    chunks.push(bytes(11))
    making = asyncio.create_task(chunks.room())
    await asyncio.sleep(0)
    assert not making.done()
    waiting.append("somebody")
    await making
    assert chunks.full


async def test_who_wants_no_more_says_so_once() -> None:
    stopped = Stopped()
    chunks = spool(stopped)
    chunks.close()
    chunks.close()
    assert stopped.times == 1, "a second time would interrupt the end of what was stopped"
