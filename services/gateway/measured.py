"""Calls of upstreams and waiting queries → figures. Made by app where somebody reads them."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server_core.metrics import Durations
from server_core.wire import GraphQLResponse
from services.gateway.stitch import Owner

TURNED_AWAY: Final = "turned away"
"""It had too much to do."""
OK: Final = "ok"
AWAY: Final = "away"
FAILED: Final = "failed"
"""Whatever else was raised."""

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

    def observe(self, owner: Owner, outcome: str, seconds: float) -> None:
        """Count a call.

        Args:
            owner: who was called.
            outcome: TURNED_AWAY, AWAY, FAILED, or what outcome_of says.
            seconds: how long it took.
        """
        self._seconds.observe((owner, outcome), seconds)


def outcome_of(response: GraphQLResponse) -> str:
    """Return how a call ended that was answered: `ok`, `errors` (of fields) or `refused` (as a whole)."""
    if response.status != 200:
        return "refused"
    return "errors" if response.body.startswith(b'{"errors"') else OK


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
