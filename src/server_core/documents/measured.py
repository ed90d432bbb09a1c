"""How useful remembered plans are → figures. Made by services that remember plans, where somebody reads metrics."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server_core.documents.memory import Stats


class PlanCollector(Collector):
    """Shows how often a service recalls plans, and how many it remembers.

    Args:
        registry: where it is shown.
        service: what metrics call the service.
        plans: returns what became of look-ups, and how many plans there are; None before the schema is known.
    """

    def __init__(
        self, registry: CollectorRegistry, *, service: str, plans: Callable[[], tuple[Stats, int] | None]
    ) -> None:
        self._service = service
        self._plans = plans
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Return the metrics."""
        looked_up = CounterMetricFamily(
            f"prefect_server_{self._service}_plans",
            "Look-ups of plans: hit, miss, or unfit (planned anew because of a literal); from zero with a new schema.",
            labels=["outcome"],
        )
        known = self._plans()
        stats, kept = known or (Stats(), 0)
        for outcome, count in (("hit", stats.hits), ("miss", stats.misses), ("unfit", stats.unfit)):
            looked_up.add_metric([outcome], count)
        yield looked_up
        yield GaugeMetricFamily(f"prefect_server_{self._service}_plans_kept", "Plans that are remembered.", value=kept)
