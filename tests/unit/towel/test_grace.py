"""Silence counts only from when the database was there (demands.md row 8)."""

from datetime import UTC, datetime, timedelta

from services.towel.grace import Grace

START = datetime(2021, 1, 1, tzinfo=UTC)
PAUSE = timedelta(minutes=10)


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def test_silence_counts_from_the_start_of_the_towel() -> None:
    grace = Grace(PAUSE)
    assert [grace.reached(minutes(minute)) for minute in (0, 5, 15, 20)] == [START] * 4


def test_an_outage_begins_it_again() -> None:
    grace = Grace(PAUSE)
    for minute in range(0, 20, 5):
        grace.reached(minutes(minute))
    grace.lost()
    assert grace.reached(minutes(22)) == minutes(22)
    assert grace.reached(minutes(31)) == minutes(22)


def test_a_sleep_counts_as_an_outage() -> None:
    """A laptop that was closed, a machine that was paused: nobody noticed, but heartbeats could not be written."""
    grace = Grace(PAUSE)
    for minute in range(0, 20, 5):
        grace.reached(minutes(minute))
    assert grace.reached(minutes(60)) == minutes(60)


def test_so_does_a_clock_that_was_put_back() -> None:
    grace = Grace(PAUSE)
    grace.reached(minutes(60))
    assert grace.reached(minutes(0)) == minutes(0)


def test_rare_ticks_are_no_outage() -> None:
    grace = Grace(timedelta(minutes=6))
    assert [grace.reached(minutes(minute)) for minute in (0, 2, 4, 10)] == [START] * 4
    assert grace.reached(minutes(17)) == minutes(17)
