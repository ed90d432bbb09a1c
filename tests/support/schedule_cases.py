"""Schedules to compare with the real client: a fixed matrix around clock changes, and seeded random ones.

A case is a request to tests.support.schedule_oracle. Used by the vectors (schedule_vectors) and an integration test.
"""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

Case = dict[str, Any]

SWITCH_DAYS: dict[str, tuple[str, str]] = {
    "UTC": ("2020-02-29", "2020-12-31"),
    "America/New_York": ("2020-03-08", "2020-11-01"),
    "America/Montreal": ("2020-03-08", "2020-11-01"),
    "Europe/Paris": ("2020-03-29", "2020-10-25"),
    "Asia/Tokyo": ("2020-03-01", "2020-11-01"),
    "Australia/Lord_Howe": ("2020-10-04", "2020-04-05"),
    "America/Sao_Paulo": ("2018-11-04", "2018-02-18"),
}
"""Zones, with the day of each when clocks go forward and back (any two days where they do not)."""

CRONS = ("0 * * * *", "*/30 * * * *", "30 2 * * *", "30 1 * * *", "0 9 * * *", "10 0 * * *", "0 0 * * 0")
INTERVALS = {
    "30 minutes": timedelta(minutes=30),
    "hour": timedelta(hours=1),
    "6 hours": timedelta(hours=6),
    "day": timedelta(days=1),
    "36 hours": timedelta(hours=36),
    "week": timedelta(weeks=1),
}
RRULES = (
    "FREQ=DAILY",
    "FREQ=DAILY;INTERVAL=3",
    "FREQ=DAILY;COUNT=50",
    "FREQ=DAILY;BYSETPOS=1;BYHOUR=3,4",
    "FREQ=WEEKLY;BYDAY=MO,FR",
    "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU;WKST=SU",
    "FREQ=MONTHLY;BYDAY=1FR",
    "FREQ=MONTHLY;BYMONTHDAY=-1",
    "FREQ=MONTHLY;BYSETPOS=-1;BYDAY=MO,TU,WE,TH,FR",
    "FREQ=HOURLY",
    "FREQ=HOURLY;INTERVAL=5",
    "FREQ=HOURLY;BYHOUR=9,17;BYMINUTE=30",
    "FREQ=MINUTELY;INTERVAL=45",
    "FREQ=SECONDLY;INTERVAL=7200",
    "FREQ=YEARLY;BYMONTH=2,3;BYDAY=SU",
)
FILTERS = "prefect.schedules.filters."
ADJUSTMENTS = "prefect.schedules.adjustments."


def matrix() -> Iterator[Case]:
    """Yield every clock of the tables above, in every zone, around both of its days, for several anchors."""
    for zone, days in SWITCH_DAYS.items():
        for day in days:
            midnight = datetime.fromisoformat(day)
            for hours in (-26, 1, 8):
                after = (midnight + timedelta(hours=hours, minutes=30)).replace(tzinfo=UTC)
                for cron in CRONS:
                    for anchor in (midnight - timedelta(days=200), midnight + timedelta(hours=1)):
                        yield _case({"type": "CronClock", "cron": cron, "start_date": _zoned(anchor, zone)}, after, 5)
                for length in INTERVALS.values():
                    for anchor in (midnight - timedelta(days=100), midnight - timedelta(hours=3)):
                        yield _case(_interval(length, _zoned(anchor + timedelta(minutes=30), zone)), after, 4)


def cells() -> Iterator[Case]:
    """Yield, in every zone around both of its days, what the matrix lacks.

    Dates and half hours that come twice or never, seconds and aliases of cron, short intervals, rules with and without
    an offset, and clocks that tick together.
    """
    for zone, days in SWITCH_DAYS.items():
        for day in days:
            midnight = datetime.fromisoformat(day)
            halves = [_zoned(midnight + timedelta(minutes=30 * number), zone) for number in range(-4, 9)]
            start = _zoned(midnight - timedelta(days=1, hours=-2, minutes=-30), zone)
            clocks = [
                [{"type": "DatesClock", "dates": halves}],
                *(
                    [{"type": "CronClock", "cron": cron, "start_date": start}]
                    for cron in ("0 * * * * 15", "*/15 0-3 * * *", "59 23 * * *", "0 0 * * *", "@daily", "@hourly")
                ),
                *([_interval(timedelta(minutes=length), start)] for length in (15, 20, 45, 60)),
                *(
                    [
                        {
                            "type": "RRuleClock",
                            "rrule_obj": {"type": "rrule", **_rule("FREQ=HOURLY", midnight, offset, None)},
                            "start_date": start,
                        }
                    ]
                    for offset in ("", "+00:00", "-05:00")
                ),
                [
                    _interval(timedelta(hours=1), start),
                    {"type": "CronClock", "cron": "30 * * * *", "start_date": start},
                ],
                [
                    {**_interval(timedelta(hours=1), start), "labels": ["a"]},
                    {**_interval(timedelta(hours=1), start), "parameter_defaults": {"x": 1}},
                    {"type": "DatesClock", "dates": halves, "labels": ["a"]},
                ],
            ]
            for hours in (-26, 0, 3):
                after = (midnight + timedelta(hours=hours, minutes=30)).replace(tzinfo=UTC)
                for together in clocks:
                    yield {"document": {"clocks": together}, "after": after.isoformat(), "n": 12}


