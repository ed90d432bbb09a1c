"""The action service: a GraphQL request in, the answer's bytes out; in process (create_service) or over HTTP.

strawberry builds the schema; its own per-request machinery is not used, because it parses and validates every time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graphql import print_schema
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.activity import note_variables
from server_core.clock import Clock, utc_now
from server_core.config import Settings
from server_core.db.contact import Pulse
from server_core.db.session import Database
from server_core.documents.measured import PlanCollector
from server_core.documents.memory import Stats
from server_core.metrics import PoolCollector
from server_core.observe import server_version
from server_core.wire import (
    GATEWAY_SIGN,
    BodyLimits,
    GraphQLRequest,
    GraphQLResponse,
    GraphQLService,
    ServiceStatus,
    schema_digest,
)
from services.graphql.context import RequestContext
from services.graphql.door import Door
from services.graphql.measured import MutationFigures
from services.graphql.operations import Operations
from services.graphql.presence import Presence
from services.graphql.schema import build_schema


class ActionService:
    """Answers GraphQL operations by calling the verbs of server_core.actions.

    Args:
        settings: limits, pool sizes, path.
        dsn: the database.
        clock: returns the current time.
        registry: of the process's metrics; None: nothing is measured.
    """

    def __init__(
        self, settings: Settings, dsn: str, *, clock: Clock = utc_now, registry: CollectorRegistry | None = None
    ) -> None:
        self.settings = settings
        self._database = Database(dsn, settings.database)
        self._hooks = HookDelivery(self._database, api_url=settings.api.url, settings=settings.hooks, clock=clock)
        self._pulse = Pulse(dsn, self._database.contact)
        self._version = server_version()
        self._digest = ""
        self._actions = ActionContext(
            database=self._database, settings=settings, clock=clock, hook_delivery=self._hooks
        )
        self._presence = Presence(self._actions)
        self._schema = build_schema()._schema
        figures = None if registry is None else MutationFigures(registry)
        self._operations = Operations(self._schema, plan_cache=settings.graphql.plan_cache, figures=figures)
        if registry is not None:
            PlanCollector(registry, service="graphql", plans=self._plans)
            PoolCollector({"actions": self._database.open_pool}, registry)

    def _plans(self) -> tuple[Stats, int]:
        documents = self._operations.documents
        return documents.stats, len(documents)

    async def start(self) -> None:
        """Open the connections to the database and deliver what waits for cloud hooks."""
        await self._database.open()
        self._hooks.start()
        self._presence.start()

    async def stop(self) -> None:
        """Close them when the verbs in flight are done and the deliveries under way are made or given back."""
        await self._presence.stop()
        await self._hooks.stop()
        await self._pulse.stop()
        await self._database.close()

    async def status(self) -> ServiceStatus:
        """Tell whether the database answers."""
        if not self._digest:
            self._digest = await asyncio.to_thread(lambda: schema_digest(print_schema(self._schema)))
        return ServiceStatus(ready=await self._pulse.beats(), version=self._version, schema=self._digest)

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        """Answer one operation (statuses: actions.md §0.3); never raises for a client's mistake."""
        note_variables(request.variables)
        if request.query == GATEWAY_SIGN:
            self._presence.reached()
        return await self._operations.answer(request, RequestContext(actions=self._actions, headers=request.headers))


def create_service(settings: Settings, dsn: str, *, registry: CollectorRegistry | None = None) -> GraphQLService:
    """Return the action service for use in this process; call start before the first request."""
    return ActionService(settings, dsn, registry=registry)


def create_app(service: GraphQLService, settings: Settings | None = None) -> Starlette:
    """Return the service as an ASGI application: `POST settings.graphql.path`, `GET /health` (actions.md §0.1), and
    `GET /ready`, which is 200 while the database answers.

    Args:
        service: what answers; started and stopped by the application's lifespan.
        settings: path and body limits; default: the service's own.
    """
    settings = settings or getattr(service, "settings", None) or Settings()
    limits = BodyLimits(body=settings.graphql.body_limit_bytes, logs=settings.logs_max_payload_bytes)

    door = Door(service, limits=limits)

    async def ready(_request: Request) -> Response:
        status = await service.status()
        return JSONResponse(status.document(), 200 if status.ready else 503)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    app = Starlette(
        routes=[
            Route(settings.graphql.path, door, methods=["POST"]),
            Route("/health", health),
            Route("/ready", ready),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.direct = {settings.graphql.path: door}
    return app


async def health(_request: Request) -> Response:
    """Answer that the process is up, and in which version."""
    return JSONResponse({"status": "ok", "version": server_version()})
