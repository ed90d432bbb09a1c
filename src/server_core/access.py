"""Requests of any service → an id each, figures, spans, and a log line if asked. The outermost layer of every ASGI app.

The id is the client's `X-Request-ID` or a new one; it is in the answer, in every log line written on the way, and is
sent on to the services that the request is passed to.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server_core.activity import begin, current, end, note, note_sent_on, request_id
from server_core.answering import ANSWER_AT_ONCE, CUT_OFF, CutOff, Headers, answerer
from server_core.config import Settings
from server_core.metrics import Durations, metrics_endpoint
from server_core.tracing import Tracing, load_tracing

logger = logging.getLogger(__name__)

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)
NO_ANSWER = "none"
"""Status of requests whose client left before the answer."""
CUT_SHORT = "cut off"
"""Status of requests whose answer had begun and could not be completed."""
_CUT = -1
NOTHING: Mapping[str, ASGIApp] = MappingProxyType({})


class RequestMetrics:
    """The figures of the requests that a process answers.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        name = "prefect_server_http_requests"
        self.in_progress = Gauge(f"{name}_in_progress", "Requests being answered.", ["service"], registry=registry)
        self.seconds = Durations(
            "prefect_server_http_request_duration_seconds",
            "How long requests took, by the status of the answer.",
            ["service", "method", "status"],
            buckets=SECONDS,
            registry=registry,
        )
        self.sockets = Gauge("prefect_server_websockets", "Open WebSockets.", ["service"], registry=registry)


def observe_requests(app: Starlette, *, service: str, settings: Settings, registry: CollectorRegistry) -> "Observed":
    """Put the outermost layer around a service's app, and `/metrics` on it where it has no page of that path yet.

    Args:
        app: the service; not started yet.
        service: its name in metrics, traces and log lines.
        settings: whether lines are written, and where spans go.
        registry: of the process's metrics.

    Raises:
        ConfigError: traces are asked for and the library is not installed.
    """
    app.add_route("/metrics", metrics_endpoint(registry))
    return Observed(
        app,
        direct=getattr(app.state, "direct", {}),
        service=service,
        metrics=RequestMetrics(registry),
        tracing=load_tracing(settings.tracing, service=service),
        log=settings.logging.access_log,
    )


class Observed:
    """An ASGI app whose requests are known.

    Args:
        app: answers them.
        direct: what answers POST on paths that nearly every request has, without going through the app's framework;
            the empty path stands for all.
        service: its name in metrics and log lines.
        metrics: the process's figures.
        tracing: makes spans, or none.
        log: write a line per request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        metrics: RequestMetrics,
        direct: Mapping[str, ASGIApp] = NOTHING,
        tracing: Tracing | None = None,
        log: bool = False,
    ) -> None:
        self._app = app
        self._direct = direct
        self._any = direct.get("")
        self._service = service
        self._metrics = metrics
        self._in_progress = 0
        metrics.in_progress.labels(service).set_function(lambda: self._in_progress)
        self._sockets = metrics.sockets.labels(service)
        self._tracing = tracing or Tracing()
        self._log = log

    @property
    def state(self) -> Any:
        """That of the app."""
        return getattr(self._app, "state", None)

    @property
    def router(self) -> Any:
        """That of the app: its lifespan is entered there."""
        return getattr(self._app, "router", None)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request, or serve a WebSocket, as the app does."""
        if scope["type"] == "http":
            return self._http(scope, receive, send)
        if scope["type"] == "websocket":
            return self._websocket(scope, receive, send)
        return self._app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = begin({"request_id": _identity(scope), "service": self._service})
        try:
            with self._sockets.track_inprogress():
                await self._app(scope, receive, send)
        finally:
            end(token)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        identity = _identity(scope)
        token = begin({"request_id": identity, "service": self._service})
        status = 0

        def sending(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", identity.encode())]
            return send(message)

        at_once = answerer(scope)
        if at_once is not None:
            inner = at_once

            def answering(given: int, headers: Headers, body: bytes) -> bool:
                nonlocal status
                if inner(given, [*headers, (b"x-request-id", identity.encode())], body):
                    status = given
                    return True
                return False

            scope["extensions"][ANSWER_AT_ONCE] = answering
        method: str = scope["method"]
        app = self._app
        if method == "POST" and self._direct:
            app = self._any or self._direct.get(scope["path"], app)
        self._in_progress += 1
        began = perf_counter()
        try:
            if self._tracing.on:
                await self._traced(app, scope, receive, sending, lambda: status)
            else:
                await app(scope, receive, sending)
        except CutOff:
            status = _CUT
            cut_off = None if scope.get("extensions") is None else scope["extensions"].get(CUT_OFF)
            if cut_off is None:
                raise
            cut_off()
        finally:
            seconds = perf_counter() - began
            self._in_progress -= 1
            self._metrics.seconds.observe((self._service, _method(method), _shown(status)), seconds)
            if self._log:
                _write(scope, _shown(status), seconds)
            if at_once is not None:
                scope["extensions"].clear()  # else every request would leave a circle for the garbage collector
            end(token)

    async def _traced(
        self, app: ASGIApp, scope: Scope, receive: Receive, sending: Send, answered: Callable[[], int]
    ) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracing.request(headers, method=scope["method"], path=scope["path"]) as span:
            note(trace_id=span.trace_id)
            note_sent_on(span.passed_on)
            try:
                await app(scope, receive, sending)
            finally:
                span.answered(answered())
                span.about(current())


def _identity(scope: Scope) -> str:
    given: bytes | None = dict(scope["headers"]).get(b"x-request-id")
    return request_id(None if given is None else given.decode("latin-1"))


def _shown(status: int) -> str:
    if status > 0:
        return str(status)
    return CUT_SHORT if status == _CUT else NO_ANSWER


def _method(method: str) -> str:
    """Return the method as a label; a client may send anything."""
    return method if method in ("POST", "GET", "OPTIONS", "HEAD", "PUT", "PATCH", "DELETE") else "other"


def _write(scope: Scope, status: str, seconds: float) -> None:
    client = scope.get("client")
    logger.info(
        "%s %s",
        scope["method"],
        scope["path"],
        extra={
            "status": int(status) if status.isdigit() else None,
            "duration_ms": round(seconds * 1000, 1),
            "client": client[0] if client else None,
        },
    )
