"""Real processes under test: start, wait for what they say or do, stop, and nothing left behind.

Nothing here sleeps for a guess: a test waits for a line of output, or for a condition that is asked again and again
until a deadline.
"""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from server_core.db.embedded import EmbeddedPostgres
from tests.support.settings import settings_of_processes

DEADLINE_SECONDS = 60.0
"""Longest wait for something that takes a second on an idle machine."""

READY = r"is ready at (https?://\S+)"

_BAD = re.compile(r'"severity": ?"(ERROR|CRITICAL)"|Traceback \(most recent')


class Process:
    """A running `prefect-server` command, its output by lines.

    Attributes:
        lines: what it has said so far, stdout and stderr as they came.
        logs: of these, the lines of stderr.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], folder: Path | None = None) -> None:
        self.lines: list[str] = []
        self.logs: list[str] = []
        self._command = command
        self._environ = environ
        self._folder = folder
        self._said = asyncio.Condition()
        self._ended = False

    async def start(self) -> None:
        """Start it, as the leader of a session of its own."""
        self.child = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
            cwd=self._folder,
            start_new_session=True,
            limit=2**22,
        )
        self._reading = asyncio.ensure_future(self._read())

    async def line(self, pattern: str, *, seconds: float = DEADLINE_SECONDS) -> re.Match[str]:
        """Wait for a line that matches, from the beginning of the output, and return the match.

        Raises:
            AssertionError: the process ended, or the time is over; with all it said.
        """
        wanted = re.compile(pattern)

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := wanted.search(line))), None)

        try:
            async with asyncio.timeout(seconds), self._said:
                await self._said.wait_for(lambda: self._ended or found() is not None)
        except TimeoutError:
            pass
        match = found()
        assert match is not None, f"no line {pattern!r} in:\n" + self.output
        return match

    async def url(self) -> str:
        """Wait until it is ready, and return where."""
        return (await self.line(READY))[1]

    async def stop(self, number: int = signal.SIGTERM, *, seconds: float = DEADLINE_SECONDS) -> int:
        """Send a signal and return the exit code; fails after `seconds`."""
        self.child.send_signal(number)
        return await self.wait(seconds=seconds)

    async def wait(self, *, seconds: float = DEADLINE_SECONDS) -> int:
        """Wait for the end and return the exit code."""
        try:
            async with asyncio.timeout(seconds):
                await self._reading
                return await self.child.wait()
        except TimeoutError:
            raise AssertionError(f"still running after {seconds} s:\n{self.output}") from None

    async def kill(self) -> None:
        """End it and all it started in its session, if it still runs."""
        if self.child.returncode is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            await self.child.wait()
        await self._reading

    @property
    def errors(self) -> list[str]:
        """The log lines of level ERROR and above, and whatever looks like a stack trace."""
        return [line for line in self.logs if _BAD.search(line)]

    @property
    def output(self) -> str:
        """All it has said."""
        return "\n".join(self.lines)

    async def _read(self) -> None:
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        await asyncio.gather(self._copy(self.child.stdout), self._copy(self.child.stderr, self.logs))
        async with self._said:
            self._ended = True
            self._said.notify_all()

    async def _copy(self, stream: asyncio.StreamReader, *further: list[str]) -> None:
        async for line in stream:
            async with self._said:
                for lines in (self.lines, *further):
                    lines.append(line.decode().rstrip("\n"))
                self._said.notify_all()


class Machine:
    """A home folder and the processes that run in it; on exit, all are gone and so is their Postgres.

    Args:
        home: the server's home.
        environ: further settings of every process.

    Attributes:
        folder: current folder of the processes that are started; by default the test's own.
        program: what `prefect-server` is; by default the checkout's, in the test's own environment.
    """

    def __init__(self, home: Path, **environ: str) -> None:
        self.home = home
        self.environ = environ
        self.folder: Path | None = None
        self.program: Sequence[str] = (sys.executable, "-m", "server_core.cli")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._stack.push_async_callback(asyncio.to_thread, EmbeddedPostgres(self.home).stop_leftover)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def run(self, *arguments: str, **environ: str) -> Process:
        """Start a command of prefect-server; settings of the test's own environment do not reach it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        process = Process(
            [*self.program, *arguments],
            {
                **inherited,
                "PYTHONUNBUFFERED": "1",
                "PREFECT_SERVER__HOME": str(self.home),
                "PREFECT_SERVER__DATABASE__CONNECT_RETRY_SECONDS": "0.05",
                **settings_of_processes(),
                **self.environ,
                **environ,
            },
            self.folder,
        )
        await process.start()
        self._stack.push_async_callback(process.kill)
        return process

    @property
    def postgres_runs(self) -> bool:
        """Whether the embedded Postgres of the home is running."""
        return EmbeddedPostgres(self.home).pid is not None


async def eventually(ask: Callable[[], Awaitable[bool]], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Return when `ask` says yes; it is asked again and again.

    Raises:
        TimeoutError: it never did.
    """
    async with asyncio.timeout(seconds):
        while not await ask():  # noqa: ASYNC110 - what is asked is outside this process
            await asyncio.sleep(0.02)


async def graphql(url: str, query: str, **variables: Any) -> Any:
    """POST an operation and return its `data`; fails on errors."""
    async with httpx.AsyncClient(timeout=30) as client:
        response = await client.post(url, json={"query": query, "variables": variables})
    body = response.json()
    assert response.status_code == 200, body
    assert "errors" not in body, body
    return body["data"]


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on now, for processes that must know each other's before they start."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
