"""A gateway in front of two small real services, and a client that speaks to it in process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from server_core.errors import InvalidInput, UniquenessViolation
from server_core.wire import GraphQLService, LiveService
from services.gateway.app import create_app
from tests.support.settings import gateway_settings, server_settings
from tests.support.upstreams import ACTIONS_SDL, DATA_SDL, SchemaService, Witness

FLOWS: list[dict[str, Any]] = [
    {"id": "f1", "name": "one", "parameters": [1.50]},
    {"id": "f2", "name": "two", "parameters": {}},
]


def data_service(witness: Witness | None = None) -> SchemaService:
    """Return a data service of two flows; `flow_by_pk` of a bad id fails as Postgres would."""

    def flow_by_pk(id: str) -> Any:
        if id == "bad":
            raise InvalidInput('invalid input syntax for type uuid: "bad"')
        return next((flow for flow in FLOWS if flow["id"] == id), None)

    return SchemaService(
        DATA_SDL,
        {
            "query_root.flow": lambda where=None, limit=None: FLOWS[:limit],
            "query_root.flow_by_pk": flow_by_pk,
            "query_root.project": [],
            "flow.project": None,
            "flow.flows": [],
            "mutation_root.insert_flow": lambda name: {"affected_rows": 1},
            "mutation_root.delete_flow_by_pk": FLOWS[0],
        },
        whole=True,
        witness=witness,
    )


def actions_service(witness: Witness | None = None) -> SchemaService:
    """Return an action service; the name `taken` is refused."""

    def set_name(input: dict[str, Any]) -> dict[str, Any]:
        if input["name"] == "taken":
            raise UniquenessViolation
        return {"success": True}

    return SchemaService(
        ACTIONS_SDL,
        {
            "Query.hello": "👋",
            "Query.api": {"version": "1", "backend": "SERVER"},
            "Query.echo": lambda value=None, id=None, count=None: value,
            "Mutation.delete_flow": {"success": True},
            "Mutation.set_name": set_name,
            "Mutation.write_run_logs": {"success": True},
        },
        witness=witness,
    )


@dataclass(frozen=True)
class Served:
    """A running gateway: a client for it, and the services behind it."""

    client: httpx.AsyncClient
    data: Any
    actions: Any

    async def post(self, query: str, variables: Any = None, **more: Any) -> httpx.Response:
        """POST one operation."""
        return await self.client.post("/", json={"query": query, "variables": variables, **more})

    async def answer(self, query: str, variables: Any = None, **more: Any) -> Any:
        """POST one operation that is answered with 200; return the body."""
        response = await self.post(query, variables, **more)
        assert response.status_code == 200, response.text
        return response.json()


@asynccontextmanager
async def served(
    data: LiveService | None = None,
    actions: GraphQLService | None = None,
    *,
    retry_seconds: float = 3.0,
    patience_seconds: float = 10.0,
    look_seconds: float = 3.0,
    **settings: Any,
) -> AsyncIterator[Served]:
    """Run a gateway in process."""
    data, actions = data or data_service(), actions or actions_service()
    app = create_app(
        server_settings(gateway=gateway_settings(**settings)),
        data=data,
        actions=actions,
        retry_seconds=retry_seconds,
        patience_seconds=patience_seconds,
        look_seconds=look_seconds,
    )
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield Served(client, data, actions)
