"""What the loops did, as /health and /metrics tell it."""

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from services.towel.logbook import Logbook

START = datetime(2021, 1, 1, tzinfo=UTC)


def seconds(count: float) -> datetime:
    return START + timedelta(seconds=count)


def logbook(registry: CollectorRegistry | None = None) -> Logbook:
    made = Logbook(registry or CollectorRegistry())
    made.add("lazarus", interval=10, now=START)
    return made


def failing(book: Logbook, at: float) -> bool:
    return bool(book.health(now=seconds(at), next_runs={})["lazarus"]["failing"])


def test_a_leader_fails_after_three_intervals_without_success() -> None:
    book = logbook()
    book.leads("lazarus", True, now=START)
    assert not failing(book, 30)
    assert failing(book, 30.1)
    book.succeeded("lazarus", {}, now=seconds(31), seconds=1)
    assert not failing(book, 61)
    book.failed("lazarus", seconds=1)
    assert failing(book, 61.1)


def test_who_does_not_know_whether_to_lead_fails_too() -> None:
    """The database was never reached."""
    assert failing(logbook(), 31)


def test_a_follower_does_not_fail_and_has_three_intervals_when_it_takes_over() -> None:
    book = logbook()
    book.leads("lazarus", False, now=START)
    assert not failing(book, 1000)
    book.leads("lazarus", True, now=seconds(1000))
    assert not failing(book, 1030)
    book.leads("lazarus", None, now=seconds(1029))
    assert failing(book, 1031)


def test_health_tells_what_happened() -> None:
    book = logbook()
    book.leads("lazarus", True, now=START)
    book.began("lazarus", now=seconds(1))
    book.succeeded("lazarus", {"flow_runs": 3}, now=seconds(3), seconds=2.0)
    book.failed("lazarus")
    assert book.health(now=seconds(4), next_runs={"lazarus": seconds(11)}) == {
        "lazarus": {
            "leader": True,
            "failing": False,
            "last_start": "2021-01-01T00:00:01+00:00",
            "last_success": "2021-01-01T00:00:03+00:00",
            "last_duration_seconds": 2.0,
            "counts": {"flow_runs": 3},
            "errors": 1,
            "next_run": "2021-01-01T00:00:11+00:00",
            "interval": 10,
        }
    }


def test_metrics_add_up() -> None:
    registry = CollectorRegistry()
    book = logbook(registry)
    assert registry.get_sample_value("prefect_server_loop_passes_total", {"loop": "lazarus"}) == 0
    book.leads("lazarus", True, now=START)
    for count in (3, 0, 4):
        book.succeeded("lazarus", {"flow_runs": count}, now=seconds(5), seconds=0.5)
    book.failed("lazarus", seconds=2)
    book.failed("lazarus")
    expected = {
        "passes_total": 3,
        "errors_total": 2,
        "leader": 1,
        "last_success_timestamp_seconds": seconds(5).timestamp(),
        "duration_seconds_count": 4,
        "duration_seconds_sum": 3.5,
    }
    for name, value in expected.items():
        assert registry.get_sample_value(f"prefect_server_loop_{name}", {"loop": "lazarus"}) == value
    labels = {"loop": "lazarus", "kind": "flow_runs"}
    assert registry.get_sample_value("prefect_server_loop_items_total", labels) == 7
    book.leads("lazarus", False, now=START)
    assert registry.get_sample_value("prefect_server_loop_leader", {"loop": "lazarus"}) == 0
