"""Commands of ours → one child process each, kept running until all are to stop. Called by `dev services`.

A child that ends by itself is started again, later each time it does so soon; a child whose code was changed is stopped
and started anew (see reload). A child leads a session of its own, so a Ctrl-C at the terminal reaches the supervisor
only, which then asks the children once. The supervisor holds the other end of their stdin: when it is killed, they see
the end of it and stop.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import typer

from server_core.cli.lifetime import Lifetime
from server_core.cli.reload import Change

COLOURS = ("cyan", "green", "magenta", "yellow", "blue")

STOP_SECONDS = 4.0
"""What the children get to stop before they are killed, so that all are gone within 5 s."""

BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Pauses before a child that ended by itself is started again; the last one holds for all that follow."""

STEADY_SECONDS = 60.0
"""A child that has run for so long is taken to work: should it end, the pauses begin anew."""

LINE_LIMIT = 2**22


@dataclass(frozen=True, kw_only=True)
class Run:
    """A child to run.

    Attributes:
        name: what its lines are marked with.
        service: the service whose code it runs.
        arguments: of `prefect-server`.
    """

    name: str
    service: str
    arguments: Sequence[str]


class Supervisor:
    """Keeps children running.

    Args:
        lifetime: of this process.
        runs: what to run.
        environ: environment of the children.
    """

    def __init__(self, lifetime: Lifetime, runs: Sequence[Run], environ: Mapping[str, str]) -> None:
        self._lifetime = lifetime
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        width = max(len(run.name) for run in runs)
        self._children = [
            _Child(run, environ, self._say, typer.style(f"{run.name:<{width}} |", fg=COLOURS[index % len(COLOURS)]))
            for index, run in enumerate(runs)
        ]
        lifetime.at_exit.append(self._kill)

    async def run(self, changes: AsyncIterator[Change] | None) -> None:
        """Run the children until a stop is asked for; then stop them all.

        Args:
            changes: of the code; None: nothing is started anew because of one.
        """
        following = asyncio.ensure_future(self._follow(changes)) if changes is not None else None
        kept = [asyncio.ensure_future(child.keep()) for child in self._children]
        stop = asyncio.ensure_future(self._lifetime.stopping.wait())
        try:
            await asyncio.wait({*kept, stop}, return_when=asyncio.FIRST_COMPLETED)  # a child's only by a defect
        finally:
            stop.cancel()
            for child in self._children:
                child.leave()
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            await asyncio.gather(*kept)

    async def _follow(self, changes: AsyncIterator[Change]) -> None:
        try:
            async for change in changes:
                for problem in change.problems:
                    self._say(f"{problem}; what runs goes on with the code as it was")
                for child in self._children:
                    if child.run.service in change.services:
                        child.restart(because=change.cause)
        except (OSError, RuntimeError) as error:
            self._say(f"The code is not watched for changes any more: {error}")

    def _say(self, text: str) -> None:
        try:
            typer.echo(text, color=self._colour)
        except OSError:  # nobody reads any more: `dev services | head`
            self._lifetime.stop()

    def _kill(self) -> None:
        for child in self._children:
            child.kill()


class _Child:
    """One process after the other, for the same command."""

    def __init__(self, run: Run, environ: Mapping[str, str], say: Callable[[str], None], prefix: str) -> None:
        self.run = run
        self._environ = environ
        self._say = say
        self._prefix = prefix
        self._process: asyncio.subprocess.Process | None = None
        self._asked = asyncio.Event()
        """A restart or the end was asked for."""
        self._leaving = False

    def restart(self, *, because: str) -> None:
        """Ask for a new process in place of the one that runs, or at once instead of after a pause."""
        if not self._leaving:
            self._say(f"{self._prefix} {because}: starting anew")
            self._asked.set()

    def leave(self) -> None:
        """Ask for the end: `keep` returns when the process is gone."""
        self._leaving = True
        self._asked.set()

    def kill(self) -> None:
        """End the process at once, if there is one."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def keep(self) -> None:
        """Run processes until the end is asked for."""
        loop = asyncio.get_running_loop()
        failures = 0
        while not self._leaving:
            self._asked.clear()
            began = loop.time()
            code = await self._run_one()
            if self._asked.is_set():
                failures = 0
                continue
            failures = 1 if loop.time() - began >= STEADY_SECONDS else failures + 1
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS)) - 1]
            how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
            self._say(f"{self._prefix} ended with {how}; it is started again in {pause:g} s")
            try:
                async with asyncio.timeout(pause):
                    await self._asked.wait()
                failures = 0
            except TimeoutError:
                pass

    async def _run_one(self) -> int:
        """Run one process until it ends or is asked to; return its exit code, negative for a signal."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "server_core.cli", *self.run.arguments, "--exit-with-parent"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(self._environ),
            start_new_session=True,
            limit=LINE_LIMIT,
        )
        output = asyncio.ensure_future(self._copy(process))
        ended = asyncio.ensure_future(process.wait())
        asked = asyncio.ensure_future(self._asked.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                process.terminate()
            await asyncio.wait({ended}, timeout=STOP_SECONDS)
            self.kill()
        await asyncio.wait({ended, output})
        return ended.result()

    async def _copy(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - for mypy: it is a pipe
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                self._say(f"{self._prefix} (a line of more than {LINE_LIMIT} bytes is left out)")
                continue
            if not line:
                return
            self._say(f"{self._prefix} {line.decode(errors='replace').rstrip()}")
