"""Towels that are killed with SIGKILL at random points, one after the other. Run by tests/service/towel/test_crashes.

    python -m tests.support.crashing_towel DSN SEED KILLS

Each towel is a fork of this process, which has everything imported: it takes the leases and makes passes of the
scheduler, the zombie killer and lazarus, one hour of its clock apart, so that flows keep becoming due. Before each pass
it makes a few runs look as if their processes had died. Prints as JSON how many kills met a towel within a pass.
"""

import asyncio
import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from datetime import UTC, datetime, timedelta

from server_core.actions.context import ActionContext
from server_core.config import Settings, TowelSettings
from server_core.db.session import Database
from services.towel.lease import Leases
from services.towel.loops.lazarus import Lazarus
from services.towel.loops.scheduler import Scheduler
from services.towel.loops.zombie_killer import ZombieKiller

START = datetime(2030, 1, 1, 0, 30, tzinfo=UTC)
LONGEST_LIFE = 0.3
"""Seconds from its first pass to the kill, at most."""

SPARED = 10
"""Every so many towels one lives to the end of an hour, if a busy machine has not let the others get that far."""

SETTINGS = Settings(towel=TowelSettings(max_scheduled_runs_per_flow=3))

_FALL_SILENT = (
    """
    INSERT INTO flow_run_state (flow_run_id, tenant_id, state, version, serialized_state)
    SELECT id, tenant_id, 'Running', version + 1, '{"type": "Running"}'
    FROM flow_run WHERE state = 'Scheduled' ORDER BY times_resurrected DESC, scheduled_start_time LIMIT 3
    """,
    """
    INSERT INTO task_run_state (task_run_id, tenant_id, state, version, serialized_state)
    SELECT task_run.id, task_run.tenant_id, 'Running', task_run.version + 1, '{"type": "Running"}'
    FROM flow_run JOIN task_run ON task_run.flow_run_id = flow_run.id AND task_run.state = 'Pending'
    WHERE flow_run.state = 'Running' AND flow_run.heartbeat IS NULL
    LIMIT 1
    """,
    "UPDATE flow_run SET heartbeat = '2020-01-01' WHERE state = 'Running' AND heartbeat IS NULL",
)


class Shared:
    """What a towel tells the process that kills it: whether it is within a pass, and the hours of its clock."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    def set(self, *, working: bool, hours: int) -> None:
        """Write both."""
        self._memory[:16] = struct.pack("qq", working, hours)

    @property
    def working(self) -> bool:
        """It is within a pass."""
        return bool(struct.unpack("qq", self._memory[:16])[0])

    @property
    def hours(self) -> int:
        """How many hours its clock has gone."""
        return int(struct.unpack("qq", self._memory[:16])[1])


async def work(dsn: str, shared: Shared) -> None:
    """Make passes until the end comes."""
    async with Database(dsn) as database:
        leases = Leases(database)
        loops = (Scheduler(), ZombieKiller(), Lazarus())
        while True:
            now = START + timedelta(hours=shared.hours)
            context = ActionContext(database=database, settings=SETTINGS, clock=lambda now=now: now)  # type: ignore[misc]
            async with database.transaction() as session:
                for statement in _FALL_SILENT:
                    await session.execute(statement)
            for loop in loops:
                if await leases.hold(loop.name):
                    shared.set(working=True, hours=shared.hours)
                    await loop.run_once(context)
                    shared.set(working=False, hours=shared.hours)
            shared.set(working=False, hours=shared.hours + 1)


def main() -> None:
    """Start and kill towels."""
    dsn, seed, kills = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(seed)
    shared = Shared()
    within = spared = 0
    for number in range(kills):
        shared.set(working=False, hours=shared.hours)
        towel = os.fork()
        if towel == 0:
            asyncio.run(work(dsn, shared))
        deadline = time.monotonic() + 20
        while not shared.working and time.monotonic() < deadline:
            time.sleep(0.001)
        if number % SPARED == SPARED - 1:
            while shared.hours == spared and time.monotonic() < deadline:
                time.sleep(0.001)
            spared = shared.hours
        time.sleep(draw.uniform(0, LONGEST_LIFE))
        within += shared.working
        os.kill(towel, signal.SIGKILL)
        os.waitpid(towel, 0)
    print(json.dumps({"within": within, "hours": shared.hours}))


if __name__ == "__main__":
    main()
