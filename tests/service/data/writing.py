"""A data API that may write, and how tests speak to it. Called by the tests of mutations."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from server_core.db.warm import WarmPool
from server_core.wire import GraphQLRequest
from services.data.app import METADATA, DataService
from tests.support.cluster import connected, terminate
from tests.support.recorder import Recorder, recorded
from tests.support.settings import data_settings, server_settings

FLOW: Final = """{
    name: "f", version: 1
    project: {data: {name: "p", tenant: {data: {name: "t", slug: "t"}}}}
    flow_group: {data: {name: "g"}}
    tasks: {data: [{slug: "one", name: "one"}, {slug: "two", mapped: true}]}
}"""
"""A flow with all that belongs to it: six rows."""


@dataclass(frozen=True, kw_only=True)
class Writing:
    """A started service and its database.

    Attributes:
        dsn: the database.
    """

    service: DataService
    dsn: str

    @property
    def pool(self) -> WarmPool:
        """The connections that may write."""
        assert self.service.writing is not None
        return self.service.writing.pool

    async def do(self, query: str, **variables: Any) -> Any:
        """Run a mutation and return its data.

        Raises:
            AssertionError: it failed.
        """
        body = await self._answer(query, variables)
        assert list(body) == ["data"], body
        return body["data"]

    async def refused(self, query: str, **variables: Any) -> tuple[str, str, str]:
        """Run a mutation that fails and return code, path and message of its error."""
        body = await self._answer(query, variables)
        assert list(body) == ["errors"], body
        [error] = body["errors"]
        for internal in ("INSERT INTO", 'UPDATE "', "DELETE FROM", "RETURNING", "SELECT", "asyncpg", "$1"):
            assert internal not in json.dumps(error)
        return error["extensions"]["code"], error["extensions"]["path"], error["message"]

    async def counted(self, query: str, **variables: Any) -> tuple[Any, Recorder]:
        """Run a mutation; return its data and what was sent."""
        async with recorded(self.pool) as recorder:
            data = await self.do(query, **variables)
        return data, recorder

    async def sql(self, text: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Ask the database itself."""
        async with connected(self.dsn) as connection:
            return [tuple(row) for row in await connection.fetch(text, *arguments)]

    async def end(self, pid: int) -> None:
        """End a server process and return when it is gone."""
        async with connected(self.dsn) as connection:
            assert await terminate(connection, "SELECT $1::int", pid) == 1

    async def flow(self) -> str:
        """Insert FLOW; return its id."""
        answer = await self.do(f"mutation {{ insert_flow_one(object: {FLOW}) {{ id }} }}")
        return str(answer["insert_flow_one"]["id"])

    async def run(self) -> tuple[str, str]:
        """Insert FLOW and a run of it; return their ids."""
        flow_id = await self.flow()
        answer = await self.do("mutation ($f: uuid) { insert_flow_run_one(object: {flow_id: $f}) { id } }", f=flow_id)
        return flow_id, str(answer["insert_flow_run_one"]["id"])

    async def _answer(self, query: str, variables: dict[str, Any]) -> Any:
        response = await self.service.execute(GraphQLRequest(query=query, variables=variables))
        return json.loads(response.body)


@asynccontextmanager
async def writing_on(dsn: str, metadata: Path = METADATA, **data: Any) -> AsyncIterator[Writing]:
    """Start a service that may write, with these settings of section `data`."""
    service = DataService(server_settings(data=data_settings(mutations=True, **data)), dsn, metadata)
    await service.start()
    try:
        yield Writing(service=service, dsn=dsn)
    finally:
        await service.stop()
