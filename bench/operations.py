"""What a flow run asks of its server, here and in Prefect 3 → operations per second of each, in turn, in one run.

    python -m bench.operations [--seconds 3] [--rounds 3]

Both servers run in one process each on the same Postgres, in a database of their own; sixteen clients go through
cycles of requests (bench.cycles). A flow run cycle is: create it, three states. A task run cycle: get or create it, two
states. Here, all task runs of a flow are made with the flow run, so its cost depends on the flow's number of tasks: it
is measured with one task and with ten. Prefect 3 knows no tasks beforehand and makes no task runs in that cycle.

The databases are as each server leaves a new one: nobody analyzes them but Postgres and the servers themselves.
"""

import argparse
import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import asyncpg

from bench.cycles import Call, Plan, Work, measured
from bench.dataset import POSTGRES
from bench.peers import prefect3
from bench.peers.install import Missing
from bench.rounds import Measure, Result, in_turn, ratio
from bench.servers import ours, resident_megabytes
from server_core.db.connection import wait_until_ready
from server_core.db.migrate import upgrade
from server_core.db.session import Database
from tests.support import postgres_matrix
from tests.support.factories import Flow
from tests.support.rows import make_flow

LINES: Final = 100
TEN: Final = 10
OURS: Final = "ours"
THEIRS: Final = "Prefect 3"
TARGETS: Final = {"task run": 20.0, "flow run of 10 tasks": 15.0, "100 logs": 15.0}
_HEADERS: Final = ("x-prefect-core-version: 1.4.1",)
_ID: Final = r'"id": ?"([^"]+)"'
_SET: Final = r'"status": ?"SUCCESS"'


def flow_run(flow: Flow) -> tuple[Call, ...]:
    """Return what is done again and again: create a flow run; Submitted, Running, Success."""
    arguments = {"flow_id": str(flow.id), "idempotency_key": "<<uuid>>", "parameters": {"n": 1}}
    create = _mutation("create_flow_run", arguments, "id", keep={"id": _ID})
    return (create, *(_set("flow_run", "id", state) for state in ("Submitted", "Running", "Success")))


def task_run(flow: Flow) -> Work:
    """Return what a client does first, and again and again: get or create a task run; Running, Success."""
    text = (
        'mutation { get_or_create_task_run_info(input: { flow_run_id: "<<run>>", task_id: "%s", map_index: <<n>> })'
        " { id version serialized_state } }"
    )
    create = Call(
        body=json.dumps({"query": text % flow.task_ids[0], "variables": "null"}),
        keep={"id": _ID},
    )
    return _running(flow), (create, *(_set("task_run", "id", state) for state in ("Running", "Success")))


def logs(flow: Flow, count: int) -> Work:
    """Return what a client does first, and again and again: send lines of a flow run."""
    line = {
        **{"flow_run_id": "<<run>>", "timestamp": "<<now>>", "name": "prefect.TaskRunner", "level": "INFO"},
        "message": "Task 'task-<<n>>': Finished task run for task with final state: 'Success'",
    }
    batch = _mutation("write_run_logs", {"logs": [line] * count}, "success", good=r'"success": ?true')
    return _running(flow), (batch,)


@contextmanager
def postgres() -> Iterator[str]:
    """Run a Postgres that has pg_trgm, which Prefect 3 needs, for a block; yields its DSN.

    Raises:
        Missing: there is none on this machine.
    """
    installations = [path.parent.parent for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))]
    if not installations and shutil.which("npm"):
        folder = Path("~/.cache/prefect-server-tests/postgres").expanduser()
        installations = [postgres_matrix.installed(folder, 15)]
    if not installations:
        raise Missing("there is no Postgres with pg_trgm on this machine")
    with postgres_matrix.running(installations[-1], POSTGRES) as dsn:
        yield dsn


