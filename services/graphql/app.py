"""The action service: a GraphQL request in, the answer's bytes out; in process (create_service) or over HTTP.

strawberry builds the schema; its own per-request machinery is not used, because it parses and validates every time.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from graphql import print_schema
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.activity import note_variables
from server_core.clock import Clock, utc_now
from server_core.config import Settings
from server_core.db.contact import Pulse
from server_core.db.session import Database
from server_core.errors import InvalidInput, PayloadTooLarge, ServerError
from server_core.metrics import PoolCollector
from server_core.observe import server_version
from server_core.wire import (
    BEGINNING_BYTES,
    GATEWAY_SIGN,
    BodyLimits,
    GraphQLRequest,
    GraphQLResponse,
    GraphQLService,
    ServiceStatus,
    errors_body,
    forwarded_headers,
    parse_body,
    schema_digest,
)
from services.graphql.context import RequestContext
from services.graphql.errors import server_error_entry
from services.graphql.measured import MutationFigures, PlanCollector
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
            PlanCollector(self._operations.documents, registry)
            PoolCollector({"actions": self._database.open_pool}, registry)

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

    async def endpoint(request: Request) -> Response:
        try:
            body = await _read_body(request, limits)
            operations = parse_body(body, forwarded_headers(request.headers))
            if not limits.fits(len(body), operations):
                raise _too_large(limits.body)
        except ServerError as error:
            status = 413 if isinstance(error, PayloadTooLarge) else 400
            return Response(errors_body(server_error_entry(error)), status, media_type="application/json")
        if isinstance(operations, GraphQLRequest):
            answer = await service.execute(operations)
            return Response(answer.body, answer.status, media_type="application/json")
        answers = [(await service.execute(operation)).body for operation in operations]
        return Response(b"[" + b",".join(answers) + b"]", media_type="application/json")

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
            Route(settings.graphql.path, endpoint, methods=["POST"]),
            Route("/health", health),
            Route("/ready", ready),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


async def health(_request: Request) -> Response:
    """Answer that the process is up, and in which version."""
    return JSONResponse({"status": "ok", "version": server_version()})


async def _read_body(request: Request, limits: BodyLimits) -> bytes:
    """Read the body of a request.

    Raises:
        PayloadTooLarge: it is longer than its limit; the rest is not read.
        InvalidInput: the client went away in the middle.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limits.most:
        raise _too_large(limits.body)
    limit = None
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if limit is None and len(body) >= BEGINNING_BYTES:
                limit = limits.at(bytes(body[:BEGINNING_BYTES]))
            if len(body) > (limit or limits.body):
                raise _too_large(limit or limits.body)
    except ClientDisconnect as error:
        raise InvalidInput("The request body is incomplete.") from error
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {limit} bytes.")
