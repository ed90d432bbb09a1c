"""Runs that stopped and go on later, with an agent: approval, restart from failed, a late retry; and one that never
goes (actions.md §2.8, §3, §4.7; client-operations.md §4.2).

What a user does in the UI is sent as the UI sends it.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from tests.support.prefect_client import BEATING_THREAD, PrefectClient
from tests.support.runs import history, task_histories, wait_for_state
from tests.support.whole_server import Server

RAN = ["Pending", "Running", "Success"]
FAILED = ["Pending", "Running", "Failed"]
NOT_RUN = ["Pending", "TriggerFailed"]
AGAIN = ["Pending", "Running", "Success"]
FIRST_PASS = ["Scheduled", "Running"]
BY_AGENT = ["Scheduled", "Submitted", "Running", "Success"]


async def test_stopped_runs_go_on(server: Server, client: PrefectClient, project: str) -> None:
    """Four runs stop, each in its way; after the user's click an agent finishes them; a cancelled one is left alone."""
    results = client.home / "results"
    ids = await client.answers("reruns.py", project, str(results), env=BEATING_THREAD)
    await check_first_pass(server, ids)

    assert await server.mutate("cancel_flow_run", flow_run_id=ids["queued"], select="state") == {"state": "Cancelled"}
    await approve(server, ids["paused"])
    await edit(server, ids["edited"], "broken", {"type": "Success", "message": "set by hand"})
    await restart(server, ids["edited"], expected={"last": 0})
    await asyncio.to_thread(Path(results, "repaired").touch)
    await restart(server, ids["failed"], expected={"broken": 0, "last": 1})
    await edit(server, ids["late"], "later", {"type": "Retrying", "start_time": some_seconds_ago(), "run_count": 1})

    async with client.agent() as agent:
        for name in ("paused", "edited", "failed", "late"):
            ended = await wait_for_state(server, ids[name], "Success", "Failed", detail=lambda: agent.program.output)
            assert ended == "Success", name
    await check_second_pass(server, ids)


def some_seconds_ago() -> str:
    """Return a time at which an agent finds a task overdue, ISO-8601."""
    return (datetime.now(UTC) - timedelta(seconds=5)).isoformat()


async def check_first_pass(server: Server, ids: Mapping[str, str]) -> None:
    """Nothing but the run that nobody began is offered to agents."""
    assert await history(server, ids["paused"]) == FIRST_PASS
    assert await history(server, ids["late"]) == FIRST_PASS
    assert await history(server, ids["failed"]) == [*FIRST_PASS, "Failed"]
    assert await task_histories(server, ids["paused"]) == {
        "first": RAN,
        # A trigger pauses before the task is Running, the task itself after.
        "approval": ["Pending", "Paused"],
        "hold": ["Pending", "Running", "Paused"],
        "last": ["Pending"],
    }
    tenant_id = str(await server.value("SELECT tenant_id FROM flow WHERE id = $1", UUID(ids["failed flow"])))
    labels = await server.value("SELECT labels FROM flow_run WHERE id = $1", UUID(ids["queued"]))
    queue = await server.mutate("get_runs_in_queue", tenant_id=tenant_id, labels=labels, select="flow_run_ids")
    assert set(ids.values()) & set(queue["flow_run_ids"]) == {ids["queued"]}


async def edit(server: Server, run_id: str, task: str, state: Mapping[str, object]) -> None:
    """Write a task run's state by hand."""
    task_run_id = await server.value(
        "SELECT r.id::text FROM task_run r JOIN task t ON t.id = r.task_id WHERE r.flow_run_id = $1 AND t.name = $2",
        UUID(run_id),
        task,
    )
    written = await server.mutate(
        "set_task_run_states",
        states=[{"task_run_id": task_run_id, "state": state, "version": None}],
        select="states { id status message }",
    )
    assert written == {"states": [{"id": task_run_id, "status": "SUCCESS", "message": None}]}


async def schedule_again(server: Server, run_id: str) -> None:
    """Write a flow run's state Scheduled, starting now."""
    await server.mutate(
        "set_flow_run_states",
        states=[{"flow_run_id": run_id, "state": {"type": "Scheduled", "message": "restarted"}}],
        select="states { id status message }",
    )


