"""Passes spread at random, and never come later than the interval (demands.md 38)."""

from datetime import UTC, datetime, timedelta

import pytest

from services.towel.runner import _trigger

START = datetime(2021, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(("jitter", "least"), [(0.0, 100.0), (0.25, 75.0), (0.9, 10.0)])
def test_the_next_pass_is_due_after_the_interval_at_the_latest(jitter: float, least: float) -> None:
    trigger = _trigger(100, jitter)
    steps = [(trigger.get_next_fire_time(START, START) - START).total_seconds() for _ in range(200)]
    assert least <= min(steps) <= max(steps) <= 100
    assert len(set(steps)) == (1 if jitter == 0 else 200)


def test_the_first_pass_of_a_step_counts_from_the_start_before() -> None:
    trigger = _trigger(100, 0)
    later = START + timedelta(seconds=100)
    assert trigger.get_next_fire_time(START, START) == later
    assert trigger.get_next_fire_time(later, later) == START + timedelta(seconds=200)