def random_cases(*, seed: int, count: int) -> Iterator[Case]:
    """Yield schedules of one to three clocks of any kind, with filters, adjustments and attributes."""
    maker = _Maker(random.Random(seed))
    for _ in range(count):
        yield maker.case()


class _Maker:
    """Draws cases."""

    def __init__(self, source: random.Random) -> None:
        self.draw = source
        self.zone = "UTC"

    def case(self) -> Case:
        draw = self.draw
        home = draw.choice(list(SWITCH_DAYS))
        clocks = []
        for _ in range(draw.choice([1, 1, 1, 2, 3])):
            self.zone = draw.choice([home, home, draw.choice(list(SWITCH_DAYS))])
            clock = draw.choice([self.interval, self.cron, self.cron, self.dates, self.rrule])
            clocks.append({**clock(), **self.attributes()})
        document: dict[str, Any] = {"clocks": clocks}
        for key in ("filters", "or_filters", "not_filters"):
            if draw.random() < 0.15:
                document[key] = [self.filter() for _ in range(draw.randint(1, 2))]
        if draw.random() < 0.2:
            document["adjustments"] = [self.adjustment() for _ in range(draw.randint(1, 2))]
        self.zone = home
        after = self.day() + timedelta(
            hours=draw.randint(-30, 40),
            minutes=self.minute(),
            seconds=draw.choice([0, 0, 59]),
            microseconds=draw.choice([0, 0, 0, 500_000]),
        )
        return {"document": document, "after": after.replace(tzinfo=UTC).isoformat(), "n": draw.choice([1, 4, 6])}

    def day(self) -> datetime:
        if self.draw.random() < 0.8:
            return datetime.fromisoformat(self.draw.choice(SWITCH_DAYS[self.zone]))
        return datetime(self.draw.randint(2018, 2023), self.draw.randint(1, 12), self.draw.randint(1, 28))  # noqa: DTZ001

    def minute(self) -> int:
        return self.draw.choice([0, 0, 30, 15, self.draw.randint(0, 59)])

    def wall(self) -> datetime:
        draw = self.draw
        offset = timedelta(days=draw.choice([0, 0, 1, 2, 30, 180, 400]) * draw.choice([1, 1, 1, -1]))
        parts = timedelta(hours=draw.randint(0, 23), minutes=self.minute(), seconds=draw.choice([0, 0, 0, 17]))
        return self.day() - offset + parts + timedelta(microseconds=draw.choice([0, 0, 0, 0, 500_000, 1]))

    def moment(self) -> dict[str, str]:
        return _zoned(self.wall(), self.zone)

    def maybe(self, chance: float) -> dict[str, str] | None:
        return self.moment() if self.draw.random() < chance else None

    def attributes(self) -> dict[str, Any]:
        draw = self.draw
        given: dict[str, Any] = {}
        if draw.random() < 0.15:
            given["labels"] = draw.choice([None, [], ["a"], ["b", "a"]])
        if draw.random() < 0.15:
            given["parameter_defaults"] = draw.choice([None, {}, {"x": 1}, {"x": "y"}])
        return given

    def interval(self) -> dict[str, Any]:
        seconds = self.draw.choice([60, 90, 900, 2700, 5400, 43_200, 90_000, 172_800, self.draw.randint(60, 100_000)])
        length = timedelta(seconds=seconds, microseconds=self.draw.choice([0, 0, 0, 500_000]))
        return {**_interval(length, self.maybe(0.9)), "end_date": self.maybe(0.1)}

    def cron(self) -> dict[str, Any]:
        return {
            "type": "CronClock",
            "cron": self.expression(),
            "start_date": self.maybe(0.9),
            "end_date": self.maybe(0.1),
            "day_or": self.draw.choice([True, True, None, False]),
        }

    def expression(self) -> str:
        draw = self.draw
        if draw.random() < 0.05:
            return draw.choice(["@daily", "@hourly", "@weekly", "@monthly", "@yearly", "@midnight", "@annually"])
        fields = [
            self.field(0, 59, 1),
            self.field(0, draw.choice([5, 23]), 3),
            self.field(1, 31, 6),
            self.field(1, 12, 8),
            self.field(0, 7, 5),
        ]
        if draw.random() < 0.15:
            fields[2] = draw.choice(["L", "L,15", "1,15,30", "1,31", "*/15"])
        if draw.random() < 0.15:
            fields[4] = draw.choice(["5#2", "L5", "mon#1", "sun", "mon-fri", "fri-sun", "sat,sun"])
        if draw.random() < 0.12:
            fields[4] = draw.choice(["*", "1", "1,3"])
            fields.append(draw.choice(["0", "*/20", "30", "15,45"]))
        return " ".join(fields)

    def field(self, low: int, high: int, stars: int) -> str:
        draw, middle = self.draw, (low + high) // 2
        between = f"{draw.randint(low, middle)}-{draw.randint(middle, high)}"
        one = str(draw.randint(low, high))
        return draw.choice(
            ["*"] * stars
            + [one, f"{one},{draw.randint(low, high)}", f"{one}/{draw.randint(1, 9)}", between]
            + [f"*/{draw.choice([2, 3, 5, 7, 10, 15, 20])}", f"{between}/{draw.randint(1, 4)}"]
        )

    def dates(self) -> dict[str, Any]:
        return {"type": "DatesClock", "dates": [self.moment() for _ in range(self.draw.randint(1, 6))]}

    def rrule(self) -> dict[str, Any]:
        draw, start = self.draw, self.wall().replace(microsecond=0)
        offset = draw.choice(["", "+00:00", "-05:00", "+02:00"])
        text = draw.choice(RRULES)
        until = None if "COUNT" in text else draw.choice([None, start + timedelta(days=draw.randint(1, 300))])
        rule = _rule(text, start, offset, until)
        if draw.random() < 0.7:
            return {"type": "RRuleClock", "rrule_obj": {"type": "rrule", **rule}, "start_date": self.maybe(0.3)}
        rule_set = {
            "type": "rruleset",
            "_rrule": [rule],
            "_rdate": [self.wall().replace(microsecond=0).isoformat() + offset],
            "_exrule": draw.choice([[], [_rule("FREQ=DAILY;INTERVAL=2", start, offset, None)]]),
            "_exdate": [start.isoformat() + offset],
        }
        return {"type": "RRuleClock", "rrule_obj": rule_set, "start_date": self.maybe(0.3)}

    def filter(self) -> dict[str, Any]:
        draw = self.draw
        name = draw.choice(list(_ARGUMENTS))
        makers: dict[str, Callable[[], Any]] = {
            "datetime": lambda: f"//datetime:{self.wall().isoformat()}{draw.choice(['', '+00:00', '-05:00'])}",
            "time": lambda: f"//time:{draw.randint(0, 23):02}:{draw.choice([0, 30]):02}:00",
            "month": lambda: draw.randint(1, 12),
            "day": lambda: draw.randint(1, 28),
            "weekday": lambda: draw.randint(0, 7),
        }
        return {"fn": FILTERS + name, "kwargs": {key: makers[kind]() for key, kind in _ARGUMENTS[name].items()}}

    def adjustment(self) -> dict[str, Any]:
        seconds = self.draw.choice([60, 3600, 86_400, 90_000, -3600, 1.5, -90_000])
        return self.draw.choice(
            [
                {"fn": ADJUSTMENTS + "next_weekday", "kwargs": {}},
                {"fn": ADJUSTMENTS + "add", "kwargs": {"interval": f"//timedelta:{seconds}"}},
            ]
        )


