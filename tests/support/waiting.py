"""Waiting for something to become true, without guessing how long it takes. Used by tests that watch real processes."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def wait_until(
    condition: Callable[[], Any], *, seconds: float, what: str, detail: Callable[[], str] | None = None
) -> Any:
    """Ask again and again until the answer is truthy, and return it.

    Args:
        condition: looks at the real thing; may be a coroutine function.
        seconds: the deadline.
        what: what is waited for, for the message.
        detail: more for the message, asked when the deadline has passed.

    Raises:
        AssertionError: the deadline has passed.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    pause = 0.02
    while True:
        answer = condition()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if loop.time() > deadline:
            more = f"\n{detail()}" if detail else ""
            raise AssertionError(f"not within {seconds:g} s: {what} (last answer: {value!r}){more}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.3)
