"""What the loops did, for health and metrics: the runner writes it down, app shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MISSED_INTERVALS = 3
"""A loop that has not succeeded for so many intervals is failing."""

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


@dataclass(kw_only=True)
class LoopStatus:
    """Where a loop stands in this process.

    Attributes:
        interval: seconds from pass to pass.
        since: when the loop came to be this process's; passes are missed from then on.
        leader: this process runs the loop; None: not known, because the database did not answer.
        last_start: when the last pass began.
        last_success: when the last pass that came to its end did so.
        last_duration_seconds: how long the last pass took.
        counts: what the last good pass changed, by kind.
        errors: passes that failed, and failures to ask for the lease.
    """

    interval: float
    since: datetime
    leader: bool | None = None
    last_start: datetime | None = None
    last_success: datetime | None = None
    last_duration_seconds: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0

    def is_failing(self, now: datetime) -> bool:
        """Tell whether this process should run the loop and has not for some intervals."""
        if self.leader is False:
            return False
        last = max(self.since, self.last_success or self.since)
        return now - last > timedelta(seconds=self.interval * MISSED_INTERVALS)


class Logbook:
    """Keeps the status of every loop, and its metrics.

    Args:
        registry: where the metrics are shown.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.loops: dict[str, LoopStatus] = {}
        name = "prefect_server_loop"
        self._passes = Counter(f"{name}_passes", "Passes that came to their end.", ["loop"], registry=registry)
        self._errors = Counter(f"{name}_errors", "Passes that failed.", ["loop"], registry=registry)
        self._items = Counter(f"{name}_items", "What passes changed.", ["loop", "kind"], registry=registry)
        self._leader = Gauge(f"{name}_leader", "1 where this process runs the loop.", ["loop"], registry=registry)
        self._success = Gauge(
            f"{name}_last_success_timestamp_seconds", "When a pass last succeeded.", ["loop"], registry=registry
        )
        self._duration = Histogram(
            f"{name}_duration_seconds", "How long passes took.", ["loop"], buckets=_SECONDS, registry=registry
        )

    def add(self, loop: str, *, interval: float, now: datetime) -> None:
        """Open the page of a loop; its metrics are there from now on, with zeros."""
        self.loops[loop] = LoopStatus(interval=interval, since=now)
        self._passes.labels(loop)
        self._errors.labels(loop)
        self._leader.labels(loop)

    def leads(self, loop: str, leads: bool | None, *, now: datetime) -> None:
        """Note whether this process runs a loop; None: nobody knows."""
        status = self.loops[loop]
        if status.leader is False and leads is not False:
            status.since = now
        status.leader = leads
        self._leader.labels(loop).set(bool(leads))

    def began(self, loop: str, *, now: datetime) -> None:
        """Note the start of a pass."""
        self.loops[loop].last_start = now

    def succeeded(self, loop: str, counts: Mapping[str, int], *, now: datetime, seconds: float) -> None:
        """Note the end of a pass, and what it changed."""
        status = self.loops[loop]
        status.last_success, status.last_duration_seconds, status.counts = now, seconds, dict(counts)
        self._passes.labels(loop).inc()
        self._success.labels(loop).set(now.timestamp())
        self._duration.labels(loop).observe(seconds)
        for kind, count in counts.items():
            self._items.labels(loop, kind).inc(count)

    def failed(self, loop: str, *, seconds: float | None = None) -> None:
        """Note a failed pass, or with no `seconds` that it could not be begun."""
        status = self.loops[loop]
        status.errors += 1
        self._errors.labels(loop).inc()
        if seconds is not None:
            status.last_duration_seconds = seconds
            self._duration.labels(loop).observe(seconds)

    def health(self, *, now: datetime, next_runs: Mapping[str, datetime | None]) -> dict[str, Any]:
        """Return what `/health` says of the loops, as JSON values.

        Args:
            now: decides which loops are failing.
            next_runs: when each loop's next pass is due.
        """
        return {
            name: {
                "leader": bool(status.leader),
                "failing": status.is_failing(now),
                "last_start": _text(status.last_start),
                "last_success": _text(status.last_success),
                "last_duration_seconds": status.last_duration_seconds,
                "counts": status.counts,
                "errors": status.errors,
                "next_run": _text(next_runs.get(name)),
                "interval": status.interval,
            }
            for name, status in self.loops.items()
        }


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