_ARGUMENTS: dict[str, dict[str, str]] = {
    "on_datetime": {"dt": "datetime"},
    "between_datetimes": {"start": "datetime", "end": "datetime"},
    "on_date": {"month": "month", "day": "day"},
    "between_dates": {"start_month": "month", "start_day": "day", "end_month": "month", "end_day": "day"},
    "at_time": {"t": "time"},
    "between_times": {"start": "time", "end": "time"},
    "is_weekday": {},
    "is_weekend": {},
    "is_day_of_week": {"day_of_week": "weekday"},
    "is_month_start": {},
    "is_month_end": {},
}


def _zoned(wall: datetime, zone: str) -> dict[str, str]:
    return {"dt": wall.isoformat(), "tz": zone}


def _interval(length: timedelta, start: dict[str, str] | None) -> dict[str, Any]:
    return {"type": "IntervalClock", "interval": length // timedelta(microseconds=1), "start_date": start}


def _rule(text: str, start: datetime, offset: str, until: datetime | None) -> dict[str, Any]:
    return {
        "rr": f"DTSTART:{start:%Y%m%dT%H%M%S}\nRRULE:{text}",
        "_dtstart": start.isoformat() + offset,
        "_until": None if until is None else until.isoformat() + offset,
    }


def _case(clock: dict[str, Any], after: datetime, count: int) -> Case:
    return {"document": {"clocks": [clock]}, "after": after.isoformat(), "n": count}
