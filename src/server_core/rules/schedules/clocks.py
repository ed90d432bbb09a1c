"""The clocks of a schedule: a reference instant → the times strictly after it, each in the clock's own zone.

Called by server_core.rules.schedules.schedule, which merges the streams. Cron and rrule have modules of their own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from server_core.rules.schedules.zones import UTC_ZONE, shift

DEFAULT_ANCHOR = datetime(2019, 1, 1, tzinfo=UTC_ZONE)
"""Where intervals without a start date begin."""

SHORTEST_INTERVAL = timedelta(minutes=1)


class Clock(Protocol):
    """Anything that ticks.

    Attributes:
        parameter_defaults: values for the runs of this clock.
        labels: labels for the runs of this clock; None inherits the flow's, an empty tuple means none.
    """

    @property
    def parameter_defaults(self) -> dict[str, Any]: ...

    @property
    def labels(self) -> tuple[str, ...] | None: ...

    def times(self, after: datetime, *, inclusive: bool) -> Iterator[datetime]:
        """Yield aware times in rising order.

        Args:
            after: the reference instant, in UTC.
            inclusive: the caller gave no reference instant of its own; only rrules then count `after` itself.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class IntervalClock:
    """Ticks at `start_date + k * interval` (actions.md §6.2)."""

    interval: timedelta
    start_date: datetime | None
    end_date: datetime | None
    parameter_defaults: dict[str, Any]
    labels: tuple[str, ...] | None

    def times(self, after: datetime, *, inclusive: bool) -> Iterator[datetime]:
        """Yield the ticks after `after`; the count of intervals is measured in elapsed time, as the reference does."""
        anchor = self.start_date or DEFAULT_ANCHOR
        count = self._passed(after)
        end = self.end_date
        while True:
            try:
                tick = shift(anchor, self.interval * count)
            except OverflowError:
                return
            if end is not None and tick > end:
                return
            # Counted in elapsed time but stepped on the wall clock, the first ticks may lie before the reference.
            if not count or tick >= after:
                yield tick
            count += 1

    def skips_at(self, after: datetime) -> datetime | None:
        """Return when the first tick goes out of sight before its time has come; None: it does not.

        Counted in elapsed time but stepped on the wall clock, the ticks of a summer anchor lie an hour later in winter.
        For that hour the reference passes over them: it sees each only while it is more than an hour away.
        """
        anchor = self.start_date or DEFAULT_ANCHOR
        count = self._passed(after)
        if not count or anchor.tzinfo is UTC_ZONE:
            return None
        try:
            passed = anchor.astimezone(UTC) + self.interval * count
            return passed if passed < shift(anchor, self.interval * count).astimezone(UTC) else None
        except OverflowError:
            return None

    def _passed(self, after: datetime) -> int:
        """Return the number of the first tick that is not over, by elapsed time."""
        elapsed = after.astimezone(UTC) - (self.start_date or DEFAULT_ANCHOR).astimezone(UTC)
        return elapsed // self.interval + 1 if elapsed >= timedelta(0) else 0


@dataclass(frozen=True, kw_only=True)
class DatesClock:
    """Ticks at the listed times."""

    dates: tuple[datetime, ...]
    parameter_defaults: dict[str, Any]
    labels: tuple[str, ...] | None

    def times(self, after: datetime, *, inclusive: bool) -> Iterator[datetime]:
        """Yield the listed times later than `after`."""
        yield from sorted(date for date in self.dates if date > after)
