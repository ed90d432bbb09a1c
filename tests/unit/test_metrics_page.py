"""docs/metrics.md lists the metrics that there are, and no others."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from server_core.access import RequestMetrics
from server_core.actions.figures import Figures
from server_core.clock import utc_now
from server_core.documents.measured import PlanCollector
from server_core.metrics import PoolCollector
from services.gateway.measured import UpstreamMetrics, WaitingCollector
from services.graphql.measured import MutationFigures
from services.graphql.schema import build_schema
from services.towel.figures import metrics_of
from services.towel.logbook import Logbook

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
FIGURES = Figures(
    flow_runs={},
    task_runs={},
    late_flow_runs=0,
    oldest_late_seconds=0,
    active_agents=0,
    silent_agents=0,
    waiting_hook_events=0,
    hook_overdue_seconds=0,
)


def names() -> set[str]:
    """Return the name of every metric of the code, as Prometheus shows it."""
    registry = CollectorRegistry()
    RequestMetrics(registry)
    MutationFigures(registry).measure(build_schema()._schema)
    PoolCollector({}, registry)
    UpstreamMetrics(registry)
    WaitingCollector(registry, waiting=lambda _: 0)
    for service in ("gateway", "data", "graphql"):
        PlanCollector(registry, service=service, plans=lambda: None)
    Logbook(registry).add("probe", interval=1, now=utc_now())
    shown = [*registry.collect(), *metrics_of(FIGURES, age=0)]
    return {family.name + ("_total" if family.type == "counter" else "") for family in shown}


def test_the_page_lists_every_metric() -> None:
    rows = re.findall(r"^\| `(prefect_server_\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(names())


def test_its_examples_use_metrics_that_exist() -> None:
    examples = PAGE.read_text().partition("```yaml")[2]
    used = {re.sub(r"_(count|sum|bucket)$", "", name) for name in re.findall(r"prefect_server_\w+", examples)}
    assert used
    assert used <= names()
