"""Schedule documents: what is accepted, what is refused and in what words, and that none can keep a loop busy."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server_core.errors import InvalidInput
from server_core.rules.schedules import (
    CronClockInput,
    IntervalClockInput,
    group_schedule_document,
    parse_clock,
    parse_schedule,
)
from server_core.rules.schedules.cron_expression import parse_cron
from server_core.rules.schedules.recurrence import can_occur

AFTER = datetime(2020, 1, 1, tzinfo=UTC)
MINUTE = 60_000_000
LIST: Any = []
Z = {"dt": "2020-01-01T00:00:00", "tz": "America/New_York"}


def cron(expression: Any, **more: Any) -> dict[str, Any]:
    return {"type": "CronClock", "cron": expression, **more}


def times(*clocks: dict[str, Any], count: int = 3, **more: Any) -> list[datetime]:
    return [event.start_time for event in parse_schedule({"clocks": list(clocks), **more}).next(count, after=AFTER)]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        {},
        {"clocks": None},
        {"clocks": {}},
        {"clocks": [None]},
        {"clocks": [{"cron": "* * * * *"}]},
        {"clocks": [{"type": "SunClock"}]},
        {"clocks": [], "filters": [{"fn": "os.system", "kwargs": {}}]},
        {"clocks": [], "filters": [{"fn": "prefect.schedules.filters.at_time", "kwargs": {}}]},
        {"clocks": [], "filters": [{"fn": "prefect.schedules.filters.at_time", "kwargs": {"t": "09:00"}}]},
        {"clocks": [], "filters": [{"fn": "prefect.schedules.filters.on_date", "kwargs": {"month": "x", "day": 1}}]},
        {"clocks": [], "adjustments": [{"fn": "prefect.schedules.filters.is_weekday", "kwargs": {}}]},
    ],
)
def test_what_is_not_a_schedule(document: Any) -> None:
    with pytest.raises(InvalidInput):
        parse_schedule(document)


@pytest.mark.parametrize(
    ("clock", "text"),
    [
        (cron(None), "cron is missing"),
        (cron(5), "Invalid cron string: 5"),
        (cron(""), "Invalid cron string"),
        (cron("nonsense"), "nonsense"),
        (cron("60 * * * *"), "60"),
        (cron("* * * *"), "Invalid"),
        (cron("* * * * * * *"), "Invalid"),
        (cron("@reboot"), "@reboot"),
        (cron("*/0 * * * *"), "Invalid"),
        (cron("0 0 15W * *"), "15W"),
        (cron("* " * 50_000), "Invalid"),
        (cron("* * * * *", start_date={"dt": "2020-01-01T00:00:00", "tz": "Mars/Base"}), "Mars/Base"),
        (cron("* * * * *", start_date={"dt": "2020-01-01T00:00:00", "tz": "../../etc/passwd"}), "passwd"),
        (cron("* * * * *", start_date={"dt": "2020-01-01T00:00:00", "tz": "America"}), "America"),
        (cron("* * * * *", start_date={"dt": "soon", "tz": "UTC"}), "soon"),
        (cron("* * * * *", start_date={"dt": "2020-01-01T00:00:00"}), "tz is missing"),
        (cron("* * * * *", start_date="2020-01-01"), "must be an object"),
        (cron("* * * * *", labels="a"), "labels must be a list"),
        (cron("* * * * *", labels=[1]), "must be strings"),
        (cron("* * * * *", parameter_defaults=[1]), "parameter_defaults must be an object"),
        ({"type": "IntervalClock"}, "interval is missing"),
        ({"type": "IntervalClock", "interval": "x"}, "Invalid interval"),
        ({"type": "IntervalClock", "interval": 59_999_999}, "one minute"),
        ({"type": "IntervalClock", "interval": -MINUTE}, "one minute"),
        ({"type": "IntervalClock", "interval": 10**30}, "Invalid interval"),
        ({"type": "IntervalClock", "interval": float("inf")}, "Invalid interval"),
        ({"type": "DatesClock", "dates": []}, "at least one"),
        ({"type": "DatesClock", "dates": [None]}, "null"),
        ({"type": "RRuleClock"}, "rrule_obj is missing"),
        ({"type": "RRuleClock", "rrule_obj": {"type": "rrule", "rr": "FREQ=NEVER"}}, "Invalid rrule"),
        ({"type": "RRuleClock", "rrule_obj": {"type": "rrule", "rr": 5}}, "Invalid rrule"),
        ({"type": "RRuleClock", "rrule_obj": {"rr": "RRULE:FREQ=DAILY", "_dtstart": "x"}}, "_dtstart"),
        (
            {
                "type": "RRuleClock",
                "rrule_obj": {
                    "type": "rruleset",
                    "_rrule": [{"rr": "RRULE:FREQ=DAILY", "_dtstart": "2020-01-01T00:00:00"}],
                    "_rdate": ["2020-01-01T00:00:00+00:00"],
                },
            },
            "mix",
        ),
    ],
)
def test_what_is_not_a_clock(clock: Any, text: str) -> None:
    with pytest.raises(InvalidInput, match=text.replace("*", r"\*").replace(".", r"\.")):
        parse_clock(clock)


def test_unknown_keys_and_nulls_are_ignored() -> None:
    clock = cron("0 0 * * *", start_date=None, end_date=None, labels=None, parameter_defaults=None, colour="red")
    assert times(clock, filters=None, type="Schedule", x=1)[0] == AFTER + timedelta(days=1)
    assert times() == []


def test_day_zero_means_any_day() -> None:
    assert times(cron("0 0 0 * *")) == times(cron("0 0 * * *"))


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("0 9-9 * * *", "0 9 * * *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * 5/2", "0 0 * * 5,0"),
        ("0 0 1-31 * mon", "0 0 * * 1"),
        ("@daily", "0 0 * * *"),
        ("@HOURLY", "0 * * * *"),
        (" 0  0 * * * ", "0 0 * * *"),
        ("0 0 * JAN,feb Mon", "0 0 * 1,2 1"),
    ],
)
def test_spellings_of_one_expression(one: str, same: str) -> None:
    assert parse_cron(one) == parse_cron(same)
    assert times(cron(one), count=20) == times(cron(same), count=20)


def test_six_fields_have_seconds() -> None:
    assert [time.second for time in times(cron("0 0 * * * 10,40"))] == [10, 40, 10]


@pytest.mark.parametrize(
    ("one", "same"),
    [("1,7", "1"), ("1/6", "1"), ("fri-sun", "5,6"), ("1-7", "*"), ("mon-sun", "*"), ("*/7", "0"), ("7", "0")],
)
def test_seven_is_no_sunday_beside_seconds(one: str, same: str) -> None:
    """In the reference; only a lone 7, which never matches there, is Sunday here."""
    assert parse_cron(f"0 0 * * {one} 30") == parse_cron(f"0 0 * * {same} 30")


def test_a_cron_clock_yields_a_thousand_times_at_most() -> None:
    assert len(times(cron("* * * * *"), count=5000)) == 1000


def test_ten_thousand_candidates_are_inspected() -> None:
    def on(moment: datetime) -> list[dict[str, Any]]:
        return [{"fn": "prefect.schedules.filters.on_datetime", "kwargs": {"dt": f"//datetime:{moment.isoformat()}"}}]

    clock = {"type": "IntervalClock", "interval": MINUTE, "start_date": None}
    last = AFTER + timedelta(minutes=10_000)
    assert times(clock, filters=on(last)) == [last]
    assert times(clock, filters=on(last + timedelta(minutes=1))) == []


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;INTERVAL=7;BYDAY=TU",
        "FREQ=MINUTELY;COUNT=100000000",
        "FREQ=MINUTELY;COUNT=100000000;BYSECOND=30",
        "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=4",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
    ],
)
def test_a_hostile_rule_ends_soon(rule: str) -> None:
    start = "1990-01-01T00:00:00+00:00"
    clock = {"type": "RRuleClock", "rrule_obj": {"rr": f"RRULE:{rule}", "_dtstart": start, "_until": None}}
    began = time.process_time()
    found = times(clock)
    assert time.process_time() - began < 2
    assert len(found) == (3 if rule in ("FREQ=SECONDLY", "FREQ=MINUTELY;COUNT=100000000") else 0)


def test_a_rule_that_excludes_itself_ends_soon() -> None:
    rule = {"rr": "RRULE:FREQ=SECONDLY", "_dtstart": "2019-01-01T00:00:00+00:00", "_until": None}
    clock = {"type": "RRuleClock", "rrule_obj": {"type": "rruleset", "_rrule": [rule], "_exrule": [rule]}}
    began = time.process_time()
    assert times(clock) == []
    assert time.process_time() - began < 5


@pytest.mark.parametrize("unit", [timedelta(weeks=1), timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)])
@pytest.mark.parametrize("interval", [1, 5])
def test_a_count_is_kept_over_what_is_skipped(unit: timedelta, interval: int) -> None:
    """A counted rule begins shortly before now, with what is left of its count; its last occurrence is its last."""
    name = {7 * 86400: "WEEKLY", 86400: "DAILY", 3600: "HOURLY", 60: "MINUTELY"}[int(unit.total_seconds())]
    for passed, left in ((40_000, 2), (40_000, 0), (3, 2)):
        if unit * interval * passed > timedelta(days=365 * 1000):
            continue
        start = AFTER - unit * interval * (passed - 1)
        text = f"RRULE:FREQ={name};INTERVAL={interval};COUNT={passed + left}"
        rule = {"rr": text, "_dtstart": start.isoformat(), "_until": None}
        found = times({"type": "RRuleClock", "rrule_obj": rule})
        assert found == [AFTER + unit * interval * step for step in range(1, left + 1)]


@pytest.mark.parametrize(
    ("rule", "start", "possible"),
    [
        ("FREQ=MONTHLY;BYMONTH=4", "2020-03-31", False),
        ("FREQ=MONTHLY;BYMONTH=4", "2020-03-30", True),
        ("FREQ=MONTHLY;BYMONTH=4;BYDAY=+1MO", "2020-03-31", True),
        ("FREQ=MONTHLY;BYMONTH=4;BYDAY=MO", "2020-03-31", True),
        ("FREQ=MONTHLY", "2020-03-31", True),
        ("FREQ=YEARLY", "2020-02-29", True),
        ("FREQ=YEARLY;BYMONTH=2", "2020-01-30", False),
        ("FREQ=YEARLY;BYMONTH=2", "2020-01-29", True),
        ("FREQ=YEARLY;BYYEARDAY=366", "2020-01-30", True),
        ("FREQ=YEARLY;BYWEEKNO=53", "2020-01-30", True),
        ("FREQ=YEARLY;BYEASTER=1", "2020-01-30", True),
        ("FREQ=YEARLY;BYMONTHDAY=30;BYMONTH=2", "2020-01-30", False),
    ],
)
def test_rules_that_never_occur_are_known(rule: str, start: str, possible: bool) -> None:
    found = {"rr": f"RRULE:{rule}", "_dtstart": f"{start}T00:00:00", "_until": None}
    clock = parse_clock({"type": "RRuleClock", "rrule_obj": found})
    assert can_occur(clock.rules[0]) is possible  # type: ignore[attr-defined]


def test_a_rare_rule_is_found() -> None:
    rule = {"rr": "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29", "_dtstart": "2019-01-01T00:00:00", "_until": None}
    clock = parse_clock({"type": "RRuleClock", "rrule_obj": rule})
    assert can_occur(clock.rules[0])  # type: ignore[attr-defined]
    assert [moment.year for moment in times({"type": "RRuleClock", "rrule_obj": rule})] == [2020, 2024, 2028]


def test_now_itself_counts_for_a_rule() -> None:
    """As in the reference: when the caller gave no time of its own, and only for rules."""
    rule = {"rr": "RRULE:FREQ=DAILY", "_dtstart": "2020-01-01T00:00:00+00:00", "_until": None}
    schedule = parse_schedule({"clocks": [{"type": "RRuleClock", "rrule_obj": rule}]})
    assert schedule.next(1, after=AFTER)[0].start_time == AFTER + timedelta(days=1)
    assert schedule.next(1, after=AFTER, inclusive=True)[0].start_time == AFTER
    hourly = parse_schedule({"clocks": [{"type": "IntervalClock", "interval": 60 * MINUTE}]})
    assert hourly.next(1, after=AFTER, inclusive=True)[0].start_time == AFTER + timedelta(hours=1)


def test_events_of_clocks_are_merged() -> None:
    """In the order that the client has for them, which is not that of the clocks."""
    plain = cron("0 0 * * *")
    events = parse_schedule(
        {
            "clocks": [
                plain,
                plain,
                {**plain, "labels": []},
                {**plain, "labels": ["a"]},
                {**plain, "parameter_defaults": {"x": 1}},
                {**plain, "parameter_defaults": {}},
            ]
        }
    ).next(5, after=AFTER)
    assert [(event.start_time.day, event.labels, event.parameter_defaults) for event in events] == [
        (2, None, {}),
        (2, [], {}),
        (2, None, {}),
        (2, None, {"x": 1}),
        (2, None, {}),
    ]


def test_the_schedule_of_a_group() -> None:
    now = datetime(2020, 7, 1, 12, 30, 15, 250, tzinfo=UTC)
    document = group_schedule_document(
        cron_clocks=[
            CronClockInput(cron="0 * * * *"),
            CronClockInput(cron="@daily", parameter_defaults={}, has_parameter_defaults=True),
            CronClockInput(cron="@daily", parameter_defaults=None, has_parameter_defaults=True),
        ],
        interval_clocks=[
            IntervalClockInput(interval=60),
            IntervalClockInput(interval=3600, parameter_defaults={}),
            IntervalClockInput(interval=90, parameter_defaults={"x": 1}),
        ],
        timezone=None,
        now=now,
    )
    assert document == {
        "type": "Schedule",
        "clocks": [
            {"type": "CronClock", "cron": "0 * * * *", "start_date": None},
            {"type": "CronClock", "cron": "@daily", "parameter_defaults": {}, "start_date": None},
            {"type": "CronClock", "cron": "@daily", "parameter_defaults": None, "start_date": None},
            {"type": "IntervalClock", "interval": 60_000_000, "start_date": None},
            {"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None},
            {"type": "IntervalClock", "interval": 90_000_000, "parameter_defaults": {"x": 1}, "start_date": None},
        ],
    }
    zoned = group_schedule_document(
        cron_clocks=[CronClockInput(cron="0 * * * *")], interval_clocks=[], timezone="America/New_York", now=now
    )
    assert zoned["clocks"][0]["start_date"] == {"dt": "2020-07-01T08:30:15.000250", "tz": "America/New_York"}
    parse_schedule(zoned)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"timezone": "Atlantis"}, "Atlantis"),
        ({"timezone": ""}, "timezone"),
        ({"interval_clocks": [IntervalClockInput(interval=59)]}, "one minute"),
        ({"cron_clocks": [CronClockInput(cron="x")]}, "cron"),
        (
            {"cron_clocks": [CronClockInput(cron="* * * * *", parameter_defaults=LIST, has_parameter_defaults=True)]},
            "obj",
        ),
    ],
)
def test_what_a_group_refuses(more: dict[str, Any], text: str) -> None:
    arguments: dict[str, Any] = {"cron_clocks": [], "interval_clocks": [], "timezone": None, "now": AFTER, **more}
    with pytest.raises(InvalidInput, match=text):
        group_schedule_document(**arguments)
