"""Idempotency keys, character for character as the legacy server wrote them (actions.md §5.2)."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from server_core.rules.schedules import idempotency_key
from server_core.rules.schedules.planning import plan_runs

PLAIN = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None}]}
NOW = datetime(2020, 1, 1, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "parameters", "labels", "key"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), {}, None, "auto-scheduled:2020-01-01T00:00:00+00:00"),
        (datetime(2020, 1, 1, tzinfo=UTC), None, None, "auto-scheduled:2020-01-01T00:00:00+00:00"),
        (datetime(2020, 1, 1, 0, 0, 0, 500, tzinfo=UTC), {}, None, "auto-scheduled:2020-01-01T00:00:00.000500+00:00"),
        (
            datetime(2020, 1, 1, 9, tzinfo=timezone(timedelta(hours=-5))),
            {"x": "a"},
            None,
            "auto-scheduled:2020-01-01T14:00:00+00:00:219b62d63bdbbd5bcf0c47c997d3dfec",
        ),
        (
            datetime(2020, 1, 1, tzinfo=UTC),
            {},
            [],
            "auto-scheduled:2020-01-01T00:00:00+00:00:6724220be14f0099e91cefa0b2610748",
        ),
    ],
)
def test_keys(moment: datetime, parameters: dict[str, Any] | None, labels: list[str] | None, key: str) -> None:
    assert idempotency_key(moment, parameters, labels) == key


def test_anagrams_share_a_key() -> None:
    """A flaw of the format that has to stay: other keys would plan the runs of an adopted database twice."""
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    assert idempotency_key(moment, {"a": "bc"}, None) == idempotency_key(moment, {"b": "ca"}, None)


def test_what_was_planned_before_counts() -> None:
    first = plan_runs(PLAIN, last=None, now=NOW, max_runs=10).runs
    assert [run.event.start_time.hour for run in first] == [14, 15, 16, 17, 18, 19, 20, 21, 22, 23]
    last = first[-1].event.start_time
    assert plan_runs(PLAIN, last=last, now=NOW, max_runs=10).runs == []
    later = plan_runs(PLAIN, last=last, now=NOW + timedelta(hours=2), max_runs=10).runs
    assert [run.event.start_time - last for run in later] == [timedelta(hours=1), timedelta(hours=2)]
    assert plan_runs(PLAIN, last=NOW - timedelta(days=30), now=NOW, max_runs=10).runs == first


@pytest.mark.parametrize("attributes", [{"labels": []}, {"parameter_defaults": {"x": 1}}])
def test_events_with_attributes_are_planned_every_time(attributes: dict[str, Any]) -> None:
    document = {"clocks": [{**PLAIN["clocks"][0], **attributes}]}
    runs = plan_runs(document, last=NOW + timedelta(days=9), now=NOW, max_runs=3).runs
    assert len(runs) == 3
    assert all(run.repeats for run in runs)
