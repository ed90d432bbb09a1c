"""A process's Prometheus registry → `GET /metrics`. The command line makes one registry per process and hands it down;
nothing is registered globally.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]


class Pool(Protocol):
    """A pool of connections, as asyncpg's tells of itself."""

    def get_size(self) -> int:
        """Return how many connections are open."""

    def get_idle_size(self) -> int:
        """Return how many of them nobody uses."""

    def get_max_size(self) -> int:
        """Return how many there may be."""


Pools = Mapping[str, Callable[[], Pool | None]]
"""Pools of connections by name; None while one is not open."""


class ProcessRegistry(CollectorRegistry):
    """A registry that may have something to do before it is read.

    Attributes:
        before: awaited, all at once, before the metrics are shown; each sees to it that it ends soon.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], Awaitable[None]]] = []


def process_registry() -> ProcessRegistry:
    """Return a registry that already tells of the process: memory, CPU, open files, Python's version."""
    registry = ProcessRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def metrics_endpoint(registry: CollectorRegistry) -> Endpoint:
    """Return what answers `/metrics`: everything in the registry as Prometheus text."""

    async def metrics(_request: Request) -> Response:
        if isinstance(registry, ProcessRegistry):
            await asyncio.gather(*(prepare() for prepare in registry.before))
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return metrics


class PoolCollector(Collector):
    """Shows how busy pools of database connections are.

    Args:
        pools: the pools, by the name that metrics call them.
        registry: where they are shown.
    """

    def __init__(self, pools: Pools, registry: CollectorRegistry) -> None:
        self._pools = pools
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Return open, used and most connections of each pool that is open."""
        families = {
            "open": GaugeMetricFamily("prefect_server_db_connections", "Open connections.", labels=["pool"]),
            "used": GaugeMetricFamily("prefect_server_db_connections_used", "Connections in use.", labels=["pool"]),
            "most": GaugeMetricFamily("prefect_server_db_connections_max", "Most connections.", labels=["pool"]),
        }
        for name, of in self._pools.items():
            pool: Any = of()
            if pool is not None:
                families["open"].add_metric([name], pool.get_size())
                families["used"].add_metric([name], pool.get_size() - pool.get_idle_size())
                families["most"].add_metric([name], pool.get_max_size())
        yield from families.values()
