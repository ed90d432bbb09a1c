"""The client's schedule documents (JSON) → Schedule values; every bad document is an InvalidInput that says why.

Called by the scheduler for stored documents and by the flow group actions to validate new ones (actions.md §6.1).
"""

from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import rrule as dateutil_rrule

from server_core.errors import InvalidInput
from server_core.rules.schedules.clocks import SHORTEST_INTERVAL, Clock, DatesClock, IntervalClock
from server_core.rules.schedules.cron import CronClock
from server_core.rules.schedules.cron_expression import parse_cron
from server_core.rules.schedules.filters import ADJUSTMENTS, FILTERS, Function
from server_core.rules.schedules.recurrence import RRuleClock
from server_core.rules.schedules.schedule import Schedule
from server_core.rules.schedules.zones import UTC_ZONE, load_zone, resolve

_DEFAULT_RRULE_START = "2018-06-20T00:00:00+00:00"
_FILTER_PREFIX = "prefect.schedules.filters."
_ADJUSTMENT_PREFIX = "prefect.schedules.adjustments."


def parse_schedule(document: Any) -> Schedule:
    """Return the schedule that a document describes; unknown keys are ignored.

    Raises:
        InvalidInput: the document is not a schedule; the text names the part.
    """
    fields = _object(document, "schedule")
    if "clocks" not in fields:
        raise InvalidInput("A schedule must have clocks.")
    return Schedule(
        clocks=tuple(parse_clock(clock) for clock in _list(fields["clocks"], "clocks")),
        filters=_functions(fields, "filters", _FILTER_PREFIX, FILTERS),
        or_filters=_functions(fields, "or_filters", _FILTER_PREFIX, FILTERS),
        not_filters=_functions(fields, "not_filters", _FILTER_PREFIX, FILTERS),
        adjustments=_functions(fields, "adjustments", _ADJUSTMENT_PREFIX, ADJUSTMENTS),
    )


def parse_clock(document: Any) -> Clock:
    """Return the clock that one entry of `clocks` describes.

    Raises:
        InvalidInput: the entry is not a clock; the text names the part.
    """
    fields = _object(document, "clock")
    build = _CLOCKS.get(str(fields.get("type")))
    if build is None:
        raise InvalidInput(f"Unknown clock type {fields.get('type')!r}.")
    return build(fields)


def _interval_clock(fields: Mapping[str, Any]) -> Clock:
    microseconds = _required(fields, "interval", "IntervalClock")
    try:
        interval = timedelta(microseconds=int(microseconds))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"Invalid interval {microseconds!r}: a number of microseconds is needed.") from error
    if interval < SHORTEST_INTERVAL:
        raise InvalidInput("An interval must be one minute or longer.")
    return IntervalClock(
        interval=interval,
        start_date=_zoned(fields.get("start_date"), "start_date"),
        end_date=_zoned(fields.get("end_date"), "end_date"),
        **_attributes(fields),
    )


def _cron_clock(fields: Mapping[str, Any]) -> Clock:
    cron = _required(fields, "cron", "CronClock")
    if not isinstance(cron, str):
        raise InvalidInput(f"Invalid cron string: {cron!r}.")
    day_or = fields.get("day_or")
    return CronClock(
        fields=parse_cron(cron),
        start_date=_zoned(fields.get("start_date"), "start_date"),
        end_date=_zoned(fields.get("end_date"), "end_date"),
        day_or=True if day_or is None else bool(day_or),
        **_attributes(fields),
    )


def _dates_clock(fields: Mapping[str, Any]) -> Clock:
    dates = [_zoned(date, "dates") for date in _list(_required(fields, "dates", "DatesClock"), "dates")]
    if not dates:
        raise InvalidInput("A DatesClock must have at least one date.")
    if None in dates:
        raise InvalidInput("A date of a DatesClock is null.")
    return DatesClock(dates=tuple(date for date in dates if date is not None), **_attributes(fields))


def _rrule_clock(fields: Mapping[str, Any]) -> Clock:
    rule_object = _object(_required(fields, "rrule_obj", "RRuleClock"), "rrule_obj")
    is_set = rule_object.get("type") == "rruleset"
    rules = _list(rule_object.get("_rrule") or [], "_rrule") if is_set else [rule_object]
    parsed = RRuleClock(
        rules=tuple(_rrule(rule) for rule in rules),
        dates=_moments(rule_object, "_rdate"),
        excluded_rules=tuple(_rrule(rule) for rule in _list(rule_object.get("_exrule") or [], "_exrule")),
        excluded_dates=_moments(rule_object, "_exdate"),
        start_date=_zoned(fields.get("start_date"), "start_date"),
        end_date=_zoned(fields.get("end_date"), "end_date"),
        **_attributes(fields),
    )
    if len({moment.tzinfo is None for moment in parsed.moments()}) > 1:
        raise InvalidInput("An rrule must not mix times with and without an offset.")
    return parsed


