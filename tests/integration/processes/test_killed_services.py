"""Services and the database are killed under load and come back (issue of the gateway, "Done when"; demands.md row 7).

Writers and readers follow the retry rules of the 1.x client (client-operations.md §1.2). They must see nothing but
documented errors, get going again by themselves, and find every write that was acknowledged.
"""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx

from server_core.db.embedded import EmbeddedPostgres
from server_core.db.session import Database
from tests.support.processes import Machine, Process, free_ports
from tests.support.rows import make_flow, make_flow_run, task_runs_of
from tests.support.waiting import wait_until

WRITERS = 3
PAUSES = (0.25, 0.5, 1, 2, 4, 8)
DOCUMENTED = {"API_ERROR", "OUTCOME_UNKNOWN", "INTERNAL_SERVER_ERROR", "timeout"}
MAY_HAVE_BEEN = ("may have been carried out", "the change may have been made or not")
"""What must stand in an error on which the client does not send again."""


@dataclass
class Load:
    """Clients of a server, and what they lived through.

    Attributes:
        acknowledged: messages of states and log lines that the server said it has.
        sent: how often each was sent.
        trouble: kinds of failed attempts, with their number.
        undocumented: answers that no client was told to expect.
        answers: number of good answers, by kind of operation.
    """

    url: str
    run: str
    task_runs: list[str]
    acknowledged: set[str] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    trouble: Counter[str] = field(default_factory=Counter)
    undocumented: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    stopping: bool = False

    async def call(self, client: httpx.AsyncClient, kind: str, query: str, marker: str = "") -> None:
        """Send an operation until it is answered or the client would give up on it."""
        for pause in (*PAUSES, 0):
            self.sent[marker] += 1
            try:
                headers = {"x-prefect-core-version": "1.4.1"}
                response = await client.post(self.url, json={"query": query, "variables": "null"}, headers=headers)
            except httpx.TransportError as error:
                self.trouble[type(error).__name__] += 1
            else:
                if response.status_code == 200 and "errors" not in response.json():
                    self.answers[kind] += 1
                    if marker:
                        self.acknowledged.add(marker)
                    return
                if not self._goes_on(response):
                    return
            await asyncio.sleep(min(pause, 0.5))  # the real client is more patient

    def _goes_on(self, response: httpx.Response) -> bool:
        """Note a failure; tell whether the client sends again on it."""
        if response.status_code == 503:
            self.trouble["503"] += 1
            if "retry-after" not in response.headers:
                self.undocumented.append(response.text)
            return True
        codes = {error["extensions"]["code"] for error in response.json()["errors"]}
        self.trouble[" ".join(sorted(codes))] += 1
        again = "API_ERROR" in json.dumps(response.json()["errors"])
        told = again or any(words in response.text for words in MAY_HAVE_BEEN)
        if response.status_code != 200 or codes - DOCUMENTED or not told:
            self.undocumented.append(f"{response.status_code} {response.text}")
        return again

    async def write(self, number: int) -> None:
        """Be a task run: states, log lines, heartbeats."""
        task_run = self.task_runs[number]
        async with httpx.AsyncClient(timeout=15) as client:
            while not self.stopping:
                state, line = f"state {uuid4()}", f"line {uuid4()}"
                running = json.dumps(json.dumps({"type": "Running", "message": state}))
                await self.call(
                    client,
                    "write",
                    f'mutation {{ set_task_run_states(input: {{states: [{{task_run_id: "{task_run}",'
                    f" state: {running}}}]}}) {{ states {{ id }} }} }}",
                    state,
                )
                await self.call(
                    client,
                    "write",
                    f'mutation {{ write_run_logs(input: {{logs: [{{flow_run_id: "{self.run}", message: "{line}",'
                    ' timestamp: "2022-03-04T05:06:07Z"}]}) { success } }',
                    line,
                )
                await self.call(
                    client,
                    "write",
                    f'mutation {{ update_task_run_heartbeat(input: {{task_run_id: "{task_run}"}}) {{ success }} }}',
                )
                await asyncio.sleep(0.02)

    async def read(self) -> None:
        """Be a run that looks itself up, with a field of each service."""
        async with httpx.AsyncClient(timeout=15) as client:
            while not self.stopping:
                await self.call(client, "read", f'{{ flow_run_by_pk(id: "{self.run}") {{ state }} hello }}')
                await asyncio.sleep(0.02)

    async def recovered(self) -> float:
        """Wait until every kind of operation is answered again; return how long it took, in seconds."""
        begun, before = monotonic(), dict(self.answers)

        def again() -> bool:
            return all(self.answers[kind] > before.get(kind, 0) for kind in ("read", "write"))

        await wait_until(again, seconds=60, what="answers", detail=lambda: f"{self.trouble} {self.undocumented[:3]}")
        return monotonic() - begun


