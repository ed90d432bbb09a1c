"""The clocks of `set_flow_group_schedule` → the document that is stored on the group (actions.md §2.5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server_core.errors import InvalidInput
from server_core.rules.schedules.document import parse_clock
from server_core.rules.schedules.zones import in_zone, load_zone


@dataclass(frozen=True, kw_only=True)
class CronClockInput:
    """One `cron_clock_input`; `parameter_defaults` is stored as given when `has_parameter_defaults`."""

    cron: str
    parameter_defaults: dict[str, Any] | None = None
    has_parameter_defaults: bool = False


@dataclass(frozen=True, kw_only=True)
class IntervalClockInput:
    """One `interval_clock_input`, in seconds."""

    interval: int
    parameter_defaults: dict[str, Any] | None = None


def group_schedule_document(
    *,
    cron_clocks: Sequence[CronClockInput],
    interval_clocks: Sequence[IntervalClockInput],
    timezone: str | None,
    now: datetime,
) -> dict[str, Any]:
    """Return the schedule document of a flow group: cron clocks, then interval clocks, all starting now.

    Raises:
        InvalidInput: a clock cannot be loaded, or the timezone is unknown; the text says which.
    """
    start_date = None if timezone is None else {"dt": _wall_text(now, timezone), "tz": timezone}
    clocks = [
        *(_cron_clock(clock, start_date) for clock in cron_clocks),
        *(_interval_clock(clock, start_date) for clock in interval_clocks),
    ]
    for clock in clocks:
        parse_clock(clock)
    return {"type": "Schedule", "clocks": clocks}


def _wall_text(now: datetime, timezone: str) -> str:
    if not timezone:
        raise InvalidInput("Unknown timezone ''.")
    return in_zone(now, load_zone(timezone)).replace(tzinfo=None).isoformat(timespec="microseconds")


def _cron_clock(clock: CronClockInput, start_date: dict[str, str] | None) -> dict[str, Any]:
    document: dict[str, Any] = {"type": "CronClock", "cron": clock.cron}
    if clock.has_parameter_defaults:
        document["parameter_defaults"] = clock.parameter_defaults
    return {**document, "start_date": start_date}


def _interval_clock(clock: IntervalClockInput, start_date: dict[str, str] | None) -> dict[str, Any]:
    document: dict[str, Any] = {"type": "IntervalClock", "interval": clock.interval * 1_000_000}
    if clock.parameter_defaults:
        document["parameter_defaults"] = clock.parameter_defaults
    return {**document, "start_date": start_date}
