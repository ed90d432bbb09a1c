"""Silence counts only from when clients could reach the server (demands.md row 8)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.presence import note_presence, reachable_since
from server_core.config import DatabaseSettings, Settings
from server_core.db.session import Database
from server_core.wire import GATEWAY_SIGN, GraphQLRequest, GraphQLResponse
from services.gateway.app import create_app
from services.graphql.app import ActionService
from services.graphql.presence import Presence
from services.towel.grace import Grace
from services.towel.lease import Leases
from services.towel.loops.zombie_killer import ZombieKiller
from services.towel.runner import Runner
from tests.service.towel.test_runner import NOW, SilenceProbe, Time, lease_database
from tests.support.factories import Flow, insert_task_run_state
from tests.support.gateway import data_service
from tests.support.rows import execute, fetch_all, fetch_one, make_flow, make_flow_run, task_runs_of
from tests.support.waiting import wait_until

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def leases(database_url: str) -> AsyncIterator[Leases]:
    async with lease_database(database_url) as opened:
        made = Leases(opened)
        yield made
        await made.release()


async def age(database: Database, **intervals: timedelta) -> None:
    """Put times of the row back, as if the note had been made then."""
    for column, interval in intervals.items():
        assert await execute(database, f"UPDATE service_presence SET {column} = {column} - $1::interval", interval) >= 1


async def reachable_for(context: ActionContext) -> timedelta | None:
    since = await reachable_since(replace(context, clock=lambda: NOW))
    return None if since is None else NOW - since


async def test_nobody_can_say_before_the_first_note(context: ActionContext) -> None:
    assert await reachable_for(context) is None


async def test_notes_without_a_gap_are_one_presence(context: ActionContext, database: Database) -> None:
    await note_presence(context, service="gateway")
    await age(database, since=60 * MINUTE, seen=timedelta(seconds=25))
    await note_presence(context, service="gateway")
    assert timedelta(hours=1) <= (await reachable_for(context) or timedelta()) < timedelta(hours=1, minutes=5)


@pytest.mark.parametrize("gap", [timedelta(seconds=31), 30 * MINUTE, -5 * MINUTE])
async def test_a_gap_or_a_clock_put_back_begins_a_new_one(
    context: ActionContext, database: Database, gap: timedelta
) -> None:
    await note_presence(context, service="gateway")
    await age(database, since=60 * MINUTE, seen=gap)
    if gap > timedelta():
        assert await reachable_for(context) == timedelta()
    await note_presence(context, service="gateway")
    assert await reachable_for(context) < 5 * MINUTE  # type: ignore[operator]


async def test_who_was_away_for_a_day_is_forgotten(context: ActionContext, database: Database) -> None:
    await note_presence(context, service="gateway")
    await age(database, since=26 * 60 * MINUTE, seen=25 * 60 * MINUTE)
    assert await reachable_for(context) is None


async def test_a_towel_goes_by_the_notes_else_by_what_it_knows(
    context: ActionContext, database: Database, leases: Leases
) -> None:
    """A towel that is restarted alone does not begin anew; nor does one that was there all along end the absence."""
    time, probe = Time(), SilenceProbe()
    runner = Runner([probe], replace(context, clock=time), leases=leases, grace=Grace(10 * MINUTE))
    await runner.tick(probe)
    time.now += 5 * MINUTE
    await runner.tick(probe)
    await note_presence(context, service="gateway")
    await age(database, since=60 * MINUTE)
    await runner.tick(probe)
    await age(database, seen=10 * MINUTE)
    await runner.tick(probe)
    assert probe.told[:2] == [NOW, NOW]
    assert -5 * MINUTE < (probe.told[2] or NOW) - (time.now - 60 * MINUTE) <= timedelta()
    assert probe.told[3] == time.now


async def test_a_gateway_that_was_away_kills_nobody(context: ActionContext, database: Database, leases: Leases) -> None:
    """30 minutes without a way in, towel and database up: 0 kills after it; whose client died ends a limit later."""
    flow: Flow = await make_flow(database, tasks=1)
    killer, time = ZombieKiller(), Time()
    runner = Runner([killer], replace(context, clock=time), leases=leases, grace=Grace(10 * MINUTE))

    async def started() -> tuple[UUID, UUID]:
        run = await make_flow_run(database, flow, state="Running")
        [task_run] = await task_runs_of(database, run)
        async with database.transaction() as session:
            await insert_task_run_state(session, task_run_id=task_run, state="Running", version=2)
        return run, task_run

    async def beat(run: UUID, at: datetime) -> None:
        await execute(database, "UPDATE flow_run SET heartbeat = $2 WHERE id = $1", run, at)

    async def killed() -> int:
        return (await runner.tick(killer) or {})["task_runs"]

    (living, its_task), (dead, dead_task) = await started(), await started()
    for run in (living, dead):
        await beat(run, NOW)
    await note_presence(context, service="gateway")
    await age(database, since=60 * MINUTE)
    assert await killed() == 0

    await age(database, seen=30 * MINUTE)
    time.now += 30 * MINUTE
    assert await killed() == 0, "nobody can come in"
    await note_presence(context, service="gateway")
    assert await killed() == 0, "just come back"

    await age(database, since=9 * MINUTE)
    time.now += 9 * MINUTE
    await beat(living, time.now)
    assert await killed() == 0
    await age(database, since=2 * MINUTE)
    time.now += 2 * MINUTE
    assert await killed() == 1
    assert (await fetch_one(database, "task_run", dead_task))["state"] == "Failed"
    assert (await fetch_one(database, "task_run", its_task))["state"] == "Running"


async def is_noted() -> bool:
    """Say whether a note is being made, and wait for it."""
    notes = [task for task in asyncio.all_tasks() if task.get_name() == "presence"]
    await asyncio.gather(*notes)
    return bool(notes)


async def test_signs_are_noted_once_in_a_while(context: ActionContext, database: Database) -> None:
    seconds = [0.0]
    presence = Presence(context, every_seconds=5, clock=lambda: seconds[0])
    noted, seen = [], []
    for now in (0, 1, 4.9, 5, 9.9, 10):
        seconds[0] = now
        presence.reached()
        noted.append(await is_noted())
        seen.append((await fetch_all(database, "SELECT seen FROM service_presence"))[0]["seen"])
    assert noted == [True, False, False, True, False, True]
    assert seen[0] == seen[2] < seen[3] == seen[4] < seen[5]
    await presence.stop()


async def test_a_note_that_cannot_be_made_fails_nothing(caplog: pytest.LogCaptureFixture) -> None:
    presence = Presence(ActionContext(database=Database("postgresql://nobody@127.0.0.1:1/none")))
    presence.reached()
    assert await is_noted()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_the_gateway_shows_that_clients_can_come_in(context: ActionContext, database_url: str) -> None:
    """With no client at all."""
    settings = Settings(database=DatabaseSettings(pool_size=2))
    actions = ActionService(settings, database_url)
    asked: list[str] = []

    class Heard(ActionService):
        async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
            asked.append(request.query)
            return await actions.execute(request)

    app = create_app(settings, data=data_service(), actions=Heard(settings, database_url), touch_seconds=0.01)
    async with app.router.lifespan_context(app):
        await wait_until(lambda: asked.count(GATEWAY_SIGN) >= 2, seconds=20, what="two signs of the gateway")
        await wait_until(lambda: reachable_since(context), seconds=20, what="a note")


async def test_a_service_without_a_gateway_shows_itself(context: ActionContext, database: Database) -> None:
    """Nobody calls it: the last client died, and its run must end all the same."""
    presence = Presence(context, every_seconds=0.01)
    presence.start()
    try:
        await wait_until(lambda: reachable_since(context), seconds=20, what="a note")
    finally:
        await presence.stop()
    assert [row["service"] for row in await fetch_all(database, "SELECT service FROM service_presence")] == ["graphql"]


async def test_calls_of_clients_say_nothing_of_the_way_in(database: Database, database_url: str) -> None:
    """One that calls the service itself, more seldom than there are signs, would look like absences of the gateway."""
    service = ActionService(Settings(database=DatabaseSettings(pool_size=2)), database_url)
    await service.start()
    try:
        await service.execute(GraphQLRequest(query="{ hello }"))
        assert not await is_noted()
        assert (await service.execute(GraphQLRequest(query=GATEWAY_SIGN))).body == b'{"data":{"gateway":"Query"}}'
        assert await is_noted()
    finally:
        await service.stop()
    assert "gateway" in [row["service"] for row in await fetch_all(database, "SELECT service FROM service_presence")]


@pytest.mark.parametrize(
    ("away", "reachable"), [(MINUTE, timedelta()), (25 * 60 * MINUTE, 60 * MINUTE)], ids=["a minute", "a day"]
)
async def test_the_service_itself_counts_where_there_is_no_gateway(
    context: ActionContext, database: Database, away: timedelta, reachable: timedelta
) -> None:
    """Not where one is only away: then no client can come in, though the service is there."""
    await note_presence(context, service="gateway")
    await age(database, seen=away)
    await note_presence(context, service="graphql")
    await age(database, since=60 * MINUTE)
    assert reachable <= (await reachable_for(context) or timedelta()) < reachable + 5 * MINUTE
