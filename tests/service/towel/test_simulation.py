"""A month of passes, changes and kills makes the runs that the algorithm without memory makes (actions.md §5.2).

The scheduler remembers when to look at a flow again; the model here remembers nothing but the runs, and evaluates every
schedule at every pass.
"""

import asyncio
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import pytest

from server_core.actions import flow_groups, flows
from server_core.actions.context import ActionContext
from server_core.config import Settings, TowelSettings
from server_core.db.session import Database
from server_core.rules.schedules.document import parse_schedule
from server_core.rules.schedules.groups import CronClockInput, group_schedule_document
from server_core.rules.schedules.keys import idempotency_key
from services.towel.loops.scheduler import Scheduler
from tests.support.rows import execute, fetch_all, make_flow
from tests.support.schedule_cases import random_cases

QUIET = datetime(2020, 5, 10, 11, 30, tzinfo=UTC)
"""No clock changes in the month that follows, in any zone of the schedules."""

CHANGING = datetime(2020, 3, 6, 11, 30, tzinfo=UTC)
"""Within that month clocks go forward in New York and in Paris, and back on Lord Howe. Cron clocks are left out: on the
day of a change the client finds another next event at every hour, so that what is planned depends on when one looks."""

SEED = int(os.environ.get("SIMULATION_SEED", "22"))
FLOWS = int(os.environ.get("SIMULATION_FLOWS", "8"))
"""With a hundred it runs for minutes, and finds what is rare."""

PASSES = 20
MONTH = timedelta(days=30)
AHEAD = 4

Document = dict[str, Any]


@dataclass(kw_only=True)
class Model:
    """A flow as the legacy server would plan it: its schedules, its switch, and the start times of its runs by key."""

    id: UUID
    group_id: UUID
    schedule: Document
    group_schedule: Document | None = None
    active: bool = True
    waiting: dict[str, datetime] = field(default_factory=dict)
    over: dict[str, datetime] = field(default_factory=dict)
    """Runs that an agent took: turning the schedule off leaves them."""

    @property
    def runs(self) -> dict[str, datetime]:
        """All planned runs."""
        return self.waiting | self.over

    def plan(self, now: datetime, count: int) -> None:
        """Do what §5.2 says of one flow at one pass."""
        if not self.active:
            return
        known = self.runs
        last = max(known.values(), default=now)
        for event in parse_schedule(self.group_schedule or self.schedule).next(count, after=now, inclusive=True):
            own = bool(event.parameter_defaults) or event.labels is not None
            key = idempotency_key(event.start_time, event.parameter_defaults, event.labels)
            if (own or event.start_time > last) and key not in known:
                self.waiting[key] = event.start_time

    def take(self, now: datetime) -> None:
        """Let agents take what is due."""
        due = {key: time for key, time in self.waiting.items() if time <= now}
        self.over |= due
        self.waiting = {key: time for key, time in self.waiting.items() if key not in due}


@pytest.mark.parametrize("start", [QUIET, CHANGING], ids=["quiet", "changing"])
async def test_a_month_of_passes_at_random_moments(database: Database, start: datetime) -> None:
    draw = random.Random(SEED)
    source = schedules(SEED, start)
    models = [await make_model(database, document) for document in islice(source, FLOWS)]
    now = start
    for number in range(PASSES):
        context = ActionContext(
            database=database,
            settings=Settings(towel=TowelSettings(max_scheduled_runs_per_flow=AHEAD)),
            clock=lambda now=now: now,  # type: ignore[misc]
        )
        where = f"seed {SEED}, pass {number} at {now}"
        await take_due(database, now)
        for model in models:
            model.take(now)
        for _ in range(draw.choice([0, 0, 1, 3])):
            await change(draw, context, draw.choice(models), source)
        await passes(draw, context)
        for model in models:
            model.plan(now, AHEAD)
        await compare(database, models, where)
        now += MONTH / PASSES * draw.expovariate(1) + timedelta.resolution


