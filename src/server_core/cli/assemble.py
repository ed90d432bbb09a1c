"""Settings → the services they describe, put together. Called by start (all in one process) and services (one each).

Services are named by import strings, because server_core never imports services (architecture.md, settled point 6).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any, Protocol

import httpx
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from server_core.access import observe_requests
from server_core.config import Settings
from server_core.metrics import metrics_endpoint, process_registry

SERVICES = ("gateway", "data", "graphql", "towel")
NEED_DATABASE = ("data", "graphql", "towel")


class Towel(Protocol):
    """The maintenance loops."""

    async def start(self) -> None:
        """Start the loops."""

    async def stop(self) -> None:
        """Stop them after the passes in progress."""

    async def health(self, request: Request) -> Response:
        """Answer how they are doing."""


def whole_server(settings: Settings, dsn: str) -> tuple[Any, Towel]:
    """Return the ASGI app of gateway, data and graphql in one process, without ports between them, and the loops.

    The loops are not started with the app. It shows how they are doing at `/towel/health`, and the process's metrics.
    """
    registry = process_registry()
    towel: Towel = _load("services.towel.app:create_towel")(settings, dsn, registry=registry)
    data = _load("services.data.app:create_service")(settings, dsn, registry=registry)
    actions = _load("services.graphql.app:create_service")(settings, dsn, registry=registry)
    beside = {"/metrics": metrics_endpoint(registry), "/towel/health": towel.health}
    app = _load("services.gateway.app:create_app")(
        settings, data=data, actions=actions, beside=beside, registry=registry
    )
    return observe_requests(app, service="gateway", settings=settings, registry=registry), towel


def service_app(name: str, settings: Settings, dsn: str | None) -> Any:
    """Return the ASGI app of one service; the towel's loops run while it lives.

    Args:
        name: one of SERVICES.
        settings: where its upstreams are, among others.
        dsn: the database; None for the gateway, which needs none.
    """
    registry = process_registry()
    app = _service_app(name, settings, dsn, registry)
    return observe_requests(app, service=name, settings=settings, registry=registry)


def _service_app(name: str, settings: Settings, dsn: str | None, registry: CollectorRegistry) -> Any:
    if name == "gateway":
        data = _load("services.gateway.upstream:data_upstream")(settings)
        actions = _load("services.gateway.upstream:actions_upstream")(settings)
        beside = {"/metrics": metrics_endpoint(registry)}
        return _load("services.gateway.app:create_app")(
            settings, data=data, actions=actions, beside=beside, registry=registry
        )
    module = f"services.{name}.app"
    made = "create_towel" if name == "towel" else "create_service"
    return _load(f"{module}:create_app")(_load(f"{module}:{made}")(settings, dsn, registry=registry))


def loop_names() -> list[str]:
    """Return the names of the maintenance loops."""
    names: list[str] = _load("services.towel.app:loop_names")()
    return names


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Open what an app needs to answer, and close it at the end."""
    async with app.router.lifespan_context(app):
        yield


async def until_it_answers(app: Any) -> None:
    """Return when the whole server answers a query; the gateway itself waits a little for its schema."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        while (await client.post("/", json={"query": "{ __typename }"})).status_code == httpx.codes.SERVICE_UNAVAILABLE:
            pass


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
