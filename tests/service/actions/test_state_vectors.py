"""Every state that the real client can read is stored as the client would write it (actions.md §3.1, §3.2)."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.states import (
    FlowRunStateInput,
    TaskRunStateInput,
    set_flow_run_states,
    set_task_run_states,
)
from server_core.db.session import Database
from tests.support.rows import execute, fetch_all, make_flow, make_flow_run, task_runs_of

NOW = datetime(2022, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
UNIT = Path(__file__).parents[2] / "unit"
VECTORS = [
    (document, {**stored, "start_time": NOW.isoformat()} if stored.get("start_time") == "NOW" else stored)
    for document, stored in json.loads((UNIT / "state_vectors" / "vectors.json").read_text())
    if stored
]


async def many_runs(context: ActionContext, database: Database) -> dict[str, list[UUID]]:
    """Return a run of either kind per vector; the task runs' flow run is Running."""
    flow = await make_flow(database, tasks=1)
    running = await make_flow_run(database, flow)
    await set_flow_run_states(context, states=[FlowRunStateInput(flow_run_id=running, state={"type": "Running"})])
    await execute(
        database,
        "INSERT INTO task_run (tenant_id, flow_run_id, task_id, map_index)"
        " SELECT $1, $2, $3, n FROM generate_series(0, $4::int - 2) AS n",
        *(flow.tenant_id, running, flow.task_ids[0], len(VECTORS)),
    )
    empty = await make_flow(database)
    await execute(
        database,
        "INSERT INTO flow_run (tenant_id, flow_id) SELECT $1, $2 FROM generate_series(1, $3::int)",
        *(empty.tenant_id, empty.id, len(VECTORS)),
    )
    flow_runs = await fetch_all(database, "SELECT id FROM flow_run WHERE flow_id = $1", empty.id)
    return {"flow": [row["id"] for row in flow_runs], "task": await task_runs_of(database, running)}


@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_states_are_stored_as_the_client_writes_them(
    context: ActionContext, database: Database, kind: str
) -> None:
    runs = (await many_runs(context, database))[kind]
    at = replace(context, clock=lambda: NOW)
    documents = [document for document, _ in VECTORS]
    if kind == "flow":
        flow_states = [
            FlowRunStateInput(flow_run_id=run, state=each) for run, each in zip(runs, documents, strict=True)
        ]
        await set_flow_run_states(at, states=flow_states)
    else:
        task_states = [
            TaskRunStateInput(task_run_id=run, state=each) for run, each in zip(runs, documents, strict=True)
        ]
        await set_task_run_states(at, states=task_states)
    stored = {
        row["id"]: row
        for row in await fetch_all(
            database,
            f"""
            SELECT
                run.id, run.state, run.serialized_state, run.state_message, run.state_start_time,
                history.serialized_state AS in_history
            FROM {kind}_run AS run
            JOIN {kind}_run_state AS history ON history.{kind}_run_id = run.id AND history.version = run.version
            WHERE run.id = ANY($1)
            """,
            runs,
        )
    }
    for run, (document, expected) in zip(runs, VECTORS, strict=True):
        row = stored[run]
        assert row["serialized_state"] == row["in_history"] == expected, document
        assert (row["state"], row["state_message"]) == (expected["type"], expected["message"])
        assert row["state_start_time"] == start_of(expected)


def start_of(document: dict[str, Any]) -> datetime | None:
    """Return the start time that a stored state names."""
    text = document.get("start_time")
    return None if text is None else datetime.fromisoformat(text)
