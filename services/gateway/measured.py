"""Calls of upstreams and waiting queries → figures. Made by app where somebody reads them."""

from collections.abc import Callable, Iterator
from time import perf_counter
from types import TracebackType

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server_core.errors import Overloaded, Unavailable
from server_core.metrics import Durations
from server_core.wire import GraphQLResponse
from services.gateway.stitch import Owner

SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30)


class UpstreamMetrics:
    """The figures of the calls of upstreams.

    Args:
        registry: where they are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Durations(
            "prefect_server_upstream_duration_seconds",
            "How long calls of upstreams took, with the wait for their turn, by outcome.",
            ["upstream", "outcome"],
            buckets=SECONDS,
            registry=registry,
        )

    def call(self, owner: Owner) -> "Call":
        """Return what measures one call, to be entered with `with`."""
        return Call(self, owner)

    def observe(self, owner: Owner, outcome: str, seconds: float) -> None:
        """Count a call."""
        self._seconds.observe((owner, outcome), seconds)


class Call:
    """One call of an upstream.

    Its outcome is `ok`, `errors` (of fields), `refused` (as a whole), `turned away` (too much to do), `away`, or
    `failed` for what else was raised.
    """

    __slots__ = ("_began", "_metrics", "_owner", "response")

    def __init__(self, metrics: UpstreamMetrics, owner: Owner) -> None:
        self._metrics = metrics
        self._owner = owner
        self._began = 0.0
        self.response: GraphQLResponse | None = None

    def __enter__(self) -> "Call":
        self._began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._metrics.observe(self._owner, self._outcome(error), perf_counter() - self._began)

    def _outcome(self, error: BaseException | None) -> str:
        if isinstance(error, Overloaded):
            return "turned away"
        if isinstance(error, Unavailable):
            return "away"
        if error is not None or self.response is None:
            return "failed"
        if self.response.status != 200:
            return "refused"
        return "errors" if self.response.body.startswith(b'{"errors"') else "ok"


class WaitingCollector(Collector):
    """Shows what waits.

    Args:
        registry: where it is shown.
        waiting: returns how many queries wait for their turn at an upstream.
    """

    def __init__(self, registry: CollectorRegistry, *, waiting: Callable[[Owner], int]) -> None:
        self._waiting = waiting
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        waiting = GaugeMetricFamily(
            "prefect_server_waiting_queries", "Queries that wait for their turn at an upstream.", labels=["upstream"]
        )
        for owner in (Owner.DATA, Owner.ACTIONS):
            waiting.add_metric([owner], self._waiting(owner))
        yield waiting
