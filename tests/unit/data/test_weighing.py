"""A statement whose rows weigh too much, and a request that somebody else gives up at the same moment."""

import asyncio
from typing import Any

import pytest

from services.data.weighing import Scales, TooHeavy, fetch_weighed


class Driver:
    """A connection whose statement brings ten bytes, and then comes to no end; or `meanwhile` something happens."""

    def __init__(self) -> None:
        self.scales = Scales()
        self.meanwhile: list[asyncio.Task[Any]] = []

    async def fetch(self, text: str, *parameters: object) -> list[Any]:
        """Bring what comes while the statement is waited for."""
        asyncio.get_running_loop().call_soon(self._bring)
        await asyncio.sleep(3600)
        return []

    def _bring(self) -> None:
        self.scales.decode(bytes(10))
        for task in self.meanwhile:
            task.cancel()


async def weighed(driver: Any) -> None:
    await fetch_weighed(driver, "", (), heaviest=9)


async def test_what_weighs_too_much_is_given_up_and_no_more() -> None:
    with pytest.raises(TooHeavy):
        await weighed(Driver())
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_who_gives_up_the_request_meanwhile_has_the_stronger_wish() -> None:
    driver = Driver()
    asking = asyncio.create_task(weighed(driver))
    driver.meanwhile.append(asking)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert asking.cancelled()
