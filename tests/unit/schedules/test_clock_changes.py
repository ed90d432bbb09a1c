"""The table of actions.md §6.2: what the reference does when clocks change in America/New_York, oddities included."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server_core.rules.schedules import parse_schedule

ZONE = "America/New_York"
SECOND = 1_000_000


def interval(seconds: int, anchor: str | None, zone: str = ZONE) -> dict[str, Any]:
    start = None if anchor is None else {"dt": anchor, "tz": zone}
    return {"type": "IntervalClock", "interval": seconds * SECOND, "start_date": start}


def cron(expression: str) -> dict[str, Any]:
    start = {"dt": "2020-01-01T00:00:00", "tz": ZONE}
    return {"type": "CronClock", "cron": expression, "start_date": start}


def times(clock: dict[str, Any], after: str, count: int) -> list[str]:
    """The next times in UTC, as day and hour."""
    events = parse_schedule({"clocks": [clock]}).next(count, after=datetime.fromisoformat(after + "+00:00"))
    return [f"{event.start_time:%d %H:%M}" for event in events]


AUTUMN, SPRING = "2020-11-01T03:59", "2020-03-08T05:30"


@pytest.mark.parametrize(
    ("clock", "after", "expected"),
    [
        # 00:00-04, 01:00-05, 02:00-05: the first 01:00 is missing
        (interval(3600, "2020-06-01T00:00:00"), AUTUMN, ["01 04:00", "01 06:00", "01 07:00"]),
        # 00:00-04, 01:00-04, 02:00-05: the second 01:00 equals the first on the wall
        (interval(3600, "2020-10-31T20:00:00"), AUTUMN, ["01 04:00", "01 05:00", "01 07:00"]),
        (interval(3600, "2020-06-01T00:00:00", "UTC"), AUTUMN, ["01 04:00", "01 05:00", "01 06:00", "01 07:00"]),
        (interval(3600, None), AUTUMN, ["01 04:00", "01 05:00", "01 06:00", "01 07:00"]),
        (interval(3600, "2019-12-01T00:00:00"), SPRING, ["08 06:00", "08 07:00", "08 08:00"]),
        (interval(86400, "2020-01-01T09:00:00"), "2020-03-07T00:00", ["07 14:00", "08 13:00", "09 13:00"]),
        (interval(86400, "2020-01-01T02:30:00"), "2020-03-07T00:00", ["07 07:30", "08 07:30", "09 06:30"]),
        (interval(86400, "2020-01-01T09:00:00"), "2020-10-31T00:00", ["31 13:00", "01 14:00", "02 14:00"]),
        (cron("0 * * * *"), AUTUMN, ["01 04:00", "01 06:00", "01 07:00"]),
        (cron("0 * * * *"), SPRING, ["08 06:00", "08 07:00", "08 08:00"]),
        (cron("30 1 * * *"), "2020-10-31T12:00", ["01 06:30", "02 06:30"]),
        (cron("30 2 * * *"), "2020-03-07T12:00", ["08 07:30", "09 06:30"]),
        # P#10678: ten past midnight on the day of the change
        (cron("10 0 * * *"), "2020-03-07T12:00", ["08 05:10", "09 04:10"]),
        (cron("10 0 * * *"), "2020-10-31T12:00", ["01 04:10", "02 05:10"]),
    ],
)
def test_clock_changes(clock: dict[str, Any], after: str, expected: list[str]) -> None:
    assert times(clock, after, len(expected)) == expected


def test_a_cron_asked_on_the_day_of_the_change_is_off_by_an_hour_for_two_days() -> None:
    """The reference counts in the offset it began with until midnight, and corrects the day after once more."""
    expected = ["08 14:00", "09 12:00", "09 13:00", "10 13:00"]
    assert times(cron("0 9 * * *"), "2020-03-08T05:30", 4) == expected


def test_an_interval_with_an_anchor_ahead_begins_there() -> None:
    clock = interval(3600, "2021-01-01T00:00:00", "UTC")
    assert times(clock, "2020-01-01T00:00", 2) == ["01 00:00", "01 01:00"]
    assert times(clock, "2021-01-01T00:00", 1) == ["01 01:00"]


def test_the_end_date_counts() -> None:
    clock = {**interval(3600, "2020-01-01T00:00:00", "UTC"), "end_date": {"dt": "2020-01-01T02:00:00", "tz": "UTC"}}
    assert times(clock, "2020-01-01T00:00", 9) == ["01 01:00", "01 02:00"]


def test_a_start_date_with_a_fraction_rounds_up() -> None:
    clock = {**cron("0 0 * * *"), "start_date": {"dt": "2020-01-05T00:00:00.000001", "tz": "UTC"}}
    assert times(clock, "2020-01-01T00:00", 1) == ["06 00:00"]
    clock = {**cron("0 0 * * *"), "start_date": {"dt": "2020-01-05T00:00:00", "tz": "UTC"}}
    assert times(clock, "2020-01-01T00:00", 1) == ["05 00:00"]


def test_events_are_in_utc() -> None:
    [event] = parse_schedule({"clocks": [cron("0 9 * * *")]}).next(1, after=datetime(2020, 7, 1, tzinfo=UTC))
    assert event.start_time.tzinfo is UTC
    assert event.start_time.utcoffset() == timedelta(0)
