"""The real server as child processes, in each way it can be run, and its two windows: GraphQL and SQL."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from server_core.db.session import Database, Row
from tests.support.balancer import Balancer, balanced
from tests.support.processes import Machine, Process
from tests.support.waiting import wait_until

TOPOLOGIES = ("one", "four", "replicas")
"""All services in one process; each in its own; two of each, with a balancer before every pair but the towels."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers.

    Attributes:
        url: its one endpoint.
        database: its database, seen from outside.
        http: client to speak to it.
        processes: what it consists of, by name.
        balancers: what divides the work among replicas, by the name of the service behind it.
    """

    url: str
    database: Database
    http: httpx.AsyncClient
    processes: Mapping[str, Process]
    balancers: Mapping[str, Balancer] = field(default_factory=dict)

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
async def running(topology: str, database_url: str, home: Path, **environ: str) -> AsyncIterator[Server]:
    """Run the server on a migrated database in one of TOPOLOGIES, with further settings of every process.

    When the context is left without an error, every process must end well, and none may have logged an error.
    """
    async with AsyncExitStack() as stack:
        machine = Machine(home, PREFECT_SERVER__DATABASE__CONNECTION_URL=database_url, **environ)
        await stack.enter_async_context(machine)
        balancers: dict[str, Balancer] = {}
        if topology == "one":
            start = await machine.run("start", "--port", "0")
            processes, url = {"start": start}, await start.url()
        elif topology == "four":
            processes = await _behind(machine)
            processes |= await _gateways(machine, 1, await processes["data"].url(), await processes["graphql"].url())
            url = await processes["gateway"].url()
        else:
            processes = await _behind(machine, 2)
            for name in ("data", "graphql"):
                balancers[name] = await _before(stack, processes, name)
            processes |= await _gateways(machine, 2, balancers["data"].url, balancers["graphql"].url)
            balancers["gateway"] = await _before(stack, processes, "gateway")
            url = balancers["gateway"].url
        database = await stack.enter_async_context(Database(database_url))
        # Replicas take turns by connection: with one per request, each request meets another gateway.
        for name, process in processes.items():
            if name.startswith("gateway"):
                await wait_until(partial(_is_ready, await process.url()), seconds=60, what=f"{name} is ready")
        limits = httpx.Limits(max_keepalive_connections=0 if balancers else None)
        http = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, limits=limits)
        await stack.enter_async_context(http)
        yield Server(url=url, database=database, http=http, processes=processes, balancers=balancers)
        for name, process in reversed(processes.items()):
            assert await process.stop() == 0, f"{name}: {process.output}"
            assert not process.errors, f"{name}: {process.errors}"


async def _behind(machine: Machine, count: int = 1) -> dict[str, Process]:
    """Make the first tenant, start what stands behind the gateways, and wait until it is ready."""
    upgrade = await machine.run("database", "upgrade")
    names = [f"{service}{number or ''}" for service in ("towel", "graphql", "data") for number in range(count)]
    processes = {name: await machine.run("services", name.rstrip("1"), "--port", "0") for name in names}
    assert await upgrade.wait() == 0, upgrade.output
    await asyncio.gather(*(process.url() for process in processes.values()))
    return processes


async def _gateways(machine: Machine, count: int, data_url: str, graphql_url: str) -> dict[str, Process]:
    """Start gateways in front of two base URLs, and wait until they are ready."""
    processes = {
        f"gateway{number or ''}": await machine.run(
            *("services", "gateway", "--port", "0"),
            PREFECT_SERVER__GATEWAY__DATA_URL=f"{data_url}/v1alpha1/graphql",
            PREFECT_SERVER__GATEWAY__GRAPHQL_URL=f"{graphql_url}/graphql/",
        )
        for number in range(count)
    }
    await asyncio.gather(*(process.url() for process in processes.values()))
    return processes


async def _is_ready(url: str) -> bool:
    """Ask a gateway what an operator's balancer would ask it."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        return (await client.get(f"{url}/ready")).status_code == 200


async def _before(stack: AsyncExitStack, processes: Mapping[str, Process], name: str) -> Balancer:
    """Put a balancer before the processes of a service."""
    urls = [await process.url() for key, process in processes.items() if key.rstrip("1") == name]
    return await stack.enter_async_context(balanced(urls))
