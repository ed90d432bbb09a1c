"""Requests → OpenTelemetry spans, where an operator asked for them. Used by access and the gateway; made by the CLI.

The library is an extra (`prefect-server[otel]`) and is imported only when an endpoint is set.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from server_core.config import TracingSettings
from server_core.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter


class Tracing:
    """Makes the spans of one process. Without a provider it makes none, at no cost.

    Args:
        provider: where spans go.
    """

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._tracer = None if provider is None else provider.get_tracer("prefect-server")

    @property
    def on(self) -> bool:
        """Whether spans are made."""
        return self._tracer is not None

    @contextmanager
    def request(self, headers: Mapping[str, str], *, method: str, path: str) -> Iterator["RequestSpan"]:
        """Make the span of a request that came in; a child of the sender's, if `traceparent` tells of one.

        Yields:
            What notes the outcome, and by which headers the span is passed on.
        """
        if self._tracer is None:
            raise AssertionError("no spans are made")
        from opentelemetry.propagate import extract, inject
        from opentelemetry.trace import SpanKind

        with self._tracer.start_as_current_span(method, context=extract(headers), kind=SpanKind.SERVER) as span:
            span.set_attribute("http.request.method", method)
            span.set_attribute("url.path", path)
            passed_on: dict[str, str] = {}
            inject(passed_on)
            yield RequestSpan(span, passed_on)


class RequestSpan:
    """The span of a request under way.

    Attributes:
        passed_on: headers that tell the next service of it.
        trace_id: of the trace, 32 hexadecimal digits.
    """

    def __init__(self, span: Any, passed_on: Mapping[str, str]) -> None:
        self._span = span
        self.passed_on = passed_on
        self.trace_id = format(span.get_span_context().trace_id, "032x")

    def answered(self, status: int) -> None:
        """Note the status of the answer; from 500 on it is an error."""
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)

    def about(self, facts: Mapping[str, Any]) -> None:
        """Note what the request turned out to be about."""
        for name, value in facts.items():
            if isinstance(value, str | int | float):
                self._span.set_attribute(f"prefect.{name}", value)


def load_tracing(settings: TracingSettings, *, service: str, exporter: "SpanExporter | None" = None) -> Tracing:
    """Return what makes this process's spans.

    Args:
        settings: where they go.
        service: name of the service in the traces.
        exporter: takes the spans instead of the endpoint.

    Raises:
        ConfigError: an endpoint is set and the library is not installed.
    """
    if settings.endpoint is None and exporter is None:
        return Tracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
    except ImportError as error:
        raise ConfigError("tracing.endpoint: traces need `pip install 'prefect-server[otel]'`.") from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"prefect-server-{service}"}),
        sampler=ParentBasedTraceIdRatio(settings.sample_ratio),
    )
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))
    else:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    return Tracing(provider)
