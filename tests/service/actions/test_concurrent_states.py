"""Random state writes by several writers at once: no accepted write is lost, and runs are what their history says
(actions.md §3.3, §4.2).
"""

import asyncio
import random
from typing import Any
from uuid import UUID

import pytest

from server_core import states
from server_core.actions import runs as run_verbs
from server_core.actions.context import ActionContext
from server_core.actions.states import (
    FlowRunStateInput,
    TaskRunStateInput,
    cancel_flow_run,
    set_flow_run_states,
    set_task_run_states,
)
from server_core.db.session import Database
from server_core.errors import StateUpdateFailed
from tests.support.rows import fetch_all, fetch_one, history, make_flow, make_flow_run, task_runs_of

NAMES = sorted(states.CONCRETE)
WITH_END = {"Success", "Failed", "Cached", "TimedOut", "Looped", "Cancelled"}
WRITERS = 6
WRITES = 12


def check(run: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Check a run's columns against its state rows, all of which were accepted in the order of their versions."""
    assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
    last = rows[-1]
    assert (run["version"], run["state"]) == (last["version"], last["state"])
    assert run["serialized_state"] == last["serialized_state"]
    assert (run["state_timestamp"], run["state_start_time"]) == (last["timestamp"], last["start_time"])
    assert run["state_message"] == last["message"]
    started = [row["timestamp"] for row in rows if row["state"] == "Running"]
    ended = [row["timestamp"] for row in rows if row["state"] in WITH_END]
    assert run["start_time"] == min(started, default=None)
    assert run["end_time"] == max(ended, default=None)


@pytest.mark.parametrize("seed", range(4))
async def test_writers_at_random(context: ActionContext, database: Database, seed: int) -> None:
    flow = await make_flow(database, tasks=3)
    run_ids = [await make_flow_run(database, flow) for _ in range(3)]
    task_ids = {run: await task_runs_of(database, run) for run in run_ids}
    every_task = [task_run for ids in task_ids.values() for task_run in ids]
    accepted: list[UUID] = []

    async def write(source: random.Random) -> None:
        kind = source.random()
        if kind < 0.1:
            await cancel_flow_run(context, flow_run_id=source.choice(run_ids))
        elif kind < 0.2:
            await run_verbs.update_flow_run_heartbeat(context, flow_run_id=source.choice(run_ids))
        elif kind < 0.6:
            chosen = source.choices(run_ids, k=source.randint(1, 4))
            inputs = [
                FlowRunStateInput(flow_run_id=each, state={"type": source.choice([*NAMES, "Running", "Running"])})
                for each in chosen
            ]
            await set_flow_run_states(context, states=inputs)
            accepted.extend(chosen)
        else:
            chosen = source.choices(every_task, k=source.randint(1, 4))
            tasks = [TaskRunStateInput(task_run_id=each, state={"type": source.choice(NAMES)}) for each in chosen]
            await set_task_run_states(context, states=tasks)
            accepted.extend(chosen)

    async def writer(number: int) -> None:
        source = random.Random(f"{seed}/{number}")  # noqa: S311 - a seeded test
        for _ in range(WRITES):
            try:
                await write(source)
            except StateUpdateFailed:
                pass

    await asyncio.gather(*(writer(number) for number in range(WRITERS)))
    for run_id in run_ids:
        rows = await history(database, "flow_run", run_id)
        assert len(rows) >= accepted.count(run_id)
        check(await fetch_one(database, "flow_run", run_id), rows)
    for task_run in every_task:
        rows = await history(database, "task_run", task_run)
        assert len(rows) >= 1 + accepted.count(task_run)
        check(await fetch_one(database, "task_run", task_run), rows)
    submitted = await fetch_all(
        database, "SELECT flow_run_id FROM flow_run_state WHERE state = 'Submitted' GROUP BY 1 HAVING count(*) > 1"
    )
    assert submitted == []
