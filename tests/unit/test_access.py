"""The outermost layer of every service: request ids, figures, log lines, spans."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from server_core.access import Observed, RequestMetrics, observe_requests
from server_core.activity import current, note, sent_on
from server_core.config import Settings, TracingSettings
from server_core.tracing import Tracing, load_tracing


class Seen:
    """An ASGI app that keeps what it knows of the requests it answers."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.facts: list[Mapping[str, Any]] = []
        self.sent_on: list[Mapping[str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        note(flow_run_id="f1")
        self.facts.append(dict(current()))
        self.sent_on.append(sent_on())
        if self.status:
            await send({"type": "http.response.start", "status": self.status, "headers": [(b"a", b"b")]})
            await send({"type": "http.response.body", "body": b"x"})


@asynccontextmanager
async def client_of(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
        yield client


def observed(app: Any, registry: CollectorRegistry, *, log: bool = False, tracing: Tracing | None = None) -> Observed:
    return Observed(app, service="data", metrics=RequestMetrics(registry), log=log, tracing=tracing)


async def test_a_request_has_one_id_everywhere() -> None:
    seen = Seen()
    async with client_of(observed(seen, CollectorRegistry())) as client:
        given = await client.post("/", headers={"X-Request-ID": "abc"})
        made = await client.post("/", headers={"X-Request-ID": "not fit\x7f"})
    assert (given.headers["x-request-id"], given.headers["a"]) == ("abc", "b")
    assert seen.facts[0] == {"request_id": "abc", "service": "data", "flow_run_id": "f1"}
    assert seen.sent_on[0] == {"x-request-id": "abc"}
    assert made.headers["x-request-id"] == seen.facts[1]["request_id"] != "not fit\x7f"
    assert sent_on() == {}


async def test_figures_by_status_and_method() -> None:
    registry = CollectorRegistry()
    async with client_of(observed(Seen(413), registry)) as client:
        await client.post("/anything")
        await client.request("BREW", "/")
    shown = generate_latest(registry).decode()
    name = "prefect_server_http_request_duration_seconds_count"
    assert f'{name}{{method="POST",service="data",status="413"}} 1.0' in shown
    assert f'{name}{{method="other",service="data",status="413"}} 1.0' in shown
    assert 'prefect_server_http_requests_in_progress{service="data"} 0.0' in shown


async def test_a_client_that_left_has_no_status() -> None:
    registry = CollectorRegistry()
    app = observed(Seen(0), registry)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("nothing is sent")

    await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    assert 'method="GET",service="data",status="none"} 1.0' in generate_latest(registry).decode()


@pytest.mark.parametrize("log", [True, False])
async def test_a_line_per_request_only_if_asked(log: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "server_core.access")
    async with client_of(observed(Seen(), CollectorRegistry(), log=log)) as client:
        await client.post("/graphql?secret=1")
    lines = [vars(record) for record in caplog.records if record.name == "server_core.access"]
    assert len(lines) == log
    if log:
        assert (lines[0]["message"], lines[0]["status"]) == ("POST /graphql", 200)
        assert lines[0]["duration_ms"] >= 0


async def test_spans_continue_the_senders_trace() -> None:
    exporter = InMemorySpanExporter()
    tracing = load_tracing(TracingSettings(), service="data", exporter=exporter)
    seen = Seen(500)
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with client_of(observed(seen, CollectorRegistry(), tracing=tracing)) as client:
        await client.post("/v1/graphql", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert format(span.context.trace_id, "032x") == trace
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 500
    assert span.attributes["url.path"] == "/v1/graphql"
    assert span.attributes["prefect.flow_run_id"] == "f1"
    assert not span.status.is_ok
    assert seen.facts[0]["trace_id"] == trace
    assert seen.sent_on[0]["traceparent"].startswith(f"00-{trace}-")


def test_without_an_endpoint_no_spans_are_made() -> None:
    assert not load_tracing(TracingSettings(), service="data").on


async def test_every_service_shows_its_figures() -> None:
    registry = CollectorRegistry()
    app = Starlette()
    async with client_of(observe_requests(app, service="towel", settings=Settings(), registry=registry)) as client:
        assert (await client.get("/nothing")).status_code == 404
        shown = (await client.get("/metrics")).text
    assert 'method="GET",service="towel",status="404"} 1.0' in shown
    assert 'prefect_server_http_requests_in_progress{service="towel"} 1.0' in shown
