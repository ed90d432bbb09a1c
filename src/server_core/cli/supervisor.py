"""Names of services → one child process each, watched until one ends or all are to stop. Called by `dev services`.

A child leads a session of its own, so a Ctrl-C at the terminal reaches the supervisor only, which then asks the
children once. The supervisor holds the other end of their stdin: when it is killed, they see the end of it and stop.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence

import typer

from server_core.cli.lifetime import Lifetime

COLOURS = ("cyan", "green", "magenta", "yellow")
STOP_SECONDS = 4.0
"""What the children get to stop before they are killed, so that all are gone within 5 s."""

LINE_LIMIT = 2**22


async def supervise(lifetime: Lifetime, names: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """Run services until a stop is asked for or one of them ends.

    Args:
        lifetime: of this process.
        names: services to run.
        environ: environment of the children.

    Returns:
        What to say about the child that ended by itself, or None after a stop that was asked for.
    """
    width = max(map(len, names))
    children = {name: await _spawn(name, environ) for name in names}
    output = [
        asyncio.ensure_future(_copy(child, typer.style(f"{name:<{width}} |", fg=COLOURS[index % len(COLOURS)])))
        for index, (name, child) in enumerate(children.items())
    ]
    lifetime.at_exit.append(lambda: _kill(children.values()))
    ends = {name: asyncio.ensure_future(child.wait()) for name, child in children.items()}
    stop = asyncio.ensure_future(lifetime.stopping.wait())
    await asyncio.wait({*ends.values(), stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    dead = [f"{name} ended with exit code {end.result()}" for name, end in ends.items() if end.done()]
    for child in children.values():
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
    _, late = await asyncio.wait(ends.values(), timeout=STOP_SECONDS)
    if late:
        _kill(children.values())
    await asyncio.wait([*ends.values(), *output])
    return None if lifetime.stopping.is_set() or not dead else "; ".join(dead)


async def _spawn(name: str, environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "server_core.cli", "services", name, "--exit-with-parent"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=dict(environ),
        start_new_session=True,
        limit=LINE_LIMIT,
    )


async def _copy(child: asyncio.subprocess.Process, prefix: str) -> None:
    assert child.stdout is not None  # noqa: S101 - for mypy: it is a pipe
    async for line in child.stdout:
        typer.echo(f"{prefix} {line.decode(errors='replace').rstrip()}")


def _kill(children: Iterable[asyncio.subprocess.Process]) -> None:
    for child in children:
        if child.returncode is None:
            try:
                os.kill(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