async def approve(server: Server, run_id: str) -> None:
    """Resume every paused task run, then the run."""
    paused = await server.query(
        "query($where: task_run_bool_exp!) { task_run(where: $where) { id version } }",
        {"where": {"flow_run_id": {"_eq": run_id}, "state": {"_eq": "Paused"}}},
    )
    assert len(paused["task_run"]) == 2
    # An agent sees tasks that have been due for three seconds; these are so whenever it looks.
    resume = {"type": "Resume", "message": "approved", "start_time": some_seconds_ago()}
    states = [{"task_run_id": row["id"], "version": row["version"], "state": resume} for row in paused["task_run"]]
    await server.mutate("set_task_run_states", states=states, select="states { id }")
    await schedule_again(server, run_id)


async def restart(server: Server, run_id: str, *, expected: Mapping[str, int]) -> None:
    """Restart from failed: what failed and all that is downstream of it becomes Pending, the run Scheduled.

    Args:
        expected: names of these tasks with their depth.
    """
    failed = await server.query(
        "query($where: task_run_bool_exp!) { task_run(where: $where) { id task_id } }",
        {"where": {"flow_run_id": {"_eq": run_id}, "state": {"_in": ["Failed", "TriggerFailed"]}}},
    )
    start = "{" + ", ".join(row["task_id"] for row in failed["task_run"]) + "}"
    found = await server.query(
        f'query {{ utility_downstream_tasks(args: {{ start_task_ids: "{start}" }}) {{ depth task {{ id name }} }} }}'
    )
    tasks = found["utility_downstream_tasks"]
    assert {row["task"]["name"]: row["depth"] for row in tasks} == expected
    runs = await server.query(
        "query($where: task_run_bool_exp!) { task_run(where: $where) { id version } }",
        {"where": {"flow_run_id": {"_eq": run_id}, "task_id": {"_in": [row["task"]["id"] for row in tasks]}}},
    )
    states = [
        {"task_run_id": row["id"], "version": row["version"], "state": {"type": "Pending", "message": "restarted"}}
        for row in runs["task_run"]
    ]
    await server.mutate("set_task_run_states", states=states, select="states { id }")
    await schedule_again(server, run_id)


async def check_second_pass(server: Server, ids: Mapping[str, str]) -> None:
    """Only what had not succeeded was run again."""
    assert await history(server, ids["paused"]) == [*FIRST_PASS, *BY_AGENT]
    assert await task_histories(server, ids["paused"]) == {
        "first": RAN,
        "approval": ["Pending", "Paused", "Resume", "Submitted", "Running", "Success"],
        "hold": ["Pending", "Running", "Paused", "Resume", "Submitted", "Running", "Success"],
        "last": RAN,
    }
    assert await history(server, ids["failed"]) == [*FIRST_PASS, "Failed", *BY_AGENT]
    assert await task_histories(server, ids["failed"]) == {
        "first": RAN,
        "folder": RAN,
        "other": RAN,
        "broken": [*FAILED, *AGAIN],
        "last": [*NOT_RUN, *AGAIN],
    }
    assert await history(server, ids["edited"]) == [*FIRST_PASS, "Failed", *BY_AGENT]
    assert await task_histories(server, ids["edited"]) == {
        "first": RAN,
        "folder": RAN,
        "other": RAN,
        "broken": [*FAILED, "Success"],
        "last": [*NOT_RUN, *AGAIN],
    }
    # An agent submits the task that is due, not the flow run, which is still Running.
    assert await history(server, ids["late"]) == [*FIRST_PASS, "Success"]
    assert await task_histories(server, ids["late"]) == {
        "later": [*FAILED, "Retrying", "Retrying", "Submitted", "Running", "Success"],
        "last": RAN,
    }
    assert await history(server, ids["queued"]) == ["Scheduled", "Cancelled"]
    assert set(map(tuple, (await task_histories(server, ids["queued"])).values())) == {("Pending", "Cancelled")}
    said = await server.rows(
        "SELECT flow_run_id::text, message FROM log WHERE message LIKE 'last got %' AND flow_run_id = ANY($1::uuid[])",
        [UUID(ids[name]) for name in ("paused", "failed", "edited")],
    )
    assert {row["flow_run_id"]: row["message"] for row in said} == {
        ids["paused"]: "last got 2 and 11",
        ids["failed"]: "last got 101 and None",
        ids["edited"]: "last got None and None",
    }
