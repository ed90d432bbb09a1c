"""A process's Prometheus registry → `GET /metrics`. The command line makes one registry per process and hands it down;
nothing is registered globally.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
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


class Durations(Collector):
    """How long things took, by labels: a histogram for event loops.

    prometheus_client's own may be used from threads and takes a lock for each of its numbers, three or four times per
    request; that is a tenth of what the gateway does.

    Args:
        name, documentation: of the metric.
        labels: names of its labels.
        buckets: upper bounds in seconds, rising.
        registry: where it is shown.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = tuple(buckets)
        self._figures: dict[tuple[str, ...], list[float]] = {}
        registry.register(self)

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        """Count one."""
        figures = self._figures.get(labels)
        if figures is None:  # a count per bucket, one for what is above all of them, the sum
            figures = self._figures[labels] = [0.0] * (len(self._bounds) + 2)
        figures[bisect_left(self._bounds, seconds)] += 1
        figures[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """Return the metric."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        for labels, (*counts, total) in self._figures.items():
            family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)
        yield family


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
