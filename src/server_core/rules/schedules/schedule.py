"""A parsed schedule → its next events: clocks merged by time, filtered, adjusted (actions.md §6.3).

Called by server_core.actions.schedules. Everything is bounded, so that no document can keep a loop busy.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from server_core.rules.schedules.clocks import Clock, IntervalClock
from server_core.rules.schedules.cron import EVENTS_PER_EVALUATION, CronClock
from server_core.rules.schedules.filters import Adjustment, Filter
from server_core.rules.schedules.zones import UTC_ZONE

CANDIDATES_PER_EVALUATION = 10_000
"""Most clock times one evaluation looks at, whether the filters take them or not."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One moment at which a run is due.

    Attributes:
        start_time: aware, in UTC.
        parameter_defaults: values for the run, from the clock.
        labels: labels for the run, from the clock; None inherits the flow's, an empty list means none.
    """

    start_time: datetime
    parameter_defaults: dict[str, Any] = field(default_factory=dict)
    labels: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Upcoming:
    """The next events of a schedule, and how long they are the next ones.

    Attributes:
        events: in the order of their clock times.
        until: the clock time at which the next look shows something else; None: there is nothing more to come.
    """

    events: list[Event]
    until: datetime | None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule document, parsed.

    Attributes:
        clocks: where the times come from.
        filters: all must hold.
        or_filters: one must hold, if there are any.
        not_filters: none may hold.
        adjustments: applied to each time that passed, in order.
    """

    clocks: tuple[Clock, ...]
    filters: tuple[Filter, ...] = ()
    or_filters: tuple[Filter, ...] = ()
    not_filters: tuple[Filter, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()

    def next(self, n: int, *, after: datetime, inclusive: bool = False) -> list[Event]:
        """Return the next events in the order of their clock times; see upcoming."""
        return self.upcoming(n, after=after, inclusive=inclusive).events

    def upcoming(self, n: int, *, after: datetime, inclusive: bool = False) -> Upcoming:
        """Return the next events, and until when they stay the next ones.

        With all the events that were wanted, the first of them must pass before another comes into view. With fewer,
        each clock time that passes may bring one into view: the looks ahead of filters and clocks are bounded. So it is
        where other clocks went on after one that had come to its bound.

        Args:
            n: how many at most.
            after: the reference instant, aware.
            inclusive: `after` is "now" and not a time the caller chose: an rrule's occurrence at that very instant
                counts, as in the reference. No other clock ticks at `after`.
        """
        events: list[Event] = []
        previous: _Tick | None = None
        first_tick: datetime | None = None
        first_event_tick: datetime | None = None
        seen = 0
        takes_all = not (self.filters or self.or_filters or self.not_filters)
        looked = 0
        for looked, tick in enumerate(self._ticks(after.astimezone(UTC_ZONE), inclusive=inclusive), 1):  # noqa: B007
            if len(events) >= n or seen >= CANDIDATES_PER_EVALUATION:
                break
            if tick == previous:
                continue
            previous, moment = tick, tick.moment
            seen += 1
            first_tick = first_tick or moment
            if takes_all or self._passes(moment):
                first_event_tick = first_event_tick or moment
                adjusted = reduce(lambda time, adjust: adjust(time), self.adjustments, moment)
                events.append(_event(adjusted, tick.clock))
                # The reference compares the next tick with what the adjustments made of this one.
                previous = _Tick(adjusted, tick.clock)
        sees_all = len(events) >= n and not self._outlasts_a_clock(looked)
        until = first_event_tick if sees_all else first_tick
        if until is None:
            return Upcoming(events=events, until=None)
        skips = (clock.skips_at(after) for clock in self.clocks if isinstance(clock, IntervalClock))
        return Upcoming(events=events, until=min([until.astimezone(UTC), *filter(None, skips)]))

    def _ticks(self, after: datetime, *, inclusive: bool) -> "Iterator[_Tick]":
        streams = [_stamped(clock, after, inclusive=inclusive) for clock in self.clocks]
        # Without a key: which of several ticks of one time comes first is then decided as in the reference.
        return streams[0] if len(streams) == 1 else heapq.merge(*streams)

    def _outlasts_a_clock(self, looked: int) -> bool:
        """Tell whether, of so many ticks, the last may lie beyond what one of several clocks showed."""
        several = len(self.clocks) > 1 and any(isinstance(clock, CronClock) for clock in self.clocks)
        return several and looked > EVENTS_PER_EVALUATION

    def _passes(self, moment: datetime) -> bool:
        return (
            all(holds(moment) for holds in self.filters)
            and (not self.or_filters or any(holds(moment) for holds in self.or_filters))
            and not any(holds(moment) for holds in self.not_filters)
        )


class _Tick:
    """A moment of a clock.

    Ticks are ordered by time alone, but equal only if parameters and labels agree too; times of one zone agree by wall
    clock. A heap of three or more may so turn the order of ticks of one time, as it does in the reference; this decides
    which of them are neighbours and, if equal, one event.
    """

    __slots__ = ("clock", "moment")

    def __init__(self, moment: datetime, clock: Clock) -> None:
        self.moment = moment
        self.clock = clock

    def __lt__(self, other: "_Tick") -> bool:
        return self.moment < other.moment

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Tick)
            and self.moment == other.moment
            and self.clock.parameter_defaults == other.clock.parameter_defaults
            and self.clock.labels == other.clock.labels
        )

    __hash__ = None  # type: ignore[assignment]


def _stamped(clock: Clock, after: datetime, *, inclusive: bool) -> Iterator[_Tick]:
    for moment in clock.times(after, inclusive=inclusive):
        yield _Tick(moment, clock)


def _event(moment: datetime, clock: Clock) -> Event:
    return Event(
        start_time=moment.astimezone(UTC),
        parameter_defaults=clock.parameter_defaults,
        labels=None if clock.labels is None else list(clock.labels),
    )
