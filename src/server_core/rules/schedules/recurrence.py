"""An rrule or rruleset → its occurrences, as dateutil finds them for the 1.4.1 client, in bounded time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from dateutil import rrule as dateutil_rrule

from server_core.rules.schedules.zones import UTC_ZONE, in_zone

OCCURRENCES_PER_EVALUATION = 25_000
"""Most occurrences of one rule that one evaluation looks at; one with COUNT and BY parts is walked from its start."""

HORIZON = timedelta(days=100 * 365)
"""How far ahead a rule is followed."""

_YEARS_LEFT = 60
_LATEST_YEAR = MAXYEAR - _YEARS_LEFT
_DAYS_OF_YEAR = ("bymonth", "bymonthday", "byyearday", "byweekno", "byeaster")
_CHOOSE_DAYS = ("bymonthday", "byyearday", "byweekno", "byeaster", "byweekday")

_UNITS = {
    dateutil_rrule.WEEKLY: timedelta(weeks=1),
    dateutil_rrule.DAILY: timedelta(days=1),
    dateutil_rrule.HOURLY: timedelta(hours=1),
    dateutil_rrule.MINUTELY: timedelta(minutes=1),
    dateutil_rrule.SECONDLY: timedelta(seconds=1),
}


@dataclass(frozen=True, kw_only=True)
class RRuleClock:
    """Ticks at the occurrences of rules and listed dates, without the excluded ones (actions.md §6.2)."""

    rules: tuple[dateutil_rrule.rrule, ...]
    dates: tuple[datetime, ...]
    excluded_rules: tuple[dateutil_rrule.rrule, ...]
    excluded_dates: tuple[datetime, ...]
    start_date: datetime | None
    end_date: datetime | None
    parameter_defaults: dict[str, Any]
    labels: tuple[str, ...] | None

    def times(self, after: datetime, *, inclusive: bool) -> Iterator[datetime]:
        """Yield the occurrences after `after`; from `after` on if inclusive or if `start_date` took its place."""
        if self.start_date is not None and after < self.start_date:
            after, inclusive = self.start_date, True
        naive = all(moment.tzinfo is None for moment in self.moments())
        # A rule without offsets is compared with the wall time as it stands, whatever the zone of start_date.
        reference = after.replace(tzinfo=None) if naive else in_zone(after, UTC_ZONE)
        rule_set = dateutil_rrule.rruleset()
        for rule in self.rules:
            rule_set.rrule(_bounded(rule, reference))
        for date in self.dates:
            rule_set.rdate(date)
        for rule in self.excluded_rules:
            if can_occur(rule):
                rule_set.exrule(fast_forward(rule, reference))
        for date in self.excluded_dates:
            rule_set.exdate(date)
        for occurrence in rule_set:
            if occurrence < reference or (occurrence == reference and not inclusive):
                continue
            # An occurrence keeps its own offset, which is the zone that filters see.
            moment = occurrence.replace(tzinfo=UTC_ZONE) if naive else occurrence
            if self.end_date is not None and moment > self.end_date:
                return
            yield moment

    def moments(self) -> tuple[datetime, ...]:
        """Return every time the clock was given; all have an offset or none has."""
        starts = [rule._dtstart for rule in (*self.rules, *self.excluded_rules)]  # type: ignore[attr-defined]
        return (*starts, *self.dates, *self.excluded_dates)


def _bounded(rule: dateutil_rrule.rrule, reference: datetime) -> Any:
    """Return a rule's occurrences up to the horizon, few enough to be walked even if all of them are excluded."""
    if not can_occur(rule):
        return ()
    horizon = reference + HORIZON
    return takewhile(
        lambda occurrence: occurrence <= horizon, islice(fast_forward(rule, reference), OCCURRENCES_PER_EVALUATION)
    )


def fast_forward(rule: dateutil_rrule.rrule, reference: datetime) -> dateutil_rrule.rrule:
    """Return an equal rule that starts shortly before the reference, when its period allows that without a count.

    dateutil walks every occurrence from the start; a rule by the second that began years ago would take minutes.
    """
    unit = _UNITS.get(rule._freq)  # type: ignore[attr-defined]
    start = rule._dtstart  # type: ignore[attr-defined]
    count = rule._count  # type: ignore[attr-defined]
    if unit is None or start >= reference or (count is not None and _selects(rule)):
        return rule
    period = unit * rule._interval  # type: ignore[attr-defined]
    skipped = (reference - start) // period - 1
    if skipped <= 0:
        return rule
    if count is None:
        return rule.replace(dtstart=start + period * skipped)
    # Every period holds one occurrence. The last one is kept, so that a rule that is over needs no form of its own.
    skipped = min(skipped, count - 1)
    return rule.replace(dtstart=start + period * skipped, count=count - skipped)


def _selects(rule: dateutil_rrule.rrule) -> bool:
    """Tell whether a rule has BY parts: its periods may then hold any number of occurrences."""
    return any(value not in (None, ()) for value in rule._original_rule.values())  # type: ignore[attr-defined]


def can_occur(rule: dateutil_rrule.rrule) -> bool:
    """Tell whether a rule has any day at all; dateutil would look for 30 February until the year 9999."""
    start = rule._dtstart  # type: ignore[attr-defined]
    weekdays = rule._byweekday  # type: ignore[attr-defined]
    whole_weeks = rule._freq == dateutil_rrule.DAILY and rule._interval % 7 == 0  # type: ignore[attr-defined]
    if whole_weeks and weekdays and start.weekday() not in weekdays:
        return False
    given = rule._original_rule  # type: ignore[attr-defined]
    # "The first Monday" is of a year or of a month, by the frequency that is about to be changed.
    if rule._bynweekday or not any(given.get(key) for key in _DAYS_OF_YEAR):  # type: ignore[attr-defined]
        return True
    # Without a day of its own it has that of its start.
    has_day = rule._freq in _UNITS or any(given.get(key) for key in _CHOOSE_DAYS)  # type: ignore[attr-defined]
    # The last years of the calendar hold every pair of leap day and weekday, and a search that starts there is short.
    late = rule.replace(
        freq=dateutil_rrule.YEARLY,
        interval=1,
        count=None,
        until=None,
        bysetpos=None,
        bymonthday=given.get("bymonthday") if has_day else start.day,
        dtstart=start.replace(year=_LATEST_YEAR, month=1, day=1),
    )
    return next(iter(late), None) is not None
