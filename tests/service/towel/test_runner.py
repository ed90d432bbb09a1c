"""The loops as one: intervals, errors, outages, several towels, a graceful stop (actions.md §5.1, demands.md 8, 38)."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from server_core.actions.context import ActionContext
from server_core.config import DatabaseSettings, Settings, TowelSettings
from server_core.db.session import Database
from server_core.errors import ConfigError, Unavailable
from services.towel.app import DEBUG_VARIABLE, Towel, create_towel
from services.towel.grace import Grace
from services.towel.lease import Leases
from services.towel.loops.scheduler import Scheduler
from services.towel.loops.zombie_killer import ZombieKiller
from services.towel.runner import Runner
from tests.support.cluster import connected, disconnect, terminate
from tests.support.rows import execute, fetch_all, make_flow, make_flow_run
from tests.support.waiting import wait_until

NOW = datetime(2021, 1, 1, tzinfo=UTC)


class Probe:
    """A loop that counts its passes; each does what `work` says."""

    def __init__(self, work: Callable[[], Awaitable[None]] | None = None, *, name: str = "Probe") -> None:
        self.name = name
        self.passes = 0
        self.work = work

    def interval_seconds(self, context: ActionContext) -> float:
        return 1000

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        self.passes += 1
        if self.work:
            await self.work()
        return {"things": 1}


class Time:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def lease_database(dsn: str) -> AsyncIterator[Database]:
    async with Database(dsn, DatabaseSettings(pool_size=1)) as opened:
        yield opened


@pytest.fixture
async def leases(database_url: str) -> AsyncIterator[Leases]:
    async with lease_database(database_url) as opened:
        made = Leases(opened)
        yield made
        await made.release()


def runner_of(context: ActionContext, leases: Leases, *loops: Probe, seconds: float | None = None) -> Runner:
    return Runner(loops, context, leases=leases, grace=Grace(timedelta(minutes=10)), interval_seconds=seconds)


async def test_passes_go_on_from_start_to_start(context: ActionContext, leases: Leases) -> None:
    probe = Probe()
    runner = runner_of(context, leases, probe, seconds=0.02)
    runner.start()
    await wait_until(lambda: probe.passes >= 3, seconds=10, what="three passes")
    await runner.stop()
    passes = probe.passes
    await asyncio.sleep(0)
    assert probe.passes == passes


async def test_the_first_pass_begins_at_once(context: ActionContext, leases: Leases) -> None:
    probe = Probe()
    runner = runner_of(context, leases, probe)
    runner.start()
    await wait_until(lambda: probe.passes == 1, seconds=10, what="the first pass")
    await runner.stop()
    assert probe.passes == 1


async def test_a_long_pass_is_told_and_the_next_begins_at_once(
    context: ActionContext, leases: Leases, caplog: pytest.LogCaptureFixture
) -> None:
    running = 0

    async def work() -> None:
        nonlocal running
        running += 1
        assert running == 1, "passes overlap"
        await asyncio.sleep(0.03)
        running -= 1

    probe = Probe(work)
    runner = runner_of(context, leases, probe, seconds=0.01)
    runner.start()
    await wait_until(lambda: probe.passes >= 4, seconds=10, what="four passes")
    await runner.stop()
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {record.getMessage() for record in told} == {"Probe took longer than its interval of 0.01 seconds"}


async def test_an_error_does_not_end_the_loop(
    context: ActionContext, leases: Leases, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        raise RuntimeError("boom")

    probe, other = Probe(work), Probe(name="Other")
    runner = runner_of(context, leases, probe, other, seconds=0.01)
    runner.start()
    await wait_until(lambda: probe.passes >= 2 and other.passes >= 2, seconds=10, what="two passes each")
    await runner.stop()
    failed = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert failed.exc_info is not None
    assert "boom" in caplog.text


async def test_stop_waits_for_the_pass(context: ActionContext, leases: Leases) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        await may_end.wait()

    probe = Probe(work)
    runner = runner_of(context, leases, probe)
    runner.start()
    await began.wait()
    stopping = asyncio.create_task(runner.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    may_end.set()
    await stopping


async def test_stop_cancels_a_pass_that_does_not_end(
    context: ActionContext, leases: Leases, caplog: pytest.LogCaptureFixture
) -> None:
    began = asyncio.Event()
    ended: list[str] = []

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    runner = Runner([Probe(work)], context, leases=leases, grace=Grace(timedelta(minutes=10)), stop_seconds=0.05)
    runner.start()
    await began.wait()
    with caplog.at_level(logging.WARNING):
        await runner.stop()
    assert ended == ["cancelled"]
    assert [record.getMessage() for record in caplog.records] == ["Probe was cut short: the towel stops"]


@pytest.mark.parametrize("rounds", range(5))
async def test_stop_may_come_as_soon_as_the_start(
    context: ActionContext, leases: Leases, caplog: pytest.LogCaptureFixture, rounds: int
) -> None:
    runner = runner_of(context, leases, Probe())
    runner.start()
    for _ in range(rounds):
        await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING):
        await runner.stop()
    assert caplog.records == []


@pytest.mark.parametrize("seconds", [0, -1])
async def test_an_interval_must_be_positive(context: ActionContext, leases: Leases, seconds: float) -> None:
    with pytest.raises(ConfigError, match="Probe"):
        runner_of(context, leases, Probe(), seconds=seconds)


async def test_debug_mode_makes_every_interval_a_second(database_url: str) -> None:
    plain = create_towel(Settings(), database_url, environ={}).runner.intervals
    assert plain == {
        **{"scheduler": 150.0, "lazarus": 600.0, "zombie_killer": 120.0},
        **{"removal": 10.0, "retention": 300.0, "statistics": 10.0},
    }
    debug = create_towel(Settings(), database_url, environ={DEBUG_VARIABLE: ""}).runner.intervals
    assert set(debug.values()) == {1.0}


async def test_one_of_several_towels_runs_a_loop(context: ActionContext, database_url: str) -> None:
    """The others ask again at each tick; when the first is gone, the next one that asks takes over."""
    async with lease_database(database_url) as one, lease_database(database_url) as two:
        first, second, other = Probe(), Probe(), Probe(name="Another")
        held, waiting = Leases(one), Leases(two)
        leader, follower = runner_of(context, held, first), runner_of(context, waiting, second, other)
        for _ in range(3):
            assert await leader.tick(first) == {"things": 1}
            assert await follower.tick(second) is None
        assert await follower.tick(other) == {"things": 1}
        await leader.stop()
        assert await follower.tick(second) == {"things": 1}
        assert await leader.tick(first) is None
        assert (first.passes, second.passes) == (3, 1)
        await held.release()
        await waiting.release()


async def test_three_towels_make_each_pass_once(context: ActionContext, database_url: str) -> None:
    """demands.md 38: per interval one pass of each loop in total, whichever towel ticks first."""
    names = ("one", "two", "three")
    async with AsyncExitStack() as stack:
        runners: list[Runner] = []
        loops = [[Probe(name=name) for name in names] for _ in range(3)]
        for own in loops:
            leases = Leases(await stack.enter_async_context(lease_database(database_url)))
            stack.push_async_callback(leases.release)
            runners.append(runner_of(context, leases, *own))
        for interval in range(3):
            order = runners[interval:] + runners[:interval]
            await asyncio.gather(*(runner.tick(loop) for runner in order for loop in loops[runners.index(runner)]))
            for index in range(len(names)):
                assert sum(own[index].passes for own in loops) == interval + 1
        leaders = [[loop["leader"] for loop in runner.health().values()] for runner in runners]
        assert [sum(column) for column in zip(*leaders, strict=True)] == [1, 1, 1]


async def test_a_held_lease_is_in_nobodys_way(leases: Leases, database_url: str) -> None:
    """Its transaction idles without a snapshot: nothing keeps dead rows, and an index can be built meanwhile."""
    for _ in range(2):
        assert await leases.hold("x")
    async with connected(database_url) as connection:
        [held] = await connection.fetch(
            "SELECT state, backend_xmin, backend_xid FROM pg_stat_activity JOIN pg_locks USING (pid)"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        assert tuple(held) == ("idle in transaction", None, None)
        await connection.execute("SET statement_timeout = '20s'")
        await connection.execute("CREATE INDEX CONCURRENTLY ix_test_of_the_lease ON log (name)")
        await connection.execute("DROP INDEX CONCURRENTLY ix_test_of_the_lease")
    assert await leases.hold("x")


async def test_a_leader_that_loses_its_connection_loses_the_lock(context: ActionContext, database_url: str) -> None:
    async with lease_database(database_url) as one, lease_database(database_url) as two:
        held, waiting = Leases(one), Leases(two)
        assert await held.hold("x")
        assert not await waiting.hold("x")
        await waiting.release()
        async with connected(database_url) as connection:
            await terminate(
                connection,
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
        assert await waiting.hold("x")
        with pytest.raises(Unavailable):
            await held.hold("x")
        assert not await held.hold("x")
        await waiting.release()
        assert await held.hold("x")
        await held.release()


async def test_an_outage_is_survived_and_believed_to_have_silenced_the_runs(
    database: Database, database_url: str, leases: Leases, caplog: pytest.LogCaptureFixture
) -> None:
    """Row 8: no task run is killed right after the database was away, but all that stay silent are later."""
    time = Time()
    context = ActionContext(database=database, clock=time)
    flow = await make_flow(database, tasks=1)
    run = await make_flow_run(database, flow, state="Running")
    await execute(database, "UPDATE flow_run SET heartbeat = $2 WHERE id = $1", run, NOW - timedelta(minutes=30))
    await execute(database, "UPDATE task_run SET state = 'Running'")
    killer = ZombieKiller()
    runner = Runner([killer], context, leases=leases, grace=Grace(timedelta(minutes=10)))

    for minute in (0, 5, 9):
        time.now = NOW + timedelta(minutes=minute)
        assert await runner.tick(killer) == {"task_runs": 0, "flow_runs": 0}
    async with connected(database_url) as connection:
        await disconnect(connection, await connection.fetchval("SELECT current_database()"))
    time.now = NOW + timedelta(minutes=10)
    assert await runner.tick(killer) is None
    assert "the database cannot be reached" in caplog.text.lower()
    for minute in (11, 16, 20):
        time.now = NOW + timedelta(minutes=minute)
        assert await runner.tick(killer) == {"task_runs": 0, "flow_runs": 0}
    time.now = NOW + timedelta(minutes=21)
    assert await runner.tick(killer) == {"task_runs": 1, "flow_runs": 0}


class SilenceProbe(Probe):
    """Notes since when it was told that silence counts."""

    def __init__(self) -> None:
        super().__init__(name="SilenceProbe")
        self.told: list[datetime | None] = []

    async def run_since(self, context: ActionContext, *, counts_from: datetime | None) -> Mapping[str, int]:
        self.told.append(counts_from)
        return {}


async def test_a_deadlock_is_no_outage(context: ActionContext, leases: Leases) -> None:
    time = Time()
    context = replace(context, clock=time)

    async def deadlock() -> None:
        raise Unavailable("The database cannot be reached; try again.")

    unlucky, killer = Probe(deadlock, name="Unlucky"), SilenceProbe()
    runner = Runner([unlucky, killer], context, leases=leases, grace=Grace(timedelta(minutes=10)))
    for minute in (0, 5, 10):
        time.now = NOW + timedelta(minutes=minute)
        assert await runner.tick(unlucky) is None
    await runner.tick(killer)
    assert killer.told == [NOW]


async def test_three_towels_do_the_work_once(database: Database, database_url: str) -> None:
    flows = [
        await make_flow(
            database,
            schedule={"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000}]},
            is_schedule_active=True,
        )
        for _ in range(4)
    ]
    settings = Settings(towel=TowelSettings(scheduler_interval_seconds=0.05), database=DatabaseSettings(pool_size=2))
    towels = [Towel(settings, database_url, loops=[Scheduler()]) for _ in range(3)]
    await asyncio.gather(*(towel.start() for towel in towels))

    async def planned() -> bool:
        return len(await fetch_all(database, "SELECT 1 FROM flow_run_state")) == 10 * len(flows)

    await wait_until(planned, seconds=20, what="ten runs of each flow")
    await asyncio.gather(*(towel.stop() for towel in towels))
    assert await planned()
    assert len(await fetch_all(database, "SELECT 1 FROM flow_run")) == 10 * len(flows)


async def test_a_whole_towel_starts_and_stops(database_url: str) -> None:
    towel = create_towel(replace(Settings(), database=DatabaseSettings(pool_size=2)), database_url, environ={})
    async with asyncio.timeout(10):
        await towel.start()
        await towel.stop()
