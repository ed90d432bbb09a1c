"""A parsed cron expression and a reference instant → the matching times, as croniter 1.3 finds them for the client.

The stepping is ours because the reference's treatment of clock changes differs from today's croniter: it steps in the
UTC offset in force at the last match and corrects the result only when the change lies beyond midnight. Anything else
would move users' runs.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from server_core.rules.schedules.cron_expression import CronFields
from server_core.rules.schedules.zones import UTC_ZONE, in_zone, resolve

EVENTS_PER_EVALUATION = 1000
"""Most times one evaluation of a cron clock yields."""

_MAX_YEARS_BETWEEN_MATCHES = 50


@dataclass(frozen=True, kw_only=True)
class CronClock:
    """Ticks where the wall clock of `start_date`'s zone matches the expression (actions.md §6.2)."""

    fields: CronFields
    start_date: datetime | None
    end_date: datetime | None
    day_or: bool
    parameter_defaults: dict[str, Any]
    labels: tuple[str, ...] | None

    def times(self, after: datetime, *, inclusive: bool) -> Iterator[datetime]:
        """Yield the matches after `after`, never one twice, at most 1000."""
        zone = UTC_ZONE
        reference = after
        if self.start_date is not None:
            if isinstance(self.start_date.tzinfo, ZoneInfo):
                zone = self.start_date.tzinfo
            if after < self.start_date:
                reference = self.start_date.astimezone(UTC) - timedelta(seconds=1)
        seen: set[datetime] = set()
        for wall in _walls(self.fields, in_zone(reference, zone), zone, day_or=self.day_or):
            moment = resolve(wall, zone)
            if self.end_date is not None and moment > self.end_date:
                return
            if moment in seen or moment == after:
                continue
            seen.add(moment)
            yield moment
            if len(seen) == EVENTS_PER_EVALUATION:
                return


def _walls(fields: CronFields, reference: datetime, zone: ZoneInfo, *, day_or: bool) -> Iterator[datetime]:
    """Yield naive wall times after a reference time, with the reference library's treatment of clock changes.

    It computes the next match in the UTC offset of the current position. Where the offset differs at the match, it
    moves the match by the difference only if that lies beyond the midnight that ends the day of the last such change.
    """
    # A reference instant that the clock shows twice is taken for the later one.
    position = resolve(reference.replace(tzinfo=None), zone).astimezone(UTC)
    if position.microsecond:
        position += timedelta(seconds=1)
    position = position.replace(microsecond=0)
    step = timedelta(seconds=1) if fields.has_seconds else timedelta(minutes=1)
    settled = position
    settled_shown = settled.astimezone(zone)
    settled_offset = _offset(settled_shown)
    for _ in range(2 * EVENTS_PER_EVALUATION):
        earliest = (position + step).astimezone(zone)
        match = _next_match(fields, earliest.replace(tzinfo=None), day_or=day_or)
        if match is None:
            return
        try:
            result = match.replace(tzinfo=UTC) - _offset(earliest)
            shown = result.astimezone(zone)
        except OverflowError:
            return
        lag = _offset(shown) - settled_offset
        if lag:
            distance = abs(result - settled)
            until_midnight = timedelta(hours=24 - settled_shown.hour)
            if distance + (abs(lag) if lag < timedelta(0) else timedelta(0)) >= until_midnight:
                adjusted = (result - lag).astimezone(zone)
                if _offset(adjusted) == _offset(shown):
                    result, shown = result - lag, adjusted
                settled, settled_shown = result, shown
                settled_offset = _offset(settled_shown)
        position = result
        yield shown.replace(tzinfo=None, fold=0)


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    assert offset is not None  # noqa: S101 - every time here has a zone
    return offset


def _next_match(fields: CronFields, earliest: datetime, *, day_or: bool) -> datetime | None:
    """Return the first naive time >= `earliest` that matches; with both day fields given, either may match."""
    limits_days = fields.days is not None
    if not (day_or and limits_days and fields.weekdays is not None):
        return _search(fields, earliest, days=True, weekdays=True)
    by_day = _search(fields, earliest, days=True, weekdays=False)
    by_weekday = _search(fields, earliest, days=False, weekdays=True)
    # As in the reference, a side that can never match (30 February) leaves the other without effect too.
    return None if by_day is None or by_weekday is None else min(by_day, by_weekday)


def _search(fields: CronFields, moment: datetime, *, days: bool, weekdays: bool) -> datetime | None:
    """Walk forward from the coarsest field that does not match, as the reference does."""
    last_year = min(moment.year + _MAX_YEARS_BETWEEN_MATCHES, MAXYEAR - 1)
    while moment.year <= last_year:
        if gap := _gap(moment.month, fields.months, 12):
            month = moment.month - 1 + gap
            moment = datetime(moment.year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001 - wall time
        elif gap := _days_ahead(fields, moment, days=days, weekdays=weekdays):
            moment = datetime(moment.year, moment.month, moment.day) + timedelta(days=gap)  # noqa: DTZ001
        elif gap := _gap(moment.hour, fields.hours, 24):
            moment = moment.replace(minute=0, second=0) + timedelta(hours=gap)
        elif gap := _gap(moment.minute, fields.minutes, 60):
            moment = moment.replace(second=0) + timedelta(minutes=gap)
        elif not fields.has_seconds:
            return moment.replace(second=0)
        elif gap := _gap(moment.second, fields.seconds, 60):
            moment += timedelta(seconds=gap)
        else:
            return moment
    return None


def _gap(value: int, allowed: tuple[int, ...] | None, cycle: int) -> int:
    """Return how far the next allowed value is, over the end of the cycle if need be."""
    if allowed is None:
        return 0
    for candidate in allowed:
        if candidate >= value:
            return candidate - value
    return allowed[0] - value + cycle


def _days_ahead(fields: CronFields, moment: datetime, *, days: bool, weekdays: bool) -> int:
    """Return how many days the first day field that does not match asks to move on."""
    if days and fields.days is not None and (gap := _day_gap(fields, moment)):
        return gap
    if fields.nth_weekdays:
        return _nth_weekday_gap(fields, moment)
    return _gap(moment.isoweekday() % 7, fields.weekdays, 7) if weekdays and fields.weekdays is not None else 0


def _day_gap(fields: CronFields, moment: datetime) -> int:
    """Return the days to the next allowed day; a day the month lacks is counted on into the next month.

    So `1,30` steps from 16 February to 2 March and misses the 1st, as the reference does.
    """
    days, month_length = fields.days or (), calendar.monthrange(moment.year, moment.month)[1]
    if fields.last_day:
        if moment.day == month_length:
            return 0
        days = (*days, month_length)
    return _gap(moment.day, days, month_length)


def _nth_weekday_gap(fields: CronFields, moment: datetime) -> int:
    """Return the days to the next "second Friday" of the month, or to the first of the next month."""
    month_length = calendar.monthrange(moment.year, moment.month)[1]
    first_weekday = moment.replace(day=1).isoweekday() % 7
    candidates = []
    for weekday, count in fields.nth_weekdays:
        dates = range((weekday - first_weekday) % 7 + 1, month_length + 1, 7)
        if count is None:
            candidates.append(dates[-1])
        elif count <= len(dates):
            candidates.append(dates[count - 1])
    ahead = [day for day in candidates if day >= moment.day]
    return min(ahead, default=month_length + 1) - moment.day
