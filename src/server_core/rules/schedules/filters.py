"""Filters and adjustments of a schedule document: their dotted names → functions on one event time (actions.md §6.1).

All look at the time as its own zone shows it. Looked up by server_core.rules.schedules.document.
"""

import calendar
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from server_core.rules.schedules.zones import elapse, shift

Filter = Callable[[datetime], bool]
Adjustment = Callable[[datetime], datetime]


@dataclass(frozen=True)
class Function:
    """A function that documents may name.

    Attributes:
        build: makes the filter or adjustment of the keyword arguments.
        arguments: name and type of each keyword argument; all are required.
    """

    build: Callable[..., Callable[[datetime], Any]]
    arguments: dict[str, type]


def _on_datetime(dt: datetime) -> Filter:
    return lambda moment: moment == dt


def _between_datetimes(start: datetime, end: datetime) -> Filter:
    return lambda moment: start <= moment <= end


def _on_date(month: int, day: int) -> Filter:
    return lambda moment: (moment.month, moment.day) == (month, day)


def _between_dates(start_month: int, start_day: int, end_month: int, end_day: int) -> Filter:
    start, end = (start_month, start_day), (end_month, end_day)
    if start_month == end_month:
        # The reference wraps by months alone: within one month a later start holds on no day.
        return lambda moment: start <= (moment.month, moment.day) <= end
    return lambda moment: _between((moment.month, moment.day), start, end)


def _at_time(t: time) -> Filter:
    return lambda moment: moment.time() == t


def _between_times(start: time, end: time) -> Filter:
    return lambda moment: _between(moment.time(), start, end)


def _between(value: Any, start: Any, end: Any) -> bool:
    """Tell whether a value lies between two, over the end of the year or day when `start` is the later one."""
    if start > end:
        return bool(value >= start or value <= end)
    return bool(start <= value <= end)


def _is_weekday() -> Filter:
    return lambda moment: moment.weekday() < 5


def _is_weekend() -> Filter:
    return lambda moment: moment.weekday() >= 5


def _is_day_of_week(day_of_week: int) -> Filter:
    return lambda moment: moment.weekday() == day_of_week


def _is_month_start() -> Filter:
    return lambda moment: moment.day == 1


def _is_month_end() -> Filter:
    return lambda moment: moment.day == calendar.monthrange(moment.year, moment.month)[1]


def _add(interval: timedelta) -> Adjustment:
    return lambda moment: elapse(moment, interval)


def _next_weekday() -> Adjustment:
    return lambda moment: shift(moment, timedelta(days=7 - moment.weekday())) if moment.weekday() >= 5 else moment


FILTERS = {
    "on_datetime": Function(_on_datetime, {"dt": datetime}),
    "between_datetimes": Function(_between_datetimes, {"start": datetime, "end": datetime}),
    "on_date": Function(_on_date, {"month": int, "day": int}),
    "between_dates": Function(_between_dates, {"start_month": int, "start_day": int, "end_month": int, "end_day": int}),
    "at_time": Function(_at_time, {"t": time}),
    "between_times": Function(_between_times, {"start": time, "end": time}),
    "is_weekday": Function(_is_weekday, {}),
    "is_weekend": Function(_is_weekend, {}),
    "is_day_of_week": Function(_is_day_of_week, {"day_of_week": int}),
    "is_month_start": Function(_is_month_start, {}),
    "is_month_end": Function(_is_month_end, {}),
}

ADJUSTMENTS = {
    "add": Function(_add, {"interval": timedelta}),
    "next_weekday": Function(_next_weekday, {}),
}
