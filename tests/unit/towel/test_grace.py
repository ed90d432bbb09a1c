"""Silence is believed only after the database has been there for as long as a run may be silent (demands.md row 8)."""

from datetime import UTC, datetime, timedelta

from services.towel.grace import Grace

START = datetime(2021, 1, 1, tzinfo=UTC)
PERIOD = timedelta(minutes=10)


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def test_a_towel_that_has_just_started_waits() -> None:
    grace = Grace(PERIOD)
    assert not grace.is_over(START)
    for minute in range(0, 10, 2):
        grace.reached(minutes(minute))
        assert not grace.is_over(minutes(minute))
    grace.reached(minutes(10))
    assert grace.is_over(minutes(10))


def test_an_outage_begins_it_again() -> None:
    grace = Grace(PERIOD)
    for minute in range(0, 20, 5):
        grace.reached(minutes(minute))
    assert grace.is_over(minutes(20))
    grace.lost()
    assert not grace.is_over(minutes(21))
    grace.reached(minutes(22))
    assert not grace.is_over(minutes(31))
    grace.reached(minutes(31))
    assert grace.is_over(minutes(32))


def test_a_sleep_counts_as_an_outage() -> None:
    """A laptop that was closed, a machine that was paused: nobody noticed, but heartbeats could not be written."""
    grace = Grace(PERIOD)
    for minute in range(0, 20, 5):
        grace.reached(minutes(minute))
    grace.reached(minutes(60))
    assert not grace.is_over(minutes(60))


def test_no_period_no_grace() -> None:
    grace = Grace(timedelta(0))
    grace.reached(START)
    assert grace.is_over(START)


def test_rare_ticks_are_no_outage() -> None:
    grace = Grace(timedelta(minutes=1), pause=timedelta(minutes=6))
    for minute in (0, 2, 4):
        grace.reached(minutes(minute))
    assert grace.is_over(minutes(4))
    grace.reached(minutes(11))
    assert not grace.is_over(minutes(11))
