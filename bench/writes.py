"""The writes of clients and agents → requests per second: the actions alone, all in one process, and the raw baseline.

    python -m bench.writes [--seconds 3] [--rounds 3] [--only NAME …]

Bodies are the 1.x client's: literals where it writes them into the text, else variables as a string that holds JSON.
Every request writes: heartbeats and states of many runs in turn, log lines and mapped children that were never there.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from bench.dataset import SMALL, TASKS_PER_FLOW, TENANT, ident, make, postgres
from bench.load import FRESH, ask, generator, load
from bench.rounds import SLICE, Measure, Result, in_turn, ratio, sliced
from bench.servers import asgi, ours, together

TARGET: Final = 0.6
RAW: Final = "raw"
ACTIONS: Final = "actions"
WHOLE: Final = "gateway, one process"
_FIRST_RUN: Final = 1_001
_RUNS: Final = 200
"""So many flow runs are Running, each with ten task runs."""
_HEADERS: Final = {"x-prefect-core-version": "1.4.1"}

# Running since just now: nobody is told that they live beside what is measured. For the runs that the writes are about.
AT_WORK: Final = f"""
UPDATE flow_run SET state = 'Running', heartbeat = now() + interval '1 hour'
WHERE id IN (SELECT md5('flow_run:' || n)::uuid FROM generate_series({_FIRST_RUN}, {_FIRST_RUN + _RUNS - 1}) AS n)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """One kind of request.

    Attributes:
        mutation: the field it names; also the baseline's path.
        selection: of the answer.
        inputs: its arguments, one per request.
        inline: they are written into the text, as the client does for this one.
    """

    mutation: str
    selection: str
    inputs: Sequence[dict[str, Any]]
    inline: bool = False

    def bodies(self) -> list[bytes]:
        """Return the requests as the 1.x client sends them."""
        if self.inline:
            return [
                _body(f"mutation {{ {self.mutation}(input: {_literal(each)}) {{ {self.selection} }} }}", None)
                for each in self.inputs
            ]
        text = f"mutation($input: {self.mutation}_input!) {{ {self.mutation}(input: $input) {{ {self.selection} }} }}"
        return [_body(text, {"input": each}) for each in self.inputs]

    def raw_bodies(self) -> list[bytes]:
        """Return what the baseline is sent."""
        return [json.dumps(each).replace(f'"{FRESH}"', FRESH).encode() for each in self.inputs]


def writes() -> dict[str, Write]:
    """Return what is measured, by name."""
    runs = [number * 37 % _RUNS + _FIRST_RUN for number in range(_RUNS)]
    tasks = [(run, task + 1) for task in range(TASKS_PER_FLOW) for run in runs]
    return {
        "flow run heartbeat": Write(
            mutation="update_flow_run_heartbeat",
            selection="success",
            inputs=[{"flow_run_id": _flow_run(run)} for run in runs],
            inline=True,
        ),
        "task run heartbeat": Write(
            mutation="update_task_run_heartbeat",
            selection="success",
            inputs=[{"task_run_id": _task_run(run, task)} for run, task in tasks],
            inline=True,
        ),
        "one task run state": _states([[each] for each in tasks]),
        "100 task run states": _states([tasks[start : start + 100] for start in range(0, len(tasks), 100)]),
        "task run, existing": _get_or_create([(run, task, -1) for run, task in tasks]),
        "task run, new": _get_or_create([(run, task, FRESH) for run, task in tasks]),
        "100 log lines": _logs(runs, 100),
        "500 log lines": _logs(runs[:40], 500),
        "queue poll": Write(
            mutation="get_runs_in_queue",
            selection="flow_run_ids",
            inputs=[
                {"tenant_id": str(TENANT), "before": f"2027-01-01T00:00:{n:02}+00:00", "labels": ["prod", "gpu"]}
                for n in range(60)
            ],
        ),
    }


