"""Events equal what the real client 1.4.1 computes: clock kinds, zones, switch days, filters, adjustments.

The vectors are made by tests.support.schedule_vectors. Demands.md row 21 (P#10678 among its cases), actions.md §6.
A tenth of them is compared here; tests/service/towel/test_vectors.py takes all.
"""

from collections import Counter

from tests.support.schedule_vectors import events_of, vectors

SHARE = 10
KINDS = {"IntervalClock", "CronClock", "DatesClock", "RRuleClock"}


def test_a_share_of_the_vectors() -> None:
    wrong = [
        (case, expected, actual) for case, expected in vectors(share=SHARE) if (actual := events_of(case)) != expected
    ]
    assert wrong == []


def test_there_are_enough_of_them() -> None:
    known, taken = list(vectors()), list(vectors(share=SHARE))
    assert len(known) > 1500
    assert len(taken) > 150
    assert sum(bool(events) for _, events in known) > 1400
    kinds = Counter(clock["type"] for case, _ in taken for clock in case["document"]["clocks"])
    assert kinds.keys() == KINDS
    assert min(kinds.values()) > 15
