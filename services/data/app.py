"""The data API: requests → one statement each → answers. The conductor; also its HTTP and WebSocket doors.

A request goes prepare (parsed, validated, planned; cached) → run → body. Errors are DataErrors, translated here once.
A subscription is prepared alike; then the hub runs it whenever the listener says so (live).
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, cast

from graphql import print_schema
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from server_core.activity import note_variables
from server_core.config import Settings
from server_core.db.contact import Contact, Pulse
from server_core.departure import ON_AND_ON, Departed, Departure
from server_core.documents.measured import PlanCollector
from server_core.documents.memory import Stats
from server_core.graphql_ws.socket import Sockets
from server_core.memory import resettle
from server_core.metrics import Pool, PoolCollector
from server_core.observe import server_version
from server_core.wire import (
    End,
    GraphQLRequest,
    GraphQLResponse,
    GraphQLService,
    ServiceStatus,
    Watcher,
    errors_body,
    schema_digest,
)
from services.data.answer import Prepared, Rows
from services.data.catalog.introspect import INTROSPECTION, read_catalog
from services.data.catalog.metadata import load_metadata
from services.data.catalog.tracked import track
from services.data.door import Door
from services.data.errors import ConnectionFailed, DataError, Unexpected, UnexpectedPayload
from services.data.execute import Postgres
from services.data.limits import Limits
from services.data.live.hub import Hub
from services.data.live.listener import Listener
from services.data.portal import SIZES, ListSizes, Portals
from services.data.reload import reload_endpoint, reload_logged
from services.data.request import Requests, is_long
from services.data.schema.build import build_schema
from services.data.weighing import TooHeavy
from services.data.write import Writer

logger = logging.getLogger(__name__)

METADATA: Final = Path(__file__).with_name("metadata.yaml")


class DataService:
    """Answers queries over one database, and mutations if settings allow.

    Args:
        settings: pool size, timeout, null rule.
        dsn: the database.
        metadata: which of its tables to show, and how.
        registry: of the process's metrics; None: one that nobody reads.
        sizes: which lists are long, and of their chunks.

    Attributes:
        postgres: the connections that read.
        writing: those of mutations; none is made before it is needed, None if settings do not allow mutations.
        sockets: subscriptions (and requests) over WebSockets.
    """

    def __init__(
        self,
        settings: Settings,
        dsn: str,
        metadata: Path,
        *,
        registry: CollectorRegistry | None = None,
        sizes: ListSizes = SIZES,
    ) -> None:
        self._metadata = metadata
        self._null_collapse = settings.data.null_collapse
        self._remember = settings.data.plan_cache
        self._limits = Limits(
            depth=settings.data.depth_limit,
            nodes=settings.data.node_limit,
            document=settings.data.document_limit_bytes,
            tokens=settings.data.token_limit,
            aliases=settings.data.alias_limit,
        )
        self._reloading = asyncio.Lock()
        self._version = server_version()
        self._digest = ""
        self._contact = Contact(logger)
        self._pulse = Pulse(dsn, self._contact)
        self.postgres = Postgres(
            dsn,
            contact=self._contact,
            waiting=settings.data.waiting,
            wait_seconds=settings.data.wait_seconds,
            pool_size=settings.data.pool_size,
            statement_cache_size=settings.database.statement_cache_size,
            statement_timeout=settings.data.statement_timeout_seconds,
        )
        self._sizes = sizes
        self._portals = Portals(self.postgres, sizes)
        self.writing: Postgres | None = None
        if settings.data.mutations:
            self.writing = Postgres(
                dsn,
                contact=self._contact,
                waiting=settings.data.waiting,
                wait_seconds=settings.data.wait_seconds,
                pool_size=settings.data.pool_size,
                statement_cache_size=settings.database.statement_cache_size,
                statement_timeout=settings.data.statement_timeout_seconds,
                read_only=False,
            )
        pools: dict[str, Callable[[], Pool | None]] = {"data": self.postgres.open_pool}
        if self.writing is not None:
            pools["data mutations"] = self.writing.open_pool
        registry = registry or CollectorRegistry()
        PoolCollector(pools, registry)
        PlanCollector(registry, service="data", plans=self.plans)
        self.sockets = Sockets(self, settings.live, exact=True)
        self._requests: Requests | None = None
        self._hub = Hub(
            self._run,
            min_interval=settings.live.min_interval_seconds,
            poll_interval=settings.live.poll_interval_seconds,
            at_once=max(1, settings.data.pool_size // 2),
        )
        self._listener = Listener(settings.database.direct_url or dsn, self._hub)
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, read the catalog and build the schema.

        Raises:
            ConfigError: the metadata does not fit the database; the message names the line.
        """
        await self.postgres.start()
        try:
            await self.reload()
            if self.writing is not None:
                await self.writing.start()
        except BaseException:
            await self.postgres.stop()
            raise
        self._listening = asyncio.create_task(self._listener.run())

    async def reload(self) -> None:
        """Read metadata and catalog again; requests in flight end on the old schema.

        Raises:
            ConfigError: the metadata does not fit the database; the old schema stays.
        """
        async with self._reloading:
            metadata = await asyncio.to_thread(load_metadata, self._metadata)
            rows = await self.postgres.run(INTROSPECTION)
            schema = build_schema(track(read_catalog(rows[0][0]), metadata), mutations=self.writing is not None)
            self._digest = await asyncio.to_thread(lambda: schema_digest(print_schema(schema.graphql)))
            self._requests = Requests(
                schema, null_collapse=self._null_collapse, limits=self._limits, remember=self._remember
            )
            resettle()

    async def stop(self) -> None:
        """End the subscriptions and close the pools after the requests in flight."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None
        self._hub.stop()
        await self._portals.stop()
        if self.writing is not None:
            await self.writing.stop()
        await self.postgres.stop()
        await self._pulse.stop()
        self._requests = None

    def plans(self) -> tuple[Stats, int] | None:
        """Return how useful the remembered plans are, and how many there are; None while no schema is known."""
        return None if self._requests is None else (self._requests.stats, len(self._requests))

    async def status(self) -> ServiceStatus:
        """Tell whether the schema is known and the database answers."""
        ready = self._requests is not None and await self._pulse.beats()
        return ServiceStatus(ready=ready, version=self._version, schema=self._digest)

    async def execute(self, request: GraphQLRequest, departure: Departure | None = None) -> GraphQLResponse:
        """Answer one operation; a failure is an answer with `errors` and the status of data-api.md §2.6.

        Args:
            request: the operation.
            departure: its client, without whom a query is given up; a mutation never is.

        Raises:
            Departed: the client of a query left.
        """
        note_variables(request.variables)
        try:
            prepared = await self.prepare(request)
            if request.chunked and prepared.many and prepared.answer.reads is None:
                return await self._list(prepared, departure)
            return GraphQLResponse(body=await self._answer(prepared, departure), plain=True)
        except Departed:
            raise
        except Exception as error:
            return _failure(error)

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Begin a subscription: the watcher is told the result at once, and again whenever it changes.

        Returns:
            How to end it; or the answer of a request that was refused, or is a query or mutation.
        """
        try:
            prepared = await self.prepare(request)
            if prepared.answer.reads is not None:
                return self._hub.watch(prepared, watcher)
            return GraphQLResponse(body=await self._answer(prepared))
        except Exception as error:
            return _failure(error)

    async def prepare(self, request: GraphQLRequest) -> Prepared:
        """Return what is run for an operation.

        Raises:
            DataError: the operation is refused.
        """
        if self._requests is None:
            raise ConnectionFailed
        requests = self._requests
        prepared = requests.recall(request)
        if prepared is not None:
            return prepared
        return await asyncio.to_thread(requests.plan, request) if is_long(request) else requests.plan(request)

    async def _answer(self, prepared: Prepared, departure: Departure | None = None) -> bytes:
        if prepared.answer.reads is not None:
            raise UnexpectedPayload("subscriptions are not supported over HTTP, use a WebSocket instead")
        if prepared.answer.script is not None and self.writing is not None:
            answers = await Writer(self.writing).run(prepared.answer.script, prepared.variables)
            return prepared.answer.written(answers)
        if departure is None:
            return await self._run(prepared)
        with departure.cancelling():
            return await self._run(prepared)

    async def _run(self, prepared: Prepared) -> bytes:
        if prepared.answer.statement is None:
            return prepared.response(())
        rows = await self.postgres.run(prepared.text, prepared.parameters)
        return prepared.response(cast(Rows, rows))

    async def _list(self, prepared: Prepared, departure: Departure | None) -> GraphQLResponse:
        """Answer with a list that may be long: then it is asked for once more, and comes in chunks."""
        with ON_AND_ON if departure is None else departure.cancelling():
            try:
                rows = await self.postgres.run(prepared.text, prepared.parameters, heaviest=self._sizes.whole)
            except TooHeavy:
                pass
            else:
                return GraphQLResponse(body=prepared.response(cast(Rows, rows)), plain=True)
            return GraphQLResponse(body=b"", plain=True, chunks=await self._portals.answer(prepared))