async def measured(seconds: float, rounds: int, only: Sequence[str] = ()) -> dict[str, dict[str, Result]]:
    """Measure every write with every contender; return the results by write and contender."""
    found: dict[str, dict[str, Result]] = {}
    with ExitStack() as stack:
        dsn = stack.enter_context(postgres())
        await make(dsn, SMALL)
        connection = await asyncpg.connect(dsn)
        await connection.execute(AT_WORK)
        await connection.close()
        baseline = asgi("bench.raw_writes:app", environment={"BENCH_DSN": dsn})
        (raw, _), (actions, _), (whole, _) = await together(stack, baseline, ours(dsn, "graphql"), ours(dsn))
        for name, write in writes().items():
            if only and name not in only:
                continue
            contenders: dict[str, Measure] = {}
            for contender, url, bodies in (
                (RAW, f"{raw}/{write.mutation}", write.raw_bodies()),
                (ACTIONS, actions, write.bodies()),
                (WHOLE, whole, write.bodies()),
            ):
                await _look(url, bodies)
                contenders[contender] = _measure(url, bodies)
            found[name] = await in_turn(contenders, rounds, slices=sliced(seconds))
            print(row(name, found[name]), flush=True)
    return found


def row(name: str, results: dict[str, Result]) -> str:
    """Return the line of one write."""
    rates = "".join(f"{results[each].median:>14.0f}" for each in (RAW, ACTIONS, WHOLE))
    ratios = "".join(f"{ratio(results, each, RAW):>14.2f}" for each in (ACTIONS, WHOLE))
    return f"{name:<22}{rates}{ratios}"


def _measure(url: str, bodies: Sequence[bytes]) -> Measure:
    async def rate() -> float:
        return (await load(url, bodies, seconds=SLICE, headers=_HEADERS)).rate

    return rate


async def _look(url: str, bodies: Sequence[bytes]) -> None:
    """See that a contender does what it is asked, for one request."""
    answer = await ask(url, bodies[0].replace(FRESH.encode(), str(time.time_ns() % 10**9 + 10**9)[-9:].encode()))
    if b'"success":false' in answer or b'"data":null' in answer:
        raise AssertionError(f"{url}: {answer[:500]!r}")


def _flow_run(number: int) -> str:
    return str(ident("flow_run", number))


def _task_run(run: int, task: int) -> str:
    return str(ident("task_run", (run - 1) * TASKS_PER_FLOW + task))


def _states(batches: Sequence[Sequence[tuple[int, int]]]) -> Write:
    document = {
        **{"type": "Running", "message": "Starting task run.", "context": {"tags": []}, "cached_inputs": {}},
        **{"_result": {"type": "NoResultType", "__version__": "1.4.1"}, "__version__": "1.4.1"},
    }
    return Write(
        mutation="set_task_run_states",
        selection="states { id status message }",
        inputs=[
            {
                "states": [
                    {"state": document, "task_run_id": _task_run(run, task), "version": None} for run, task in batch
                ]
            }
            for batch in batches
        ],
    )


def _get_or_create(keys: Sequence[tuple[int, int, int | str]]) -> Write:
    flows = SMALL.flows
    return Write(
        mutation="get_or_create_task_run_info",
        selection="id version serialized_state",
        inputs=[
            {
                "flow_run_id": _flow_run(run),
                "task_id": str(ident("task", (run - 1) % flows * TASKS_PER_FLOW + task)),
                "map_index": map_index,
            }
            for run, task, map_index in keys
        ],
        inline=True,
    )


def _logs(runs: Sequence[int], count: int) -> Write:
    return Write(
        mutation="write_run_logs",
        selection="success",
        inputs=[
            {
                "logs": [
                    {
                        "flow_run_id": _flow_run(run),
                        "task_run_id": _task_run(run, line % TASKS_PER_FLOW + 1),
                        "timestamp": f"2026-11-01T00:00:{line % 60:02}.{line:06}+00:00",
                        "name": "prefect.TaskRunner",
                        "message": f"Task 'task-{line}': Finished task run {FRESH} with final state: 'Success'",
                        "level": "INFO",
                        "info": None,
                    }
                    for line in range(count)
                ]
            }
            for run in runs
        ],
    )


def _literal(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name}: {_literal(each)}' for name, each in value.items())} }}"
    return FRESH if value == FRESH else json.dumps(value)


def _body(query: str, variables: dict[str, Any] | None) -> bytes:
    return json.dumps({"query": query, "variables": json.dumps(variables)}).encode()


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=())
    given = parser.parse_args()
    print(f"requests per second, {generator()}, 16 connections; target {TARGET} x raw")
    print(f"{'':<22}{RAW:>14}{ACTIONS:>14}{'one process':>14}{'actions/raw':>14}{'one pr./raw':>14}")
    asyncio.run(measured(given.seconds, given.rounds, given.only))


if __name__ == "__main__":
    main()