def schedules(seed: int, start: datetime) -> Iterator[Document]:
    """Yield random schedules whose events do not depend on when one looks."""
    for case in random_cases(seed=seed, count=10**6):
        if start == QUIET or all(clock["type"] != "CronClock" for clock in case["document"]["clocks"]):
            yield case["document"]


async def make_model(database: Database, schedule: Document) -> Model:
    """Insert a flow whose schedule is on, and return it as it should be."""
    flow = await make_flow(database, schedule=schedule, is_schedule_active=True)
    return Model(id=flow.id, group_id=flow.flow_group_id, schedule=schedule)


async def take_due(database: Database, now: datetime) -> None:
    await execute(
        database,
        "INSERT INTO flow_run_state (flow_run_id, state, version, serialized_state)"
        " SELECT id, 'Success', version + 1, '{}' FROM flow_run"
        " WHERE state = 'Scheduled' AND scheduled_start_time <= $1",
        now,
    )


async def change(draw: random.Random, context: ActionContext, model: Model, source: Iterator[Document]) -> None:
    """Do to a flow, and to its model, what users do."""
    now = context.clock()
    match draw.choice(["off", "on", "group", "no group", "delete", "own"]):
        case "off":
            await flows.set_schedule_inactive(context, flow_id=model.id)
            model.active, model.waiting = False, {}
        case "on":
            await flows.set_schedule_active(context, flow_id=model.id)
            model.active = True
            model.plan(now, flows.RUNS_AT_ACTIVATION)
        case "group":
            cron = draw.choice(["0 9 * * *", "30 */5 * * *", "15 3 * * 1"])
            zone = draw.choice([None, "Asia/Tokyo"])
            clocks = [CronClockInput(cron=cron)]
            await flow_groups.set_flow_group_schedule(
                context, flow_group_id=model.group_id, cron_clocks=clocks, timezone=zone
            )
            model.group_schedule = group_schedule_document(
                cron_clocks=clocks, interval_clocks=[], timezone=zone, now=now
            )
            model.waiting = {}
            model.plan(now, AHEAD)
        case "no group":
            await flow_groups.delete_flow_group_schedule(context, flow_group_id=model.group_id)
            model.group_schedule, model.waiting = None, {}
        case "delete":
            for key in draw.sample(sorted(model.waiting), min(2, len(model.waiting))):
                await execute(
                    context.database, "DELETE FROM flow_run WHERE flow_id = $1 AND idempotency_key = $2", model.id, key
                )
                del model.waiting[key]
        case _:
            model.schedule = next(source)
            await execute(context.database, "UPDATE flow SET schedule = $2 WHERE id = $1", model.id, model.schedule)


async def passes(draw: random.Random, context: ActionContext) -> None:
    """Make a pass, after some that are cut short or at the same time as others."""
    for _ in range(draw.choice([0, 0, 1, 2])):
        killed = asyncio.create_task(Scheduler(batch=5).run_once(context))
        await asyncio.wait([killed], timeout=draw.uniform(0, 0.03))
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
    await asyncio.gather(*(Scheduler(batch=5).run_once(context) for _ in range(draw.choice([1, 1, 3]))))
    await Scheduler().run_once(context)


async def compare(database: Database, models: Iterable[Model], where: str) -> None:
    rows = await fetch_all(
        database, "SELECT flow_id, idempotency_key, state, state_message, auto_scheduled, version FROM flow_run"
    )
    found: dict[UUID, dict[str, Any]] = {}
    for row in rows:
        assert row["auto_scheduled"], where
        assert row["state"] in ("Scheduled", "Success"), where
        found.setdefault(row["flow_id"], {})[row["idempotency_key"]] = row["state"]
    assert len(rows) == sum(map(len, found.values())), where
    for model in models:
        have = found.get(model.id, {})
        want = dict.fromkeys(model.waiting, "Scheduled") | dict.fromkeys(model.over, "Success")
        assert have == want, (where, model.schedule, model.group_schedule, sorted(set(want) ^ set(have))[:5])
