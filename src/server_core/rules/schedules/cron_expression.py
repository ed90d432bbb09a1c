"""A cron expression → its fields, read as croniter 1.3 reads it for the 1.4.1 client.

croniter parses; what it reads differently today is rewritten first. Called by document, for clocks old and new.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from croniter import croniter

from server_core.errors import InvalidInput

_FIELD_COUNTS = (5, 6)
_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = range(5)
_EQUAL_RANGE = re.compile(r"^(\w+)-\1(/\d+)?$")
_TO_SUNDAY = re.compile(r"^([1-6])-0(?=/|$)")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAY_NAME = re.compile("|".join(_WEEKDAYS))
_SPECIAL_WEEKDAY = re.compile("[#l]")
_OPEN_RANGE = re.compile(r"^(\w+)/(\d+)$")


@dataclass(frozen=True, kw_only=True)
class CronFields:
    """A parsed expression; each field holds its allowed values in rising order, None allows all.

    Attributes:
        last_day: the day field holds `L`.
        nth_weekdays: pairs of a weekday (0 = Sunday) and its count in the month, None for the last.
        has_seconds: a sixth field was given.
    """

    minutes: tuple[int, ...] | None
    hours: tuple[int, ...] | None
    days: tuple[int, ...] | None
    months: tuple[int, ...] | None
    weekdays: tuple[int, ...] | None
    seconds: tuple[int, ...] | None
    last_day: bool
    nth_weekdays: tuple[tuple[int, int | None], ...]
    has_seconds: bool


@lru_cache(maxsize=4096)
def parse_cron(expression: str) -> CronFields:
    """Return the fields of an expression of five or six fields, or an alias such as `@daily`.

    Raises:
        InvalidInput: the expression is malformed; the text repeats it.
    """
    try:
        text = _in_reference_dialect(expression)
        expanded, nth_weekdays = croniter.expand(text)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise InvalidInput(f"Invalid cron string: {expression!r}.") from error
    if len(expanded) not in _FIELD_COUNTS:
        raise InvalidInput(f"Invalid cron string: {expression!r}; it must have five or six fields.")
    days = expanded[_DAY]
    return CronFields(
        minutes=_values(expanded[_MINUTE], 60),
        hours=_values(expanded[_HOUR], 24),
        days=_values(days, 31),
        months=_values(expanded[_MONTH], 12),
        weekdays=_values(expanded[_WEEKDAY], 7 if len(expanded) == 5 else 8),
        seconds=_values(expanded[5], 60) if len(expanded) == 6 else None,
        last_day="l" in days,
        nth_weekdays=tuple(
            (int(weekday), None if str(count) == "l" else int(count))
            for weekday, counts in nth_weekdays.items()
            for count in counts
        ),
        has_seconds=len(expanded) == 6,
    )


def _in_reference_dialect(expression: str) -> str:
    """Rewrite what the reference reads differently from today's croniter: `9-9`, weekday `5/2`, day `0`."""
    fields = expression.lower().split()
    if len(fields) == 1:
        return fields[0]
    for index, field in enumerate(fields):
        items = field.split(",")
        if index == _WEEKDAY:
            if len(fields) == 6 and not _SPECIAL_WEEKDAY.search(_WEEKDAY_NAME.sub("", field)):
                fields[index] = _weekdays_beside_seconds(field)
                continue
            items = [_OPEN_RANGE.sub(r"\1-7/\2", item) for item in items]
        items = [_EQUAL_RANGE.sub(r"\1", item) for item in items]
        if index == _DAY:
            if any("w" in item for item in items):
                raise ValueError(expression)
            items = [("*" if len(fields) == 5 else "1") if item.strip("0") == "" else item for item in items]
        fields[index] = ",".join(items)
    return " ".join(fields)


def _weekdays_beside_seconds(field: str) -> str:
    """Rewrite the weekdays of six fields as a list. There the reference keeps 7 apart from Sunday, and never meets it.

    A lone 7, which would never match, is taken for Sunday. The hours of croniter serve to read the list, because they
    go past 7.
    """
    text = _WEEKDAY_NAME.sub(lambda name: str(_WEEKDAYS.index(name[0])), field)
    items = [re.sub(r"^\*/", "0-7/", item) for item in text.split(",")]
    items = [_OPEN_RANGE.sub(r"\1-7/\2", _TO_SUNDAY.sub(r"\1-7", item)) for item in items]
    items = [_EQUAL_RANGE.sub(r"\1", item) for item in items]
    values = croniter.expand(f"0 {','.join(items)} * * *")[0][_HOUR]
    if "*" in values or len(values) == 7:
        return "*"
    numbers = [int(value) for value in values]
    if max(numbers) > 7:
        raise ValueError(field)
    return ",".join(str(number) for number in numbers if number != 7) or "0"


def _values(allowed: list[Any], all_count: int) -> tuple[int, ...] | None:
    """Return a parsed field as numbers; None when it allows everything (the reference also when all are listed)."""
    if "*" in allowed or len(allowed) == all_count:
        return None
    return tuple(value for value in allowed if value != "l")
