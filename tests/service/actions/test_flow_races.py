"""Verbs on one flow group at once, as clients, people and the towel call them: none loses, doubles or deadlocks."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from server_core.actions import flow_groups, flows, registration, runs
from server_core.actions.context import ActionContext
from server_core.actions.schedules import schedule_flow_runs
from server_core.config import DatabaseSettings
from server_core.db.session import Database
from server_core.errors import InvalidInput, NotFound
from server_core.rules.schedules.groups import CronClockInput
from tests.support import factories
from tests.support.rows import fetch_all

HOURLY = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None}]}
FLOW = {"name": "f", "schedule": HOURLY, "tasks": [{"slug": "a"}, {"slug": "b"}]}
ROUNDS = 6
AT_ONCE = 12

Verb = Callable[[UUID], Awaitable[Any]]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_everything_at_once(database_url: str, seed: int) -> None:
    chosen = random.Random(seed)
    async with Database(database_url, DatabaseSettings(pool_size=AT_ONCE)) as database:
        context = ActionContext(database=database)
        async with database.transaction() as session:
            tenant = await factories.make_tenant(session)

        async def register(_: UUID | None = None) -> UUID:
            return await registration.create_flow(
                context, project_id=tenant.project_id, serialized_flow=FLOW, version_group_id="g"
            )

        known = [await register()]
        [group] = await fetch_all(database, "SELECT id FROM flow_group")
        verbs: list[Verb] = [
            register,
            register,
            lambda flow_id: flows.archive_flow(context, flow_id=flow_id),
            lambda flow_id: flows.set_schedule_active(context, flow_id=flow_id),
            lambda flow_id: flows.set_schedule_inactive(context, flow_id=flow_id),
            lambda flow_id: flows.delete_flow(context, flow_id=flow_id),
            lambda flow_id: flows.set_flow_heartbeat(context, flow_id=flow_id, enabled=False),
            lambda _: flow_groups.set_flow_group_settings(
                context, flow_group_id=group["id"], settings={"heartbeat_enabled": None}
            ),
            lambda flow_id: runs.create_flow_run(context, flow_id=flow_id),
            lambda flow_id: schedule_flow_runs(context, flow_ids=[flow_id, *known]),
            lambda flow_id: registration.register_tasks(
                context, flow_id=flow_id, serialized_tasks=[{"slug": "c"}, {"slug": "a"}]
            ),
            lambda _: flow_groups.delete_flow_group_schedule(context, flow_group_id=group["id"]),
            lambda _: flow_groups.set_flow_group_schedule(
                context, flow_group_id=group["id"], cron_clocks=[CronClockInput(cron="5 * * * *")]
            ),
        ]
        for _ in range(ROUNDS):
            calls = [chosen.choice(verbs)(chosen.choice(known[-3:])) for _ in range(AT_ONCE)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            unexpected = [
                outcome
                for outcome in outcomes
                if isinstance(outcome, BaseException) and not isinstance(outcome, InvalidInput | NotFound)
            ]
            assert unexpected == []
            known = [row["id"] for row in await fetch_all(database, "SELECT id FROM flow ORDER BY version")] or [
                await register()
            ]
        await check(database)


async def check(database: Database) -> None:
    """What must hold afterwards, whatever happened."""
    rows = await fetch_all(database, "SELECT id, version, archived, is_schedule_active FROM flow ORDER BY version")
    versions = [row["version"] for row in rows]
    assert len(set(versions)) == len(versions)
    assert len(await fetch_all(database, "SELECT 1 FROM flow_group")) == 1
    assert sum(not row["archived"] for row in rows) <= 1
    planned = await fetch_all(
        database,
        """
        SELECT f.archived, f.is_schedule_active FROM flow_run r JOIN flow f ON f.id = r.flow_id
        WHERE r.state = 'Scheduled' AND r.auto_scheduled
        """,
    )
    assert all(row["is_schedule_active"] and not row["archived"] for row in planned)
    doubled = await fetch_all(
        database,
        "SELECT 1 FROM flow_run WHERE auto_scheduled GROUP BY flow_id, scheduled_start_time HAVING count(*) > 1",
    )
    assert doubled == []
    unfinished = await fetch_all(
        database, "SELECT 1 FROM flow_run r JOIN flow f ON f.id = r.flow_id WHERE r.state IS NULL"
    )
    assert unfinished == []
    in_document = await fetch_all(
        database,
        """
        SELECT f.id FROM flow f
        WHERE (SELECT count(*) FROM task t WHERE t.flow_id = f.id) <> jsonb_array_length(f.serialized_flow -> 'tasks')
        """,
    )
    assert in_document == []