@dataclass(frozen=True, kw_only=True)
class Operations:
    """What was measured.

    Attributes:
        results: operation → server (`ours`, `prefect 3`) → cycles per second; 100 logs: batches per second.
        megabytes: server → memory afterwards.
        generator: largest share of a core that the generator took, per server.
        missing: why Prefect 3 was not measured, if it was not.
    """

    results: dict[str, dict[str, Result]]
    megabytes: dict[str, float]
    generator: dict[str, float]
    missing: str = ""

    def table(self) -> str:
        """Return the figures as lines of text."""
        lines = [f"{'operation':<22}{'ours /s':>10}{'Prefect 3 /s':>14}{'ratio':>8}{'target':>8}"]
        for name, results in self.results.items():
            target = f"{TARGETS[name]:.0f} x" if name in TARGETS else ""
            other = f"{'':>14}{'':>8}"
            if THEIRS in results:
                other = f"{results[THEIRS].median:>14.1f}{ratio(results, OURS, THEIRS):>8.1f}"
            lines.append(f"{name:<22}{results[OURS].median:>10.1f}{other}{target:>8}")
        lines += [f"memory of {name}: {size:.0f} MB" for name, size in self.megabytes.items()]
        lines += [f"generator's share of a core, {name}: {share:.2f}" for name, share in self.generator.items()]
        if self.missing:
            lines.append(f"Prefect 3 was not measured: {self.missing}")
        return "\n".join(lines)


async def operations(*, seconds: float, rounds: int) -> Operations:
    """Measure both servers.

    Raises:
        LoadFailed: a server answered otherwise than expected.
        Missing: there is no Postgres for it.
    """
    generator: dict[str, float] = {}
    missing = ""

    def measure(server: str, url: str, work: Work) -> Measure:
        first, cycle = work
        plan = Plan(url=url, first=first, cycle=cycle, seconds=seconds, headers=_HEADERS)

        async def once() -> float:
            figures = await measured(plan)
            generator[server] = max(generator.get(server, 0.0), figures.generator)
            return figures.per_second

        return once

    with ExitStack() as stack:
        dsn = stack.enter_context(postgres())
        await wait_until_ready(dsn, retry_seconds=0.1, timeout_seconds=60)
        mine = await _database(dsn, "prefect1")
        await upgrade(mine)
        async with Database(mine) as database:
            one, ten = await make_flow(database, tasks=1), await make_flow(database, tasks=TEN)
        url, process = stack.enter_context(ours(mine))
        processes = {OURS: process}
        contenders: dict[str, dict[str, Measure]] = {
            "task run": {OURS: measure(OURS, url, task_run(ten))},
            "flow run of 1 task": {OURS: measure(OURS, url, ((), flow_run(one)))},
            "flow run of 10 tasks": {OURS: measure(OURS, url, ((), flow_run(ten)))},
            "100 logs": {OURS: measure(OURS, url, logs(ten, LINES))},
        }
        try:
            other, processes[THEIRS] = stack.enter_context(prefect3.prefect3(await _database(dsn, "prefect3")))
        except Missing as error:
            missing = str(error)
        else:
            for name, work in {
                "task run": prefect3.task_run(),
                "flow run of 1 task": prefect3.flow_run(),
                "flow run of 10 tasks": prefect3.flow_run(),
                "100 logs": prefect3.logs(LINES),
            }.items():
                contenders[name][THEIRS] = measure(THEIRS, other, work)
        results = {name: await in_turn(each, rounds) for name, each in contenders.items()}
        return Operations(
            results=results,
            megabytes={name: resident_megabytes(process) for name, process in processes.items()},
            generator=generator,
            missing=missing,
        )


async def _database(dsn: str, name: str) -> str:
    connection = await asyncpg.connect(dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return f"{dsn.rpartition('/')[0]}/{name}"


def _running(flow: Flow) -> tuple[Call, ...]:
    create, *_ = flow_run(flow)
    return (replace(create, keep={"run": _ID}), *(_set("flow_run", "run", each) for each in ("Submitted", "Running")))


def _set(kind: str, name: str, state: str) -> Call:
    document = {
        **{"type": state, "message": "the message of this state", "context": {"tags": []}, "cached_inputs": {}},
        **{"_result": {"type": "NoResultType", "__version__": "1.4.1"}, "__version__": "1.4.1"},
    }
    states = {"states": [{"state": document, f"{kind}_id": f"<<{name}>>", "version": None}]}
    return _mutation(f"set_{kind}_states", states, "states { id status message }", good=_SET)


def _mutation(name: str, arguments: dict[str, Any], selection: str, **expected: Any) -> Call:
    """Write a mutation as the 1.x client does: its variables are a string that holds JSON."""
    text = f"mutation($input: {name}_input!) {{ {name}(input: $input) {{ {selection} }} }}"
    return Call(body=json.dumps({"query": text, "variables": json.dumps({"input": arguments})}), **expected)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(asyncio.run(operations(seconds=given.seconds, rounds=given.rounds)).table())


if __name__ == "__main__":
    main()
