"""What a tick of each maintenance loop costs while the tables double and the work stays the same.

    python -m bench.towel [--full 10000] [--json FILE] [--dsn DSN]      (or `just bench towel`)

Without a DSN it runs on an embedded Postgres in a temporary folder; a given database must be empty. At full size there
are 10 000 active flows, 100 flow runs each, and 100 000 running tasks whose flow run is silent. A tick whose cost is
proportional to what it changes takes as long at each size: the ratios are about 1.
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from server_core.actions.context import ActionContext
from server_core.config import Settings, TowelSettings
from server_core.db.embedded import EmbeddedPostgres
from server_core.db.migrate import upgrade
from server_core.db.session import Database
from services.towel.app import LOOPS
from services.towel.loop import Loop
from services.towel.loops.lazarus import Lazarus
from services.towel.loops.scheduler import Scheduler
from services.towel.loops.zombie_killer import ZombieKiller

FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "512MB"}
SIZES = (0.25, 0.5, 1.0)
ROUNDS = 3

DUE_FLOWS = 100
LATE_RUNS = 200
STALLED_RUNS = 200
SILENT_TASKS = 500
RUNS_PER_FLOW = 100
TASKS_PER_SILENT_RUN = 10

HOURLY = '{"clocks": [{"type": "IntervalClock", "interval": 3600000000, "start_date": null}]}'

# Rows are put in as they are: no triggers, no checks. Numbers $1 and $2 bound what is new.
FLOWS = (
    """
    INSERT INTO flow_group (tenant_id, name)
    SELECT tenant.id, 'group-' || n FROM tenant, generate_series($1::int, $2::int) AS n
    """,
    f"""
    INSERT INTO flow (tenant_id, project_id, flow_group_id, name, version, version_group_id, schedule,
                      is_schedule_active, parameters, environment)
    SELECT g.tenant_id, project.id, g.id, g.name, 1, g.name, '{HOURLY}', true, '[]', '{{}}'
    FROM generate_series($1::int, $2::int) AS n JOIN flow_group AS g ON g.name = 'group-' || n CROSS JOIN project
    """,
    """
    INSERT INTO task (tenant_id, flow_id, name, slug, max_retries)
    SELECT tenant_id, id, 'task', 'task', 3 FROM flow
    WHERE name IN (SELECT 'group-' || n FROM generate_series($1::int, $2::int) AS n)
    """,
)
"""Active flows of one task, planned every hour."""

_GROW = (
    *FLOWS,
    f"""
    INSERT INTO flow_run (tenant_id, flow_id, name, auto_scheduled, scheduled_start_time, idempotency_key, state,
                          version, state_timestamp, state_start_time, start_time, end_time, heartbeat,
                          serialized_state, updated)
    SELECT tenant_id, id, 'past', true, t, 'auto-scheduled:past-' || t, 'Success', 4, t, NULL, t, t, t, '{{}}', t
    FROM flow, generate_series(1, {RUNS_PER_FLOW}) AS k,
        LATERAL (SELECT date_trunc('hour', now()) - k * interval '1 hour' AS t) AS past
    WHERE flow.name IN (SELECT 'group-' || n FROM generate_series($1::int, $2::int) AS n)
    """,
    f"""
    WITH silent AS (
        INSERT INTO flow_run (tenant_id, flow_id, name, state, version, heartbeat, start_time, updated)
        SELECT tenant_id, id, 'silent', 'Running', 3, now() - interval '1 day', now() - interval '1 day', now()
        FROM flow
        WHERE name IN (SELECT 'group-' || n FROM generate_series($1::int, $2::int) AS n)
        RETURNING id, flow_id, tenant_id
    )
    INSERT INTO task_run (tenant_id, flow_run_id, task_id, map_index, state, version, heartbeat)
    SELECT silent.tenant_id, silent.id, task.id, k, 'Running', 2, now() - interval '1 day'
    FROM silent JOIN task ON task.flow_id = silent.flow_id, generate_series(1, {TASKS_PER_SILENT_RUN}) AS k
    """,
    """
    INSERT INTO flow_plan (flow_id, due, horizon) SELECT id, now() + interval '1 day', 10 FROM flow
    WHERE name IN (SELECT 'group-' || n FROM generate_series($1::int, $2::int) AS n)
    """,
)

_DUE = (
    f"UPDATE flow_plan SET horizon = 0 WHERE id IN (SELECT id FROM flow_plan WHERE due < 'infinity' LIMIT {DUE_FLOWS})"
)
_UNPLAN = "DELETE FROM flow_run WHERE auto_scheduled AND state = 'Scheduled'"

_LATE = f"""
    INSERT INTO flow_run (tenant_id, flow_id, name, auto_scheduled, scheduled_start_time, idempotency_key, state,
                          version, state_start_time, serialized_state)
    SELECT tenant_id, id, 'late', true, t, 'auto-scheduled:' || gen_random_uuid() || '+00:00', 'Scheduled', 1, t, '{{}}'
    FROM (SELECT tenant_id, id FROM flow WHERE name = 'group-1') AS flow, generate_series(0, {LATE_RUNS}) AS k,
        LATERAL (SELECT now() - interval '1 minute' - k * interval '1 second' AS t) AS late
"""
_STALLED = f"""
    INSERT INTO flow_run (tenant_id, flow_id, name, state, version, heartbeat, serialized_state, updated)
    SELECT tenant_id, id, 'stalled', 'Running', 3, now() - interval '2 days', '{{}}', now() - interval '2 days'
    FROM flow LIMIT {STALLED_RUNS}
