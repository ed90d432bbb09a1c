"""What flow runs wait for their writes while people's pages saturate the reads (demands.md row 16).

    python -m bench.shedding [--seconds 20] [--task-runs 500] [--dashboards 20] [--dsn DSN]   (or `just bench shedding`)

Without a DSN it runs on an embedded Postgres in a temporary folder; a given database must be empty. The whole server
runs in a process of its own; here are its clients: task runs that set states, send log lines and heartbeats, dashboards
that ask for heavy aggregates without a pause, and one query that would take a minute. Prints the longest and the median
wait of each kind of request, and how many queries were turned away.
"""

import argparse
import asyncio
import os
import re
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from time import monotonic

import httpx

from server_core.db.embedded import EmbeddedPostgres
from server_core.db.migrate import upgrade
from server_core.db.session import Database
from tests.support.rows import make_flow, make_flow_run, task_runs_of

ROWS = 30_000
RUNNING = '{\\"type\\": \\"Running\\"}'
DASHBOARD = (
    "{ "
    + " ".join(
        f'a{n}: log_aggregate(where: {{message: {{_like: "%{n}%"}}}}) {{ aggregate {{ count }} }}' for n in range(18)
    )
    + " }"
)
PATHOLOGICAL = '{ log_aggregate(where: {message: {_similar: "(x|xx|[0-9a-f]|.)*y(.|.)*z"}}) { aggregate { count } } }'


class Waits:
    """How long each kind of request took, in seconds, and how many were turned away."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.failed: dict[str, int] = defaultdict(int)

    async def post(self, client: httpx.AsyncClient, kind: str, query: str) -> None:
        """Send an operation and note its wait."""
        begun = monotonic()
        try:
            headers = {"x-prefect-ui": "true"} if kind == "dashboard" else {"x-prefect-core-version": "1.4.1"}
            response = await client.post("/", json={"query": query}, headers=headers)
            good = response.status_code == 200 and b'"errors"' not in response.content
        except httpx.HTTPError:
            good = False
        if good or kind != "dashboard":
            self.seconds[kind].append(monotonic() - begun)
        if not good:
            self.failed[kind] += 1

    def table(self) -> str:
        """Return the figures as lines of text."""
        lines = [f"{'request':<12} {'number':>7} {'median s':>9} {'longest s':>9} {'failed':>7}"]
        for kind in sorted(self.seconds.keys() | self.failed.keys()):
            taken = self.seconds[kind] or [0.0]
            lines.append(f"{kind:<12} {len(taken):>7} {median(taken):>9.3f} {max(taken):>9.3f} {self.failed[kind]:>7}")
        return "\n".join(lines)


@asynccontextmanager
async def server(dsn: str, home: Path) -> AsyncIterator[str]:
    """Run the whole server in a process; yields its URL."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server_core.cli", "start", "--port", "0", "--database-url", dsn),
        stdout=PIPE,
        stderr=STDOUT,
        env=os.environ | {"PREFECT_SERVER__HOME": str(home)},
    )
    assert child.stdout is not None
    try:
        while not (ready := re.search(r"ready at (http\S+)", line := (await child.stdout.readline()).decode())):
            assert line, "the server ended before it was ready"
        drain = asyncio.create_task(child.stdout.read())
        yield ready[1]
    finally:
        child.terminate()
        await child.wait()
    drain.cancel()


async def run(dsn: str, home: Path, *, seconds: float, task_runs: int, dashboards: int) -> str:
    """Put the load on a server over an empty database; return the figures."""
    await upgrade(dsn)
    async with Database(dsn) as database:
        flow = await make_flow(database, tasks=task_runs)
        flow_run = await make_flow_run(database, flow)
        ids = await task_runs_of(database, flow_run)
        async with database.transaction() as session:
            await session.execute(
                "INSERT INTO log (flow_run_id, message, level)"
                " SELECT $1, md5(n::text) || repeat('x', 60), 'INFO' FROM generate_series(1, $2::int) AS n",
                flow_run,
                ROWS,
            )
    waits = Waits()
    async with server(dsn, home) as url:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
            end = monotonic() + seconds

            async def task_run(number: int) -> None:
                await asyncio.sleep(seconds * 0.2 * number / task_runs)
                who = f'task_run_id: "{ids[number]}"'
                while monotonic() < end:
                    state = f'{{{who}, state: "{RUNNING}"}}'
                    await waits.post(
                        client,
                        "state",
                        f"mutation {{ set_task_run_states(input: {{states: [{state}]}}) {{ states {{ id }} }} }}",
                    )
                    await waits.post(
                        client, "heartbeat", f"mutation {{ update_task_run_heartbeat(input: {{{who}}}) {{ success }} }}"
                    )
                    line = f'flow_run_id: "{flow_run}", message: "{number}", timestamp: "2022-03-04T05:06:07Z"'
                    await waits.post(
                        client, "log", f"mutation {{ write_run_logs(input: {{logs: [{{{line}}}]}}) {{ success }} }}"
                    )
                    await asyncio.sleep(5)

            async def dashboard() -> None:
                while monotonic() < end:
                    await waits.post(client, "dashboard", DASHBOARD)

            run_state = f'{{flow_run_id: "{flow_run}", state: "{RUNNING}"}}'
            await waits.post(
                client,
                "start",
                f"mutation {{ set_flow_run_states(input: {{states: [{run_state}]}}) {{ states {{ id }} }} }}",
            )
            slow = asyncio.create_task(waits.post(client, "pathological", PATHOLOGICAL))
            pages = [asyncio.create_task(dashboard()) for _ in range(dashboards)]
            await asyncio.gather(*map(task_run, range(task_runs)))
            for page in pages:
                page.cancel()
            await asyncio.wait(pages)
            slow.cancel()
            await asyncio.wait([slow])
    return waits.table()


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--task-runs", type=int, default=500)
    parser.add_argument("--dashboards", type=int, default=20)
    parser.add_argument("--dsn")
    given = parser.parse_args()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="prefect-server-bench-")))
        dsn = given.dsn
        if dsn is None:
            postgres = EmbeddedPostgres(home)
            dsn = postgres.start()
            stack.callback(postgres.stop)
        print(
            asyncio.run(run(dsn, home, seconds=given.seconds, task_runs=given.task_runs, dashboards=given.dashboards))
        )


if __name__ == "__main__":
    main()
