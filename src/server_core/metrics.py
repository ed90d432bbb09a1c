"""A process's Prometheus registry → `GET /metrics`. The command line makes one registry per process and hands it down;
nothing is registered globally.
"""

from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]


def process_registry() -> CollectorRegistry:
    """Return a registry that already tells of the process: memory, CPU, open files."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def metrics_endpoint(registry: CollectorRegistry) -> Endpoint:
    """Return what answers `/metrics`: everything in the registry as Prometheus text."""

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return metrics
