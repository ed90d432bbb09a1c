"""One timer for all that has the same time."""

import asyncio

from server_core.deadlines import Deadlines
from tests.support.waiting import wait_until

FOREVER = 3600.0


async def test_what_is_over_in_time_is_not_late() -> None:
    late: list[str] = []
    tried = Deadlines[str](0.02, late.append)
    for name in "abc":
        tried.begin(name)
    tried.end("b")
    tried.end("never begun")
    await wait_until(lambda: not len(tried), seconds=10, what="all had their time")
    assert late == ["a", "c"]


async def test_a_time_that_begins_anew_is_whole_again() -> None:
    """Who is late is told in the order in which the times began last."""
    late: list[str] = []
    tried = Deadlines[str](0.02, late.append)
    tried.begin("a")
    tried.begin("b")
    tried.begin("a")
    await wait_until(lambda: len(late) == 2, seconds=10, what="both are late")
    assert late == ["b", "a"]


async def test_one_that_is_late_may_begin_again_at_once() -> None:
    late: list[str] = []

    def again(key: str) -> None:
        late.append(key)
        if len(late) < 3:
            tried.begin("again")

    tried = Deadlines[str](0, again)
    tried.begin("first")
    await wait_until(lambda: len(late) == 3, seconds=10, what="each was late")
    assert late == ["first", "again", "again"]


async def test_there_is_one_timer() -> None:
    loop = asyncio.get_running_loop()
    before = len(loop._scheduled)  # type: ignore[attr-defined]
    tried = Deadlines[int](FOREVER, lambda _: None)
    for number in range(100):
        tried.begin(number)
        tried.end(number - 1)
    assert len(loop._scheduled) == before + 1  # type: ignore[attr-defined]
    assert len(tried) == 1
    tried.close()
    assert not len(tried)
