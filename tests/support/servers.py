"""The real server as child processes, in both ways it can be run, and its two windows: GraphQL and SQL."""

import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from server_core.db.session import Database, Row
from tests.support.processes import Process

PREFECT_SERVER = Path(sys.executable).with_name("prefect-server")
READY_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers.

    Attributes:
        url: its one endpoint.
        database: its database, seen from outside.
        http: client to speak to it.
        processes: what it consists of, by name.
    """

    url: str
    database: Database
    http: httpx.AsyncClient
    processes: Mapping[str, Process]

    async def post(self, query: str, variables: Mapping[str, Any] | None = None) -> httpx.Response:
        """Send an operation as the 1.4.1 client does: to `/`, `variables` as a string that holds JSON."""
        body = {"query": query, "variables": json.dumps(variables)}
        return await self.http.post("/", json=body, headers={"X-PREFECT-CORE-VERSION": "1.4.1"})

    async def query(self, query: str, variables: Mapping[str, Any] | None = None) -> Any:
        """Send an operation and return its `data`.

        Raises:
            AssertionError: the answer has `errors`, or another status than 200.
        """
        response = await self.post(query, variables)
        answer = response.json()
        assert response.status_code == 200, (response.status_code, answer)
        assert set(answer) == {"data"}, answer
        return answer["data"]

    async def mutate(self, field: str, **input: Any) -> Any:
        """Send a mutation with one `input` and return its payload; see query."""
        selection = input.pop("select", "id")
        document = f"mutation($input: {field}_input!) {{ {field}(input: $input) {{ {selection} }} }}"
        return (await self.query(document, {"input": input}))[field]

    async def rows(self, sql: str, *arguments: Any) -> list[Row]:
        """Return rows of its database."""
        async with self.database.read() as session:
            return await session.fetch(sql, *arguments)

    async def value(self, sql: str, *arguments: Any) -> Any:
        """Return one value of its database."""
        async with self.database.read() as session:
            return await session.fetch_value(sql, *arguments)


@asynccontextmanager
async def one_process(database_url: str, home: Path) -> AsyncIterator[Server]:
    """Run `prefect-server start` on a database."""
    async with AsyncExitStack() as stack:
        process = _start(stack, "start", "--port", "0", "--database-url", database_url, home=home)
        url = await _ready_url(process)
        yield await _open(stack, url, database_url, {"start": process})
        assert await process.stop() == 0, process.output


@asynccontextmanager
async def four_processes(database_url: str, home: Path) -> AsyncIterator[Server]:
    """Run `prefect-server services …` for each service, after `database upgrade`."""
    env = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": database_url}
    async with AsyncExitStack() as stack:
        upgrade = _start(stack, "database", "upgrade", home=home, env=env)
        assert await upgrade.wait(seconds=60) == 0, upgrade.output
        data = _start(stack, "services", "data", "--port", "0", home=home, env=env)
        graphql = _start(stack, "services", "graphql", "--port", "0", home=home, env=env)
        towel = _start(stack, "services", "towel", home=home, env=env)
        upstreams = {
            "PREFECT_SERVER__GATEWAY__DATA_URL": f"{await _ready_url(data)}/v1alpha1/graphql",
            "PREFECT_SERVER__GATEWAY__GRAPHQL_URL": f"{await _ready_url(graphql)}/graphql/",
        }
        gateway = _start(stack, "services", "gateway", "--port", "0", home=home, env=upstreams)
        processes = {"data": data, "graphql": graphql, "towel": towel, "gateway": gateway}
        yield await _open(stack, await _ready_url(gateway), database_url, processes)
        for process in reversed(processes.values()):
            assert await process.stop() == 0, process.output


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def server_env(home: Path) -> dict[str, str]:
    """Return an environment for the server with nothing of this machine's settings in it."""
    inherited = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
    return {
        **{name: os.environ[name] for name in inherited if name in os.environ},
        "HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        "PREFECT_SERVER__HOME": str(home / ".prefect_server"),
    }


def _start(stack: AsyncExitStack, *arguments: str, home: Path, env: Mapping[str, str] | None = None) -> Process:
    process = Process(
        [PREFECT_SERVER, *arguments],
        env={**server_env(home), **(env or {})},
        output=home / f"{'-'.join(word for word in arguments[:2] if word.isalpha())}.txt",
        cwd=home,
    )
    return stack.enter_context(process)


async def _ready_url(process: Process) -> str:
    output = await process.wait_for_text(" is ready at ", seconds=READY_SECONDS)
    found = re.search(r"is ready at (http://\S+)", output)
    assert found is not None, output
    return found[1]


async def _open(stack: AsyncExitStack, url: str, database_url: str, processes: Mapping[str, Process]) -> Server:
    database = await stack.enter_async_context(Database(database_url))
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30, trust_env=False))
    return Server(url=url, database=database, http=http, processes=processes)
