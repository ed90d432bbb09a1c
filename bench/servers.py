"""Command lines → servers that answer, each in a process of its own. Called by benchmarks."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

T = TypeVar("T")

READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0


class NotReady(Exception):
    """A server did not come up; the message has the end of what it said."""


@contextmanager
def running(
    command: Sequence[str],
    *,
    ready: str,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    seconds: float = READY_SECONDS,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for a block, entered when it answers.

    Args:
        command: program and arguments.
        ready: URL that is answered with a status below 500 when it is.
        environment: variables beside those of this process.
        folder: where it runs.
        seconds: longest wait.

    Raises:
        NotReady: it ended, or did not answer in time.
    """
    with NamedTemporaryFile(prefix="prefect-server-bench-", suffix=".log") as log:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _wait(process, ready, seconds, Path(log.name))
            yield process
        finally:
            _end(process)


@contextmanager
def ours(
    dsn: str, service: str = "start", *, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run this server on a database for a block: all in one process (`start`), or one service of it.

    Yields:
        the URL of its GraphQL endpoint, and the process.
    """
    port = free_port()
    arguments = ["start"] if service == "start" else ["services", service]
    paths = {"data": "/v1alpha1/graphql", "graphql": "/graphql/"}
    settings = {
        "PREFECT_SERVER__DATABASE__CONNECTION_URL": dsn,
        "PREFECT_SERVER__LOGGING__LEVEL": "WARNING",
        **(environment or {}),
    }
    command = [sys.executable, "-m", "server_core.cli", *arguments, "--port", str(port)]
    with running(command, ready=f"http://127.0.0.1:{port}/ready", environment=settings) as process:
        yield f"http://127.0.0.1:{port}{paths.get(service, '/')}", process


@contextmanager
def asgi(app: str, *, environment: Mapping[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run an ASGI application (`module:name`) under uvicorn with uvloop and httptools; see ours."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--loop", "uvloop", "--http", "httptools"]
    options = ["--no-access-log", "--log-level", "warning", "--no-proxy-headers", "--no-server-header"]
    with running([*command, *options], ready=f"http://127.0.0.1:{port}/", environment=environment) as process:
        yield f"http://127.0.0.1:{port}", process


async def together(stack: ExitStack, *contexts: AbstractContextManager[T]) -> list[T]:
    """Enter several at the same time, in threads: servers take seconds to start."""
    return await asyncio.gather(*(asyncio.to_thread(stack.enter_context, each) for each in contexts))


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def resident_megabytes(process: subprocess.Popen[bytes]) -> float:
    """Return the memory of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return what a process has used of a core so far, in seconds."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait until a process ends and return its exit code."""
    return await asyncio.to_thread(process.wait)


def _wait(process: subprocess.Popen[bytes], ready: str, seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise NotReady(f"{process.args!r} ended:\n{log.read_text()[-4000:]}")
        if _answers(ready):
            return
        time.sleep(0.05)
    raise NotReady(f"{process.args!r} does not answer at {ready}:\n{log.read_text()[-4000:]}")


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):  # noqa: S310 - a page of a server that was just started
            return True
    except URLError as error:
        return getattr(error, "code", 500) < 500
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_STOP_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
