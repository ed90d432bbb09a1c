"""The gateway: one endpoint in front of the data API and the actions. Conductor of its rooms.

proxy           what a proxy tells → the request as its client sent it
edge            HTTP → operations (body: inflate, decode)                      refuses 400, 405, 413, 415
schemas         both upstreams' schemas → one (stitch)                          refuses 503 until it is known
watch           how the upstreams are doing → /ready, and new schemas
document        text → plan: parsed, validated, split; remembered               refuses 400
variables       values → fit for the operation                                  refuses 400
admission       which queries go on to an upstream now                          refuses 503: too many wait
upstream        plan → responses, in process or over HTTP
subscriptions   operations over WebSockets → answers as above, or subscriptions followed at data
answer, merge   responses → one body in the client's terms                      200, with or without `errors`
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import MappingProxyType
from uuid import uuid4

from graphql import OperationType
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, WebSocketRoute

from server_core.activity import note_variables
from server_core.config import Settings
from server_core.departure import ON_AND_ON, Departure
from server_core.documents.measured import PlanCollector
from server_core.errors import Overloaded, ServerError, Unavailable
from server_core.graphql_ws.socket import Sockets
from server_core.metrics import Endpoint
from server_core.wire import (
    NO_HEADERS,
    REPEATABLE,
    BodyLimits,
    End,
    GraphQLRequest,
    GraphQLResponse,
    GraphQLService,
    LiveService,
    Watcher,
)
from services.gateway.admission import Admission, turned_away
from services.gateway.answer import Answer, failed, is_plain, read, without_invitation
from services.gateway.document import LONG, Documents, Plan
from services.gateway.edge import Edge
from services.gateway.introspection import Introspector
from services.gateway.measured import UpstreamMetrics, WaitingCollector
from services.gateway.merge import merge
from services.gateway.proxy import BehindProxy
from services.gateway.refusal import BAD_REQUEST, INTERNAL, Refusal
from services.gateway.schemas import PATIENCE_SECONDS, RETRY_SECONDS, Schemas
from services.gateway.split import RootField, Step
from services.gateway.stitch import Owner
from services.gateway.subscriptions import Operations, follow
from services.gateway.upstream import AnswerLost
from services.gateway.watch import LOOK_SECONDS, TOUCH_SECONDS, Report, Watch

_LONG_BODY = 200_000
"""The variables of longer requests are checked in a thread."""
_MOST_SEPARATED = 50
_AWAY = "postgres-error"
_NO_FIELDS_FAULT = frozenset({_AWAY, "timeout", "API_ERROR"})
"""Codes of failures that asking again, field by field, would only multiply."""
_NOT_OVER_HTTP = "Subscriptions are not available over HTTP; use a WebSocket (graphql-transport-ws or graphql-ws)."
_NOTHING: Mapping[str, Endpoint] = MappingProxyType({})
_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    data: LiveService,
    actions: GraphQLService,
    beside: Mapping[str, Endpoint] = _NOTHING,
    registry: CollectorRegistry | None = None,
    retry_seconds: float = RETRY_SECONDS,
    patience_seconds: float = PATIENCE_SECONDS,
    look_seconds: float = LOOK_SECONDS,
    touch_seconds: float = TOUCH_SECONDS,
) -> Starlette:
    """Make the ASGI application; its lifespan starts and stops both services.

    Whoever runs it calls `app.state.leave` before it cuts WebSockets off.

    Args:
        settings: limits of the endpoint (`gateway.*`).
        data: answers the table queries and subscriptions.
        actions: answers the mutations and computed queries; wins where both have a field.
        beside: further pages of this process, by path.
        registry: of the process's metrics; None: one that nobody reads.
        retry_seconds: pause between attempts to learn the services' schemas.
        patience_seconds: how long a request waits for the schemas before it is refused.
        look_seconds: pause between two looks at how the services are doing.
        touch_seconds: pause between two signs to the actions that the way in is open.
    """
    services = {Owner.DATA: data, Owner.ACTIONS: actions}
    schemas = Schemas(
        services,
        documents=lambda stitched: Documents(
            stitched=stitched,
            depth_limit=settings.gateway.depth_limit,
            token_limit=settings.gateway.token_limit,
            alias_limit=settings.gateway.alias_limit,
            introspection=settings.gateway.introspection,
            remember=settings.gateway.plan_cache,
        ),
        retry_seconds=retry_seconds,
        patience_seconds=patience_seconds,
    )
    limits = BodyLimits(body=settings.gateway.body_limit_bytes, logs=settings.logs_max_payload_bytes)
    watch = Watch(services, on_schemas=schemas.notice, look_seconds=look_seconds, touch_seconds=touch_seconds)
    registry = registry or CollectorRegistry()
    admission = Admission(settings.gateway, UpstreamMetrics(registry))
    WaitingCollector(registry, waiting=admission.waiting)
    PlanCollector(registry, service="gateway", plans=schemas.plans)
    gateway = Gateway(services, schemas, watch, admission, live=data)
    sockets = Sockets(Operations(gateway), settings.live)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with gateway.running():
            yield

    edge = Edge(settings.gateway, gateway, limits=limits)
    app = Starlette(
        routes=[
            *(Route(path, endpoint) for path, endpoint in beside.items()),
            WebSocketRoute("/{path:path}", sockets.serve),
            Mount("", app=edge),
        ],
        middleware=[
            Middleware(BehindProxy, base_path=settings.gateway.base_path, trusted=settings.gateway.trusted_proxies)
        ],
        lifespan=lifespan,
    )
    app.router.default = edge  # for what is no path: `OPTIONS *`
    app.state.direct = {
        "": BehindProxy(edge, base_path=settings.gateway.base_path, trusted=settings.gateway.trusted_proxies)
    }
    app.state.leave = sockets.leave
    return app


class Gateway:
    """Answers operations by asking the upstreams."""

    def __init__(
        self,
        services: Mapping[Owner, GraphQLService],
        schemas: Schemas,
        watch: Watch,
        admission: Admission,
        *,
        live: LiveService,
    ) -> None:
        self._services = services
        self._live = live
        self._schemas = schemas
        self._watch = watch
        self._admission = admission

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep both services started and watched, and learn their schemas, for as long as the context is entered."""
        async with AsyncExitStack() as stack:
            for service in self._services.values():
                await service.start()
                stack.push_async_callback(service.stop)
            self._schemas.start()
            stack.push_async_callback(self._schemas.stop)
            await stack.enter_async_context(self._watch.running())
            yield

    async def answer(
        self, request: GraphQLRequest, *, reading: bool = False, departure: Departure | None = None
    ) -> GraphQLResponse:
        """Answer one operation.

        Args:
            request: the operation.
            reading: refuse anything but a query (GET).
            departure: the client, without whom a query is given up; a mutation never is.

        Raises:
            Refusal: nothing was executed.
            Departed: the client of a query left.
        """
        note_variables(request.variables)
        documents, introspector = self._schemas.known or await self._schemas.current()
        plan = documents.known(request.query, request.operation_name) or await self._plan(documents, request)
        if reading and not plan.reads:
            raise Refusal.plain("GET supports only queries.", status=405, headers=[("allow", "POST")])
        if request.raw is not None and len(request.raw) > _LONG_BODY:
            await asyncio.to_thread(plan.check, request.variables)
        else:
            plan.check(request.variables)
        if plan.kind is OperationType.SUBSCRIPTION or plan.empty:
            return _nothing(plan)
        with ON_AND_ON if departure is None or not plan.reads else departure.cancelling():
            if plan.whole is None:
                answers = await self._take(documents, introspector, plan, request)
                return GraphQLResponse(body=merge(plan.roots, answers))
            response = await self._attempt(plan, None, request)
            if isinstance(response, GraphQLResponse):
                if is_plain(response):
                    return response
                response = await self._read(documents, plan, plan.steps[0], request, response)
            return GraphQLResponse(body=merge(plan.roots, [response]))

    async def ready(self) -> Report:
        """Ask each upstream how it is doing."""
        return await self._watch.look()

    def report(self) -> Report:
        """Return what was found when they were asked last."""
        return self._watch.report

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Follow a subscription, and answer what is none.

        Returns:
            How to end it; or the answer, also of a subscription that its owner refuses.

        Raises:
            Refusal: nothing was executed.
        """
        documents, _ = await self._schemas.current()
        plan = documents.known(request.query, request.operation_name) or await self._plan(documents, request)
        if plan.kind is not OperationType.SUBSCRIPTION:
            return await self.answer(request)
        plan.check(request.variables)
        (step,) = plan.steps  # validation saw to it that there is one root field
        return await follow(self._live, step, _used(step, request), watcher)

    async def _plan(self, documents: Documents, request: GraphQLRequest) -> Plan:
        if len(request.query) > LONG:
            return await asyncio.to_thread(documents.plan, request.query, request.operation_name)
        plan = documents.plan(request.query, request.operation_name)
        if plan.parsed is not None:  # taken before anybody waits for anything, or not at all
            asyncio.get_running_loop().call_soon(plan.parsed.drop)
        return plan

    async def _take(
        self, documents: Documents, introspector: Introspector, plan: Plan, request: GraphQLRequest
    ) -> list[Answer]:
        """Take all steps: those of a query side by side, those of a mutation one after the other."""

        async def step_answer(step: Step) -> Answer:
            if step.owner is Owner.GATEWAY:
                return await introspector.answer(step, request.variables)
            response = await self._attempt(plan, step, request)
            if isinstance(response, Answer):
                return response
            return await self._read(documents, plan, step, request, response)

        if plan.reads:
            return list(await asyncio.gather(*map(step_answer, plan.steps)))
        answers = [await step_answer(step) for step in plan.steps]
        return without_invitation(answers) if len(answers) > 1 else answers

    async def _attempt(self, plan: Plan, step: Step | None, request: GraphQLRequest) -> GraphQLResponse | Answer:
        """Call the upstream of a step; an upstream that does not answer makes a failed answer.

        Args:
            step: None if the whole goes to one upstream, as it is.
        """
        owner = plan.whole if step is None else step.owner
        assert owner is not None  # noqa: S101 - who passes no step has looked
        call = GraphQLRequest(
            query=request.query if step is None else step.text,
            variables=request.variables if step is None else _used(step, request),
            operation_name=request.operation_name if step is None else None,
            headers=request.headers if owner is Owner.ACTIONS else NO_HEADERS,
            read_only=plan.reads,
            raw=request.raw if step is None else None,
            shape=plan.shape if step is None else None,
            parsed=plan.parsed if step is None else None,
            chunked=request.chunked and step is None,
        )
        try:
            response = await self._admission.execute(self._services[owner], owner, call, headers=request.headers)
            self._watch.back(owner)
            return response
        except Overloaded as error:
            if plan.reads and (step is None or (len(plan.steps) == 1 and step is plan.steps[0])):
                raise turned_away(error.message) from error
            message, code = error.message, error.code
        except AnswerLost as error:
            self._watch.away(owner, error.message)
            again = plan.reads or all(field.name in REPEATABLE for field in _fields(plan, step))
            message, code = error.message, Unavailable.code if again else error.code
        except Unavailable as error:
            self._watch.away(owner, error.message)
            message, code = error.message, error.code
        except ServerError as error:
            _log.warning("The %s service failed: %s", owner, error.message)
            message, code = error.message, error.code
        except RecursionError:
            message, code = "The variables are nested too deeply.", BAD_REQUEST
        except Exception:  # a defect of a service in this process: masked for the client
            error_id = uuid4().hex
            _log.exception("The %s service raised an error.", owner, extra={"error_id": error_id})
            message, code = f"The {owner} service failed ({error_id}).", INTERNAL
        return failed(_fields(plan, step), message, code)

    async def _read(
        self, documents: Documents, plan: Plan, step: Step, request: GraphQLRequest, response: GraphQLResponse
    ) -> Answer:
        """Read a response; where a step failed as a whole and nothing was executed, ask for each field alone.

        One bad root field then leaves its siblings their answers, as if each had been sent alone (data-api.md §3.2).
        """
        inviting = _AWAY if plan.reads else None
        answer = read(step.fields, response, step.owner, inviting=inviting)
        harmless = not answer.codes & _NO_FIELDS_FAULT if plan.reads else response.status == 400
        if not (answer.refused and harmless and 1 < len(step.fields) <= _MOST_SEPARATED):
            return answer
        pieces = documents.separate(request.query, request.operation_name, step)

        async def piece_answer(piece: Step) -> Answer:
            again = await self._attempt(plan, piece, request)
            return again if isinstance(again, Answer) else read(piece.fields, again, piece.owner, inviting=inviting)

        if plan.reads:
            answers = list(await asyncio.gather(*map(piece_answer, pieces)))
        else:
            answers = without_invitation([await piece_answer(piece) for piece in pieces])
        return Answer(
            values={key: value for each in answers for key, value in each.values.items()},
            errors={key: error for each in answers for key, error in each.errors.items()},
        )


def _fields(plan: Plan, step: Step | None) -> Sequence[RootField]:
    return plan.steps[0].fields if step is None else step.fields


def _used(step: Step, request: GraphQLRequest) -> dict[str, object]:
    return {name: value for name, value in request.variables.items() if name in step.variables}


def _nothing(plan: Plan) -> GraphQLResponse:
    """Answer an operation that asks for nothing, or for what goes over a WebSocket only (data-api.md §3.2)."""
    if not plan.fields:
        return GraphQLResponse(body=b'{"data":{}}')
    answer = failed(plan.fields, _NOT_OVER_HTTP, INTERNAL)
    return GraphQLResponse(body=json.dumps({"errors": list(answer.errors.values()), "data": None}).encode())