_CLOCKS: dict[str, Callable[[Mapping[str, Any]], Clock]] = {
    "IntervalClock": _interval_clock,
    "CronClock": _cron_clock,
    "DatesClock": _dates_clock,
    "RRuleClock": _rrule_clock,
}


def _rrule(document: Any) -> dateutil_rrule.rrule:
    fields = _object(document, "rrule")
    text = _required(fields, "rr", "rrule")
    start = _moment(fields.get("_dtstart") or _DEFAULT_RRULE_START, "_dtstart")
    until = fields.get("_until")
    try:
        rule = dateutil_rrule.rrulestr(text)
        if not isinstance(rule, dateutil_rrule.rrule):
            raise InvalidInput(f"Invalid rrule {text!r}: one rule is needed.")
        return rule.replace(dtstart=start, until=None if until is None else _moment(until, "_until"))
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise InvalidInput(f"Invalid rrule {text!r}: {error}") from error


def _functions(fields: Mapping[str, Any], key: str, prefix: str, known: Mapping[str, Function]) -> tuple[Any, ...]:
    return tuple(_function(entry, prefix, known) for entry in _list(fields.get(key) or [], key))


def _function(document: Any, prefix: str, known: Mapping[str, Function]) -> Callable[[datetime], Any]:
    """Build a function from `{"fn": dotted name, "kwargs": {…}}`."""
    fields = _object(document, "function")
    name = str(_required(fields, "fn", "function"))
    function = known.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
    if function is None:
        raise InvalidInput(f"Unknown schedule function {name!r}.")
    given = _object(fields.get("kwargs") or {}, "kwargs")
    if given.keys() != function.arguments.keys():
        raise InvalidInput(f"{name} takes the arguments {sorted(function.arguments)}, not {sorted(given)}.")
    arguments = {key: _argument(value, function.arguments[key], f"{name}: {key}") for key, value in given.items()}
    return function.build(**arguments)


def _argument(value: Any, wanted: type, where: str) -> Any:
    """Return a keyword argument decoded: times and durations travel as prefixed strings."""
    if wanted is int and isinstance(value, int):
        return value
    tag, _, text = value.partition(":") if isinstance(value, str) else ("", "", "")
    try:
        match tag, wanted:
            case "//datetime", _ if wanted is datetime:
                moment = datetime.fromisoformat(text)
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC_ZONE)
            case "//time", _ if wanted is time:
                return time.fromisoformat(text)
            case "//timedelta", _ if wanted is timedelta:
                return timedelta(seconds=float(text))
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{where}: invalid value {value!r}.") from error
    raise InvalidInput(f"{where}: invalid value {value!r}.")


def _attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    labels = fields.get("labels")
    parameters = fields.get("parameter_defaults")
    if labels is not None and not all(isinstance(label, str) for label in _list(labels, "labels")):
        raise InvalidInput("The labels of a clock must be strings.")
    return {
        "parameter_defaults": {} if parameters is None else dict(_object(parameters, "parameter_defaults")),
        "labels": None if labels is None else tuple(labels),
    }


def _zoned(value: Any, where: str) -> datetime | None:
    """Return a wall time with its zone, `{"dt": …, "tz": …}`, as an aware time; None for null."""
    if value is None:
        return None
    fields = _object(value, where)
    zone: ZoneInfo = load_zone(str(_required(fields, "tz", where)))
    wall = _moment(_required(fields, "dt", where), where)
    return wall if wall.tzinfo is not None else resolve(wall, zone)


def _moments(fields: Mapping[str, Any], key: str) -> tuple[datetime, ...]:
    return tuple(_moment(value, key) for value in _list(fields.get(key) or [], key))


def _moment(value: Any, where: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{where}: invalid time {value!r}.") from error


def _required(fields: Mapping[str, Any], key: str, where: str) -> Any:
    if fields.get(key) is None:
        raise InvalidInput(f"{where}: {key} is missing.")
    return fields[key]


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{where} must be an object, not {type(value).__name__}.")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(f"{where} must be a list, not {type(value).__name__}.")
    return value
