"""When a delivery is tried again, when it is given up, what a status means."""

from datetime import UTC, datetime, timedelta

import pytest

from server_core.config import HookSettings
from server_core.rules.hook_attempts import is_refusal, may_pass, next_attempt, pause, refusals

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTINGS = HookSettings()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_statuses_that_may_pass(status: int) -> None:
    assert may_pass(status)
    assert not is_refusal(status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410, 413, 422, 499])
def test_statuses_that_refuse(status: int) -> None:
    assert is_refusal(status)
    assert not may_pass(status)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 302, 307, 308])
def test_statuses_that_deliver(status: int) -> None:
    assert not is_refusal(status)
    assert not may_pass(status)


def test_pauses_double_up_to_the_limit() -> None:
    seconds = [pause(n, settings=SETTINGS, chance=0.5).total_seconds() for n in range(1, 10)]
    assert seconds == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    assert pause(10_000, settings=SETTINGS, chance=0.5).total_seconds() == 600


def test_chance_spreads_pauses_by_a_quarter() -> None:
    assert pause(1, settings=SETTINGS, chance=0.0).total_seconds() == 3.75
    assert pause(1, settings=SETTINGS, chance=1.0).total_seconds() == 6.25


def test_the_last_attempt_is_not_followed_by_another() -> None:
    settings = HookSettings(max_attempts=3)
    due = [next_attempt(attempts=n, created=NOW, now=NOW, settings=settings, chance=0.5) for n in (1, 2, 3, 4)]
    assert due == [NOW + timedelta(seconds=5), NOW + timedelta(seconds=10), None, None]


def test_an_old_event_is_given_up() -> None:
    settings = HookSettings(max_age_seconds=60)
    for age, expected in ((55, NOW + timedelta(seconds=5)), (56, None), (1000, None)):
        created = NOW - timedelta(seconds=age)
        assert next_attempt(attempts=1, created=created, now=NOW, settings=settings, chance=0.5) == expected


def test_refusals_are_named_once() -> None:
    assert refusals({"0": 200, "1": 302}) is None
    assert refusals({"0": 404, "1": 200, "2": 400, "3": 404}) == "The receiver refused it with status 400, 404."
