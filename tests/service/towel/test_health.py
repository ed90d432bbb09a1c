"""`/health` and `/metrics` of the towel, and which loops it runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry

from server_core.access import observe_requests
from server_core.config import DatabaseSettings, Settings, TowelSettings
from server_core.errors import ConfigError
from services.towel.app import Towel, create_app, create_towel, loop_names, select_loops
from tests.service.towel.test_runner import Probe, Time

SETTINGS = Settings(database=DatabaseSettings(pool_size=2))
NOW = datetime(2021, 1, 1, tzinfo=UTC)


async def test_a_loop_that_does_not_succeed_turns_health_to_503(database_url: str) -> None:
    async def work() -> None:
        if time.now > NOW:
            raise RuntimeError("boom")

    time, registry, probe = Time(), CollectorRegistry(), Probe(work)
    towel = Towel(SETTINGS, database_url, loops=[probe], registry=registry, clock=time, interval_seconds=100)
    app = create_app(towel)
    observe_requests(app, service="towel", settings=SETTINGS, registry=registry)
    await towel.open()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://towel") as client:
            await towel.runner.tick(probe)
            answer = await client.get("/health")
            assert (answer.status_code, answer.json()["status"]) == (200, "ok")
            assert answer.json()["loops"]["Probe"]["counts"] == {"things": 1}
            time.now = NOW + timedelta(seconds=301)
            await towel.runner.tick(probe)
            answer = await client.get("/health")
            assert (answer.status_code, answer.json()["status"]) == (503, "failing")
            loop = answer.json()["loops"]["Probe"]
            assert (loop["failing"], loop["leader"], loop["errors"], loop["interval"]) == (True, True, 1, 100)
            assert loop["last_success"] == NOW.isoformat()
            metrics = await client.get("/metrics")
            assert metrics.headers["content-type"].startswith("text/plain; version=")
            assert 'prefect_server_loop_errors_total{loop="Probe"} 1.0' in metrics.text
            assert 'prefect_server_loop_items_total{kind="things",loop="Probe"} 1.0' in metrics.text
    finally:
        await towel.stop()


async def test_without_a_database_nobody_leads(database_url: str) -> None:
    time, probe = Time(), Probe()
    towel = Towel(SETTINGS, database_url, loops=[probe], clock=time, interval_seconds=100)
    assert await towel.runner.tick(probe) is None
    assert towel.runner.health()["Probe"]["leader"] is False
    time.now = NOW + timedelta(seconds=301)
    assert towel.runner.health()["Probe"]["failing"]


@pytest.mark.parametrize(
    ("names", "run"),
    [(None, loop_names()), ("lazarus, scheduler", ["scheduler", "lazarus"]), ("lazarus,", ["lazarus"])],
)
def test_loops_are_chosen_by_name(names: str | None, run: list[str]) -> None:
    towel = create_towel(replace(SETTINGS, towel=TowelSettings(loops=names)), "postgresql://x/y", environ={})
    assert [loop.name for loop in towel.loops] == run
    assert list(towel.runner.intervals) == run


def test_every_towel_has_loops_of_its_own() -> None:
    """The scheduler and retention remember where they are; each answers to the name that it is chosen by."""
    assert loop_names()[:3] == ["scheduler", "lazarus", "zombie_killer"]
    loops, others = select_loops(None), select_loops(None)
    assert [loop.name for loop in loops] == loop_names()
    assert not any(one is other for one, other in zip(loops, others, strict=True))


@pytest.mark.parametrize(("names", "said"), [("lazarus,ui", "Unknown loop ui"), ("", "No loop is named")])
def test_an_unknown_loop_is_refused_with_the_known(names: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"{said}; the loops are scheduler, lazarus, zombie_killer"):
        create_towel(replace(SETTINGS, towel=TowelSettings(loops=names)), "postgresql://x/y", environ={})
