"""What is going on in the database → metrics: taken in the background while somebody asks for them. Made by app.

Asking for `/metrics` lets new figures be taken if the last ones are older than 15 s, and waits for them for a moment;
if it takes longer the last ones are shown, and how old they are. Where nobody asks, nothing is counted.
"""

import asyncio
import logging
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server_core.actions.context import ActionContext
from server_core.actions.figures import Figures, take_figures
from server_core.errors import Unavailable
from server_core.metrics import ProcessRegistry

logger = logging.getLogger(__name__)

FRESH_SECONDS = 15.0
PATIENCE_SECONDS = 0.3


class FiguresCollector(Collector):
    """Shows figures in a registry, and takes new ones when they are old.

    Args:
        context: the database.
        registry: where they are shown.
        fresh_seconds: figures are taken anew when they are older.
        patience_seconds: how long somebody who asks waits for new ones.
    """

    def __init__(
        self,
        context: ActionContext,
        registry: CollectorRegistry,
        *,
        fresh_seconds: float = FRESH_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._context = context
        self._fresh_seconds = fresh_seconds
        self._patience_seconds = patience_seconds
        self._figures: Figures | None = None
        self._taken_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._taking: asyncio.Task[None] | None = None
        registry.register(self)
        if isinstance(registry, ProcessRegistry):
            registry.before.append(self.refresh)

    async def start(self) -> None:
        """Take the first figures in the background."""
        self._loop = asyncio.get_running_loop()
        self._taking = asyncio.create_task(self.take(), name="figures")

    async def stop(self) -> None:
        """Take no more figures."""
        self._loop = None
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.gather(self._taking, return_exceptions=True)

    async def take(self) -> None:
        """Take figures now; those of before stay if the database does not answer."""
        try:
            figures = await take_figures(self._context)
        except Unavailable as error:
            logger.warning("the figures for /metrics were not taken: %s", error)
        except Exception:
            logger.exception("the figures for /metrics were not taken")
        else:
            self._figures = figures
            self._taken_at = asyncio.get_running_loop().time()

    async def refresh(self) -> None:
        """Take new figures if the last ones are old, and wait for them for a moment."""
        if self._loop is None:
            return
        if self._loop.time() - self._taken_at > self._fresh_seconds and (self._taking is None or self._taking.done()):
            self._taking = self._loop.create_task(self.take(), name="figures")
        if self._taking is not None and not self._taking.done():
            await asyncio.wait([self._taking], timeout=self._patience_seconds)

    def describe(self) -> Iterator[Metric]:
        """Return nothing, so that registering does not ask for figures."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Return the metrics of the last figures; none before the first were taken."""
        if self._loop is not None and self._figures is not None:
            yield from metrics_of(self._figures, age=self._loop.time() - self._taken_at)


def metrics_of(figures: Figures, *, age: float) -> Iterator[Metric]:
    """Return figures as metrics.

    Args:
        figures: what was counted.
        age: seconds since then.
    """
    for name, title, runs in (
        ("flow_runs", "Flow runs", figures.flow_runs),
        ("task_runs", "Task runs", figures.task_runs),
    ):
        family = GaugeMetricFamily(
            f"prefect_server_{name}", f"{title} in each state; an estimate for final states.", labels=["state"]
        )
        for state, count in sorted(runs.items()):
            family.add_metric([state], count)
        yield family
    yield _gauge("late_flow_runs", "Flow runs due more than 15 s ago that still wait.", figures.late_flow_runs)
    yield _gauge("oldest_late_flow_run_seconds", "How long ago the first of them was due.", figures.oldest_late_seconds)
    agents = GaugeMetricFamily(
        "prefect_server_agents", "Agents that asked for runs within a minute (active), and others.", labels=["status"]
    )
    agents.add_metric(["active"], figures.active_agents)
    agents.add_metric(["silent"], figures.silent_agents)
    yield agents
    yield _gauge("waiting_hook_events", "Events that wait to be told to cloud hooks.", figures.waiting_hook_events)
    yield _gauge("hook_overdue_seconds", "How late the first of them is.", figures.hook_overdue_seconds)
    yield _gauge("figures_age_seconds", "How old the figures are that are counted in the database.", age)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"prefect_server_{name}", text, value=value)