@asynccontextmanager
async def under_load(url: str, database_url: str) -> AsyncIterator[Load]:
    """Run clients for the length of a block; afterwards look for what they were promised."""
    async with Database(database_url) as database:
        flow = await make_flow(database, tasks=WRITERS)
        run = await make_flow_run(database, flow)
        load = Load(url=url, run=str(run), task_runs=list(map(str, await task_runs_of(database, run))))
    await graphql_ok(load)
    clients = [asyncio.create_task(load.write(number)) for number in range(WRITERS)]
    clients += [asyncio.create_task(load.read())]
    try:
        await load.recovered()
        yield load
    finally:
        load.stopping = True
        await asyncio.gather(*clients)
    async with Database(database_url) as database, database.read() as session:
        rows = await session.fetch(
            "SELECT message, count(*) AS number FROM"
            " (SELECT message FROM task_run_state UNION ALL SELECT message FROM log) AS said GROUP BY message"
        )
    found = {row["message"]: row["number"] for row in rows}
    assert load.undocumented == []
    assert load.acknowledged - set(found) == set()
    for message in load.acknowledged:
        # A state that was sent twice may be one more row of history (client-operations.md §1.2); a line never is.
        most = load.sent[message] if message.startswith("state") else 1
        assert found[message] <= most, (message, found[message], load.sent[message])
    print(f"{len(load.acknowledged)} acknowledged writes, trouble: {dict(load.trouble)}")


async def graphql_ok(load: Load) -> None:
    """Set the run Running, so that its task runs may run."""
    running = json.dumps(json.dumps({"type": "Running"}))
    async with httpx.AsyncClient(timeout=60) as client:
        await load.call(
            client,
            "start",
            f'mutation {{ set_flow_run_states(input: {{states: [{{flow_run_id: "{load.run}", state: {running}}}]}})'
            " { states { id } } }",
        )
    assert load.answers["start"] == 1, load.trouble


@asynccontextmanager
async def own_postgres() -> AsyncIterator[tuple[EmbeddedPostgres, str]]:
    """Run a Postgres that a test may kill; it syncs, so that what is committed survives."""
    with TemporaryDirectory(prefix="prefect-server-killed-") as folder:
        postgres = EmbeddedPostgres(Path(folder))
        try:
            yield postgres, await asyncio.to_thread(postgres.start)
        finally:
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(postgres.stop_leftover)


def kill_postgres(postgres: EmbeddedPostgres) -> Callable[[], Awaitable[None]]:
    """Return what kills the server outright and starts it again."""

    async def work() -> None:
        pid = postgres.pid
        assert pid is not None
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(postgres.stop)
        await asyncio.to_thread(postgres.start)

    return work


async def test_the_server_outlives_its_database(machine: Machine) -> None:
    """In one process."""
    async with own_postgres() as (postgres, dsn):
        process = await machine.run("start", "--port", "0", "--database-url", dsn)
        url = await process.url()
        async with under_load(url, dsn) as load:
            await kill_postgres(postgres)()
            print(f"database killed: answers again after {await load.recovered():.2f} s")
            async with httpx.AsyncClient(timeout=30) as client:
                await wait_until(lambda: ready(client, url), seconds=60, what="/ready")
        assert await process.stop() == 0
        assert "Traceback" not in process.output
        assert process.output.count("the database is away") <= 4, process.output


async def test_any_service_and_the_database_may_be_killed(machine: Machine) -> None:
    """In four processes: each killed in turn, then the database stopped, and killed."""
    async with own_postgres() as (postgres, dsn):
        machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": dsn}
        upgrade = await machine.run("database", "upgrade")
        assert await upgrade.wait() == 0, upgrade.output
        names = ("data", "graphql", "towel", "gateway")
        ports = dict(zip(names, map(str, free_ports(4)), strict=True))
        machine.environ |= {
            "PREFECT_SERVER__GATEWAY__DATA_URL": f"http://127.0.0.1:{ports['data']}/v1alpha1/graphql",
            "PREFECT_SERVER__GATEWAY__GRAPHQL_URL": f"http://127.0.0.1:{ports['graphql']}/graphql/",
        }

        async def run(name: str) -> Process:
            return await machine.run("services", name, "--port", ports[name])

        processes = {name: await run(name) for name in names}
        for process in processes.values():
            await process.url()
        async with under_load(await processes["gateway"].url(), dsn) as load:
            for name in names:
                await processes[name].kill()
                processes[name] = await run(name)
                await processes[name].url()
                print(f"{name} killed: answers again after {await load.recovered():.2f} s")
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(postgres.start)
            print(f"database stopped: answers again after {await load.recovered():.2f} s")
            await kill_postgres(postgres)()
            print(f"database killed: answers again after {await load.recovered():.2f} s")
        for process in reversed(processes.values()):
            assert await process.stop() == 0
            assert "Traceback" not in process.output, process.output


async def ready(client: httpx.AsyncClient, url: str) -> Any:
    """Tell whether `/ready` says so."""
    return (await client.get(f"{url}/ready")).status_code == 200
