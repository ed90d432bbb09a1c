"""The real server as child processes, in both ways it can be run, and its two windows: GraphQL and SQL."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from server_core.db.session import Database, Row
from tests.support.processes import Machine, Process


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
async def one_process(database_url: str, home: Path, **environ: str) -> AsyncIterator[Server]:
    """Run `prefect-server start` on a database, with further settings."""
    async with AsyncExitStack() as stack:
        machine = await stack.enter_async_context(Machine(home, **environ))
        process = await machine.run("start", "--port", "0", "--database-url", database_url)
        yield await _open(stack, await process.url(), database_url, {"start": process})
        assert await process.stop() == 0, process.output


@asynccontextmanager
async def four_processes(database_url: str, home: Path) -> AsyncIterator[Server]:
    """Run `prefect-server services …` for each service, after `database upgrade`."""
    async with AsyncExitStack() as stack:
        machine = Machine(home, PREFECT_SERVER__DATABASE__CONNECTION_URL=database_url)
        await stack.enter_async_context(machine)
        upgrade = await machine.run("database", "upgrade")
        assert await upgrade.wait() == 0, upgrade.output
        data = await machine.run("services", "data", "--port", "0")
        graphql = await machine.run("services", "graphql", "--port", "0")
        towel = await machine.run("services", "towel", "--port", "0")
        gateway = await machine.run(
            *("services", "gateway", "--port", "0"),
            PREFECT_SERVER__GATEWAY__DATA_URL=f"{await data.url()}/v1alpha1/graphql",
            PREFECT_SERVER__GATEWAY__GRAPHQL_URL=f"{await graphql.url()}/graphql/",
        )
        processes = {"gateway": gateway, "towel": towel, "graphql": graphql, "data": data}
        yield await _open(stack, await gateway.url(), database_url, processes)
        for process in processes.values():
            assert await process.stop() == 0, process.output


async def _open(stack: AsyncExitStack, url: str, database_url: str, processes: Mapping[str, Process]) -> Server:
    database = await stack.enter_async_context(Database(database_url))
    http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30, trust_env=False))
    return Server(url=url, database=database, http=http, processes=processes)