def create_service(
    settings: Settings, dsn: str, metadata: Path | None = None, *, registry: CollectorRegistry | None = None
) -> DataService:
    """Return the data API over a database, for use in this process.

    Args:
        settings: the server's settings.
        dsn: any libpq-style `postgresql://` URL.
        metadata: a file in Hasura's metadata format; by default the one of the Prefect server.
        registry: of the process's metrics; None: one that nobody reads.
    """
    return DataService(settings, dsn, metadata or METADATA, registry=registry)


def create_app(service: DataService, *, body_limit: int = 16 * 1024 * 1024) -> Starlette:
    """Return the service behind HTTP and WebSockets: `/v1/graphql`, `/v1alpha1/graphql` and `/-/reload`.

    It is alive at `/healthz` and `/health`, and at `/ready` while its database answers. The first two answer alike but
    for the status of errors (data-api.md §2.6). The app starts and stops the service; whoever runs it calls
    `app.state.reload` on SIGHUP, and `app.state.leave` before it cuts WebSockets off.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await service.start()
        try:
            yield
        finally:
            await service.stop()

    doors = {
        path: Door(service, body_limit=body_limit, always_ok=always_ok)
        for path, always_ok in (("/v1/graphql", True), ("/v1alpha1/graphql", False))
    }
    app = Starlette(
        routes=[
            *(Route(path, door, methods=["POST"]) for path, door in doors.items()),
            WebSocketRoute("/v1/graphql", service.sockets.serve),
            WebSocketRoute("/v1alpha1/graphql", service.sockets.serve),
            Route("/healthz", _healthy, methods=["GET"]),
            Route("/health", _healthy, methods=["GET"]),
            Route("/ready", _readiness(service), methods=["GET"]),
            Route("/-/reload", reload_endpoint(service.reload), methods=["POST"]),
        ],
        lifespan=lifespan,
    )
    app.state.direct = doors
    app.state.reload = partial(reload_logged, service.reload)
    app.state.leave = service.sockets.leave
    return app


def _failure(error: Exception) -> GraphQLResponse:
    """Return the answer to a request that failed; what is no DataError is a defect: logged, and masked."""
    if not isinstance(error, DataError):
        unexpected = Unexpected("internal error", id=uuid.uuid4().hex)
        logger.error("request failed", exc_info=error, extra={"error_id": unexpected.id})
        error = unexpected
    return GraphQLResponse(body=errors_body(error.entry()), status=error.status)


def _readiness(service: GraphQLService) -> Callable[[Request], Awaitable[Response]]:
    async def ready(_: Request) -> Response:
        status = await service.status()
        return JSONResponse(status.document(), 200 if status.ready else 503)

    return ready


async def _healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})
