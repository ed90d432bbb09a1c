"""The real, unmodified prefect 1.4.1 as a user has it: its CLI, its scripts, its agent, in a home of their own."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import free_ports
from tests.support.programs import Program
from tests.support.waiting import wait_until

FLOWS = Path(__file__).parents[1] / "integration" / "flows"

QUICK: Mapping[str, str] = {
    # The client's own settings, smaller than their defaults so that tests need not wait for them.
    "PREFECT__CLOUD__CHECK_CANCELLATION_INTERVAL": "0.5",
    "PREFECT__CLOUD__HEARTBEAT_INTERVAL": "0.5",
    "PREFECT__CLOUD__LOGGING_HEARTBEAT": "0.2",
    "PREFECT__CLOUD__REQUEST_TIMEOUT": "30",
}

BEATING_THREAD: Mapping[str, str] = {"PREFECT__CLOUD__HEARTBEAT_MODE": "thread"}
"""For scripts that execute many runs themselves: the beats come from a thread, not from one more process per run."""


class PrefectClient:
    """One user's machine: a home folder, and the client pointed at a server.

    Args:
        environment: virtual environment with prefect.
        home: folder that stands for the user's home; every file of the client goes below it.
        endpoint: URL of the server.
        backend: what PREFECT__BACKEND says; None: nothing, as before `prefect backend server`.
    """

    def __init__(self, *, environment: Path, home: Path, endpoint: str, backend: str | None = "server") -> None:
        self._bin = environment / "bin"
        self.home = home
        self.endpoint = endpoint
        self._numbers = count(1)
        self.env = {
            "PATH": f"{self._bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "COLUMNS": "200",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            "PREFECT__HOME_DIR": str(home / ".prefect"),
            "PREFECT__SERVER__ENDPOINT": endpoint,
            **({} if backend is None else {"PREFECT__BACKEND": backend}),
            **QUICK,
        }

    def start(self, program: str, *arguments: str, env: Mapping[str, str] | None = None) -> Program:
        """Start a program of the client's environment (`prefect`, `python`)."""
        return Program(
            [self._bin / program, *arguments],
            env={**self.env, **(env or {})},
            output=self.home / f"output-{next(self._numbers)}.txt",
            cwd=self.home,
        )

    async def prefect(
        self, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60, exit_code: int = 0
    ) -> str:
        """Run `prefect …` to its end, with further environment variables if need be, and return what it printed.

        Raises:
            AssertionError: it took too long, or ended with another exit code.
        """
        return await self._run("prefect", *arguments, env=env, seconds=seconds, exit_code=exit_code)

    async def script(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60, exit_code: int = 0
    ) -> str:
        """Run a file of tests/integration/flows and return what it printed; see prefect."""
        return await self._run("python", str(FLOWS / name), *arguments, env=env, seconds=seconds, exit_code=exit_code)

    async def answers(
        self, name: str, *arguments: str, env: Mapping[str, str] | None = None, seconds: float = 60
    ) -> Any:
        """Run a file of tests/integration/flows that prints one line of JSON last, and return that value."""
        output = await self.script(name, *arguments, env=env, seconds=seconds)
        return json.loads(output.strip().splitlines()[-1])

    async def _run(
        self, program: str, *arguments: str, env: Mapping[str, str] | None, seconds: float, exit_code: int
    ) -> str:
        with self.start(program, *arguments, env=env) as running:
            ended = await running.wait(seconds=seconds)
        assert ended == exit_code, f"`{running.name}` ended with {ended}:\n{running.output}"
        return running.output

    @asynccontextmanager
    async def agent(self, *options: str, name: str = "agent") -> AsyncIterator["Agent"]:
        """Run `prefect agent local start`; it and the runs it started are gone after the block.

        Args:
            options: further command line options (`--label x`).
        """
        [port] = free_ports(1)
        address = f"http://127.0.0.1:{port}"
        program = self.start(
            *("prefect", "agent", "local", "start", "--name", name, "--agent-address", address, "--show-flow-logs"),
            *options,
        )
        with program:
            await program.wait_for_text("Waiting for flow runs", seconds=60)
            yield Agent(program, address)


class Agent:
    """A running `prefect agent local start`."""

    def __init__(self, program: Program, address: str) -> None:
        self.program = program
        self.address = address

    async def poke(self) -> None:
        """Tell it to look for work now, by its own API, not after its back-off of up to 10 s."""

        async def poked() -> bool:
            async with httpx.AsyncClient() as client:
                try:
                    return (await client.get(f"{self.address}/api/poke")).is_success
                except httpx.TransportError:
                    return False

        await wait_until(poked, seconds=10, what="the agent's API", detail=lambda: self.program.output)
