"""What flow runs wait for their writes while people's pages saturate the reads (demands.md row 16).

    python -m bench.shedding [--seconds 20] [--task-runs 500] [--dashboards 20] [--dsn DSN]   (or `just bench shedding`)

Without a DSN it runs on an embedded Postgres in a temporary folder; a given database must be empty. The whole server
runs in a process of its own; here are its clients, each with a connection of its own: task runs that set states, send
log lines and heartbeats, dashboards that ask for heavy aggregates without a pause, and one query that would take a
minute. Prints the longest and the median wait of each kind of request, how many queries were turned away, and what
share of a core the clients took: if that is near one, they were what was measured.
"""

import argparse
import asyncio
import json
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import monotonic, process_time

import uvloop

from bench.client import Connection, ConnectionEnded, connect, head, request
from bench.servers import ours
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
PATHOLOGICAL = (
    "{ "
    + " ".join(
        f'a{n}: log_aggregate(where: {{message: {{_regex: "(\\\\w+)\\\\1{{3,}}(\\\\w+)\\\\2{{9,}}z?y{n}"}}}})'
        " { aggregate { count } }"
        for n in range(150)
    )
    + " }"
)


class Waits:
    """How long each kind of request took, in seconds, and how many were turned away."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.failed: dict[str, int] = defaultdict(int)

    def note(self, kind: str, seconds: float, good: bool) -> None:
        """Note a request. How long a dashboard waits to be turned away is of no interest."""
        if good or kind != "dashboard":
            self.seconds[kind].append(seconds)
        if not good:
            self.failed[kind] += 1

    def table(self) -> str:
        """Return the figures as lines of text."""
        lines = [f"{'request':<12} {'number':>7} {'median s':>9} {'longest s':>9} {'failed':>7}"]
        for kind in sorted(self.seconds.keys() | self.failed.keys()):
            taken = self.seconds[kind] or [0.0]
            lines.append(f"{kind:<12} {len(taken):>7} {median(taken):>9.3f} {max(taken):>9.3f} {self.failed[kind]:>7}")
        return "\n".join(lines)


class Client:
    """One program that talks to the server: a flow run's process, or a browser."""

    def __init__(self, url: str, waits: Waits, *, browser: bool = False) -> None:
        self._url = url
        self._waits = waits
        self._head = head(url, headers=("x-prefect-ui: true" if browser else "x-prefect-core-version: 1.4.1",))
        self._connection: Connection | None = None

    async def post(self, kind: str, query: str) -> None:
        """Send an operation and note its wait, with that for a connection if the last one was closed."""
        sent = request(self._head, json.dumps({"query": query}).encode())
        begun = monotonic()
        try:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._url)
            answer = await self._connection.ask(sent)
            good = self._connection.status == 200 and b'"errors"' not in answer
        except (ConnectionEnded, OSError):
            good = False
        self._waits.note(kind, monotonic() - begun, good)

    def close(self) -> None:
        """Leave."""
        if self._connection is not None:
            self._connection.close()


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
    with ours(dsn, environment={"PREFECT_SERVER__HOME": str(home)}) as (url, _):
        since, used, end = monotonic(), process_time(), monotonic() + seconds
        runs = [Client(url, waits) for _ in range(task_runs)]
        browsers = [Client(url, waits, browser=True) for _ in range(dashboards + 1)]

        async def task_run(number: int) -> None:
            client = runs[number]
            await asyncio.sleep(seconds * 0.2 * number / task_runs)
            who = f'task_run_id: "{ids[number]}"'
            while monotonic() < end:
                state = f'{{{who}, state: "{RUNNING}"}}'
                await client.post(
                    "state", f"mutation {{ set_task_run_states(input: {{states: [{state}]}}) {{ states {{ id }} }} }}"
                )
                await client.post(
                    "heartbeat", f"mutation {{ update_task_run_heartbeat(input: {{{who}}}) {{ success }} }}"
                )
                line = f'flow_run_id: "{flow_run}", message: "{number}", timestamp: "2022-03-04T05:06:07Z"'
                await client.post("log", f"mutation {{ write_run_logs(input: {{logs: [{{{line}}}]}}) {{ success }} }}")
                client.close()  # the server would, and might while the next request is on its way
                await asyncio.sleep(5)

        async def dashboard(client: Client) -> None:
            while monotonic() < end:
                await client.post("dashboard", DASHBOARD)

        run_state = f'{{flow_run_id: "{flow_run}", state: "{RUNNING}"}}'
        await runs[0].post(
            "start", f"mutation {{ set_flow_run_states(input: {{states: [{run_state}]}}) {{ states {{ id }} }} }}"
        )
        pages = [asyncio.create_task(browsers[0].post("pathological", PATHOLOGICAL))]
        pages += [asyncio.create_task(dashboard(client)) for client in browsers[1:]]
        await asyncio.gather(*map(task_run, range(task_runs)))
        for page in pages:
            page.cancel()
        await asyncio.wait(pages)
        for client in (*runs, *browsers):
            client.close()
        share = (process_time() - used) / (monotonic() - since)
    return f"{waits.table()}\nclients' share of a core: {share:.2f}"


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
        print(uvloop.run(run(dsn, home, seconds=given.seconds, task_runs=given.task_runs, dashboards=given.dashboards)))


if __name__ == "__main__":
    main()