"""


@dataclass(kw_only=True)
class Measured:
    """Milliseconds of one kind of tick per size, and what it changed."""

    times: list[float] = field(default_factory=list)
    changed: list[dict[str, object]] = field(default_factory=list)


class Bench:
    """A database that grows, and the ticks that are timed on it."""

    def __init__(self, context: ActionContext, full: int) -> None:
        self.context = context
        self.full = full
        self.flows = 0
        self.results: dict[str, Measured] = {}

    async def put(self, *statements: str, arguments: tuple[int, ...] = (), triggers: bool = False) -> None:
        """Run statements in a transaction, as if they had always been there."""
        async with self.context.database.transaction() as session:
            if not triggers:
                await session.execute("SET LOCAL session_replication_role = replica")
            await session.execute("SET LOCAL statement_timeout = 0")
            for statement in statements:
                await session.execute(statement, *arguments)

    async def grow(self, flows: int) -> None:
        """Bring the database to a number of flows, and all else in proportion."""
        await self.put(*_GROW, arguments=(self.flows + 1, flows))
        if not self.flows:
            await self.put(
                "UPDATE flow_group SET settings = '{\"late_policy\": \"latest_only\"}' WHERE name = 'group-1'"
            )
        self.flows = flows
        async with self.context.database.connection() as connection:
            await connection.execute("VACUUM (ANALYZE)")

    async def measure(self, name: str, tick: Callable[[], Awaitable[object]], *work: str) -> None:
        """Time a tick some times, each after the same work was put in, and note the median."""
        times: list[float] = []
        changed: dict[str, object] = {}
        for _ in range(ROUNDS):
            await self.put(*work)
            begun = time.perf_counter()
            answer = await tick()
            times.append((time.perf_counter() - begun) * 1000)
            changed = dict(answer) if isinstance(answer, dict) else {"rows": answer}
        measured = self.results.setdefault(name, Measured())
        measured.times.append(median(times))
        measured.changed.append(changed)

    async def run(self) -> None:
        """Measure everything at every size."""
        async with self.context.database.transaction() as session:
            tenant = await session.fetch_value("INSERT INTO tenant (name, slug) VALUES ('t', 't') RETURNING id")
            await session.execute("INSERT INTO project (tenant_id, name) VALUES ($1, 'p')", tenant)
        scheduler = Scheduler()

        def once(loop: Loop) -> Callable[[], Awaitable[object]]:
            return lambda: loop.run_once(self.context)

        for size in SIZES:
            begun = time.perf_counter()
            await self.grow(int(self.full * size))
            print(f"{self.flows} flows after {time.perf_counter() - begun:.0f} s", flush=True)
            await scheduler.run_once(self.context)  # its first pass looks whether a flow was left out
            await self.measure("scheduler, nothing due", once(scheduler))
            await self.measure(f"scheduler, {DUE_FLOWS} flows due", once(scheduler), _UNPLAN, _DUE)
            await self.put(_UNPLAN)
            await self.measure(f"scheduler, {LATE_RUNS} late runs", once(scheduler), _LATE)
            await self.put(_UNPLAN)
            await self.measure(f"lazarus, {STALLED_RUNS} stalled runs", once(Lazarus()), _STALLED)
            await self.put("DELETE FROM flow_run WHERE name = 'stalled'", triggers=True)
            await self.measure(f"zombie_killer, {SILENT_TASKS} silent tasks", once(ZombieKiller()))
            for name, make in LOOPS.items():
                if name not in ("scheduler", "lazarus", "zombie_killer"):
                    await self.measure(f"{name}, nothing to do", once(make()))

    def table(self) -> str:
        """Return the results as text."""
        sizes = [int(self.full * size) for size in SIZES]
        lines = [f"{'ms per tick':34}" + "".join(f"{size:>10}" for size in sizes) + "   ratios        changed"]
        for name, measured in self.results.items():
            ratios = [b / a for a, b in zip(measured.times, measured.times[1:], strict=False)]
            times = "".join(f"{each:>10.1f}" for each in measured.times)
            lines.append(
                f"{name:34}{times}   " + "  ".join(f"{ratio:4.2f}" for ratio in ratios) + f"    {measured.changed[-1]}"
            )
        return "\n".join(lines)


async def main(arguments: argparse.Namespace, dsn: str) -> None:
    """Run and report."""
    await upgrade(dsn)
    towel = TowelSettings(zombie_killer_batch_size=SILENT_TASKS, lazarus_batch_size=STALLED_RUNS)
    settings = replace(Settings(), towel=towel)
    async with Database(dsn, settings.database) as database:
        bench = Bench(ActionContext(database=database, settings=settings), arguments.full)
        await bench.run()
    print(bench.table())
    if arguments.json:
        report = {name: vars(measured) for name, measured in bench.results.items()}
        arguments.json.write_text(
            json.dumps({"flows": [int(arguments.full * s) for s in SIZES], "ticks": report}, indent=1)
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", type=int, default=10_000, help="flows at full size")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--dsn", help="an empty database; default: an embedded Postgres")
    given = parser.parse_args()
    with ExitStack() as stack:
        dsn = given.dsn
        if dsn is None:
            server = EmbeddedPostgres(Path(stack.enter_context(tempfile.TemporaryDirectory())), FAST)
            dsn = server.start()
            stack.callback(server.stop)
        asyncio.run(main(given, dsn))
