"""When a flow is looked at again: when an event passes, and not before (actions.md §5.2)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from server_core.rules.schedules.planning import plan_runs

NOW = datetime(2020, 1, 1, 13, 30, tzinfo=UTC)
MONTHLY = "prefect.schedules.filters.is_month_start"


def document(*clocks: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"clocks": list(clocks), **fields}


def hourly(**fields: Any) -> dict[str, Any]:
    return {"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None, **fields}


DATES = {"type": "DatesClock", "dates": [{"dt": f"2020-01-0{day}T00:00:00", "tz": "UTC"} for day in (2, 3)]}


def due(schedule: dict[str, Any], *, now: datetime = NOW, max_runs: int = 3) -> datetime | None:
    return plan_runs(schedule, last=None, now=now, max_runs=max_runs).due


def test_a_flow_is_due_when_its_first_event_has_passed() -> None:
    assert due(document(hourly())) == NOW.replace(hour=14, minute=0)


def test_adjusted_events_are_due_by_their_clock() -> None:
    later = {"fn": "prefect.schedules.adjustments.add", "kwargs": {"interval": "//timedelta:86400"}}
    assert due(document(hourly(), adjustments=[later])) == NOW.replace(hour=14, minute=0)


def test_events_that_are_filtered_out_make_nothing_due() -> None:
    filters = [{"fn": MONTHLY, "kwargs": {}}]
    assert due(document(hourly(), filters=filters), now=NOW + timedelta(days=3)) == datetime(2020, 2, 1, tzinfo=UTC)


def test_events_may_come_into_view_before_those_that_are_next() -> None:
    """A cron clock shows 1000 ticks at a time: another goes on after that, with events that are not the next."""
    minutely, daily = ({"type": "CronClock", "cron": cron} for cron in ("* * * * *", "0 9 * * *"))
    clocks = document({**minutely, "labels": ["a"]}, daily, filters=[{"fn": MONTHLY, "kwargs": {}}])
    assert due(clocks, now=NOW + timedelta(days=3)) == NOW + timedelta(days=3, minutes=1)
    near = datetime(2020, 1, 31, 23, 30, tzinfo=UTC)
    assert due(clocks, now=near) == datetime(2020, 2, 1, tzinfo=UTC)


def test_a_schedule_that_ends() -> None:
    """The end may be that of the schedule or of what one look sees, so each event is a reason to look, but the last."""
    assert due(document(DATES)) == datetime(2020, 1, 2, tzinfo=UTC)
    assert due(document(DATES), now=datetime(2020, 1, 3, tzinfo=UTC)) is None
    assert due(document()) is None


def test_an_event_at_this_very_moment_is_no_reason_to_look_at_once_again() -> None:
    """An rrule counts the moment of the look itself."""
    rule = {"type": "rrule", "rr": "RRULE:FREQ=DAILY", "_dtstart": NOW.isoformat(), "_until": None}
    again = due(document({"type": "RRuleClock", "rrule_obj": rule}))
    assert again is not None
    assert again > NOW
