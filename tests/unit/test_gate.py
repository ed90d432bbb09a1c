"""So much at a time, a short queue, and the rest turned away (demands.md row 16)."""

import asyncio

import pytest

from server_core.errors import Overloaded
from server_core.gate import Gate

FOREVER = 3600.0


def gate(places: int = 2, waiting: int = 2, seconds: float = FOREVER, kept: int = 0) -> Gate:
    return Gate(places=places, waiting=waiting, seconds=seconds, kept=kept)


class Callers:
    """Callers that stay inside until they are let go; says who is inside, in the order in which they came in."""

    def __init__(self, tried: Gate) -> None:
        self._gate = tried
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.entered: list[str] = []

    async def come(self, *names: str, urgent: bool = False) -> None:
        """Let callers try to come in, one after the other."""
        for name in names:
            self._leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._stay(name, urgent))
            await asyncio.sleep(0)

    async def go(self, name: str) -> None:
        """Let one leave, and whoever may then come in."""
        self._leave[name].set()
        await self.tasks[name]
        await asyncio.sleep(0)

    async def _stay(self, name: str, urgent: bool) -> None:
        await self._gate.enter(urgent=urgent)
        try:
            self.entered.append(name)
            await self._leave[name].wait()
        finally:
            self._gate.leave()


async def test_places_are_given_in_order() -> None:
    tried = gate()
    callers = Callers(tried)
    await callers.come("a", "b", "c", "d")
    assert callers.entered == ["a", "b"]
    assert tried.waiting == 2
    await callers.go("b")
    assert callers.entered == ["a", "b", "c"]
    await callers.go("a")
    assert callers.entered == ["a", "b", "c", "d"]
    assert tried.waiting == 0
    await callers.go("c")
    await callers.go("d")
    await callers.come("e", "f", "g")
    assert callers.entered[4:] == ["e", "f"]


async def test_more_than_may_wait_are_turned_away() -> None:
    callers = Callers(gate())
    await callers.come("a", "b", "c", "d", "e")
    with pytest.raises(Overloaded) as caught:
        await callers.tasks["e"]
    assert caught.value.code == "API_ERROR"
    assert callers.entered == ["a", "b"]


async def test_a_queue_full_of_others_keeps_no_urgent_caller_out() -> None:
    callers = Callers(gate())
    await callers.come("a", "b", "c", "d")
    await callers.come("first", "second", "third", urgent=True)
    with pytest.raises(Overloaded):
        await callers.tasks["third"]
    await callers.go("a")
    await callers.go("b")
    assert callers.entered == ["a", "b", "first", "second"]


async def test_a_wait_that_is_too_long_is_turned_away() -> None:
    tried = gate(seconds=0)
    callers = Callers(tried)
    await callers.come("a", "b", "c")
    with pytest.raises(Overloaded):
        await callers.tasks["c"]
    assert tried.waiting == 0
    await callers.go("a")
    await callers.come("d")
    assert callers.entered == ["a", "b", "d"]


async def test_urgent_callers_come_first_and_find_places_kept() -> None:
    callers = Callers(gate(places=4, waiting=9, kept=1))
    await callers.come("a", "b", "c", "d")
    assert callers.entered == ["a", "b", "c"]
    await callers.come("first", "second", urgent=True)
    assert callers.entered == ["a", "b", "c", "first"]
    await callers.go("a")
    assert callers.entered == ["a", "b", "c", "first", "second"]
    await callers.go("b")
    assert "d" not in callers.entered
    await callers.go("first")
    assert callers.entered[-1] == "d"


async def test_one_that_gives_up_costs_no_place() -> None:
    tried = gate(places=1)
    callers = Callers(tried)
    await callers.come("a", "b", "c")
    callers.tasks["b"].cancel()
    await asyncio.wait([callers.tasks["b"]])
    assert tried.waiting == 1
    await callers.go("a")
    assert callers.entered == ["a", "c"]


async def test_one_that_gives_up_as_its_turn_comes_passes_the_place_on() -> None:
    tried = gate(places=1)
    callers = Callers(tried)
    await callers.come("a", "b", "c")
    tried.leave()  # b's turn: it is told, but does not run yet
    callers.tasks["b"].cancel()
    await asyncio.wait([callers.tasks["b"]])
    await asyncio.sleep(0)
    assert callers.entered == ["a", "c"]
