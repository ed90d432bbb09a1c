"""Waiting for something to become true, without guessing how long it takes. Used by tests that watch real processes.

And what is waited for by a test that never ends.
"""

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


def awaited(loop: asyncio.AbstractEventLoop) -> str:
    """Return a line for each task of a loop, and one below it for each coroutine that it waits in, innermost last."""
    lines = []
    for task in asyncio.all_tasks(loop):
        lines.append(repr(task))
        at: Any = task.get_coro()
        while at is not None:
            frame = getattr(at, "cr_frame", None) or getattr(at, "gi_frame", None)
            where = f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}" if frame else repr(at)
            lines.append(f"    {where}")
            at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None)
    return "\n".join(lines)
