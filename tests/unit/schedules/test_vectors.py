"""Every event equals what the real client 1.4.1 computes: clock kinds, zones, switch days, filters, adjustments.

The vectors are made by tests.support.schedule_vectors. Demands.md row 21 (P#10678 among its cases), actions.md §6.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from server_core.rules.schedules import parse_schedule
from tests.support.schedule_cases import Case
from tests.support.schedule_vectors import vectors


def events_of(case: Case) -> Sequence[Any]:
    events = parse_schedule(case["document"]).next(case["n"], after=datetime.fromisoformat(case["after"]))
    return [[event.start_time.isoformat(), event.parameter_defaults, event.labels] for event in events]


def test_every_vector() -> None:
    wrong = [(case, expected, actual) for case, expected in vectors() if (actual := events_of(case)) != expected]
    assert wrong == []


def test_there_are_enough_of_them() -> None:
    known = list(vectors())
    assert len(known) > 1500
    kinds = {clock["type"] for case, _ in known for clock in case["document"]["clocks"]}
    assert kinds == {"IntervalClock", "CronClock", "DatesClock", "RRuleClock"}
    assert sum(bool(events) for _, events in known) > 1400
