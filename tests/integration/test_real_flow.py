"""The main job as a user does it: register a flow, run it by hand and on schedule with an agent, look at it.

Done with the server in every topology.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.prefect_client import FLOWS, Agent, PrefectClient
from tests.support.waiting import wait_until
from tests.support.whole_server import Server

RUN_SECONDS = 60
FINISHED = "('Success', 'Failed', 'Cancelled', 'TimedOut', 'TriggerFailed')"

VIEW = """
query {
    flow_run(where: { id: { _eq: "%s" } }) {
        id
        name
        flow_id
        serialized_state
        states { timestamp serialized_state }
        labels
        parameters
        logs(
            order_by: { timestamp: asc }
            where: { _and: [{ timestamp: { _lte: "2999-01-01T00:00:00+00:00" } }, {}] }
        ) {
            timestamp
            message
            level
        }
        task_runs(where: { map_index: { _neq: -1 } }, order_by: { map_index: asc }) { map_index state task { name } }
        flow { name version project { name } }
    }
}
"""
"""The fields of the client's own view of a run (client-operations.md §3, V2 and V3), and what belongs to it."""


@pytest.mark.every_topology
async def test_a_flow_runs_by_hand_and_on_schedule(server: Server, new_client: Callable[..., PrefectClient]) -> None:
    """Register in both ways, run with an agent in both ways, and find everything in the database and the CLI."""
    project = f"etl-{uuid4().hex[:8]}"
    client = new_client(server, backend=None)
    assert "server" in await client.prefect("backend", "server")
    assert f"{project} created" in await client.prefect("create", "project", project, "--description", "nightly")
    by_script = UUID((await client.script("etl.py", project)).split()[-1])
    assert "1 registered" in await client.prefect("register", "--project", project, "--path", str(FLOWS / "etl.py"))
    by_cli = await newest_version(server, project, replaces=by_script)

    async with client.agent(name=project) as agent, unscheduled(server, by_cli):
        by_hand, on_schedule = await asyncio.gather(
            run_by_hand(server, client, agent, project, by_cli), run_on_schedule(server, agent, by_cli)
        )
        await check_agent(server, project)

    await check_run(server, by_hand, by_cli, count=3)
    await check_run(server, on_schedule, by_cli, count=2)
    await check_view(server, by_hand, project)
    await check_cli(server, client, project, by_hand)


@asynccontextmanager
async def unscheduled(server: Server, flow_id: UUID) -> AsyncIterator[None]:
    """Switch a flow's schedule off after the block, for the agents of other tests not to run it."""
    try:
        yield
    finally:
        await server.mutate("set_schedule_inactive", flow_id=str(flow_id), select="success")


async def newest_version(server: Server, project: str, *, replaces: UUID) -> UUID:
    """Return the id of the project's unarchived flow, version 2, whose runs are planned; version 1 has none left."""
    flows = await server.rows(
        """
        SELECT f.id, f.version, f.archived, f.is_schedule_active,
               (SELECT count(*) FROM flow_run WHERE flow_id = f.id AND state = 'Scheduled' AND auto_scheduled) AS runs
        FROM flow f JOIN project p ON p.id = f.project_id
        WHERE p.name = $1 ORDER BY f.version
        """,
        project,
    )
    assert [(flow["version"], flow["archived"]) for flow in flows] == [(1, True), (2, False)]
    assert flows[0]["id"] == replaces
    assert flows[0]["runs"] == 0
    assert flows[1]["runs"] >= 10
    assert flows[1]["is_schedule_active"]
    flow_id = flows[1]["id"]
    assert isinstance(flow_id, UUID)
    return flow_id


async def run_by_hand(server: Server, client: PrefectClient, agent: Agent, project: str, flow_id: UUID) -> UUID:
    """`prefect run --watch`, with an agent at work; return the run's id."""
    arguments = ("run", "--project", project, "--name", "etl", "--param", "count=3", "--watch")
    with client.start("prefect", *arguments) as watching:
        run_id = await wait_until(
            lambda: server.value("SELECT id FROM flow_run WHERE flow_id = $1 AND NOT auto_scheduled", flow_id),
            seconds=30,
            what="flow run made by `prefect run`",
            detail=lambda: watching.output,
        )
        await agent.poke()
        exit_code = await watching.wait(seconds=RUN_SECONDS)
    assert exit_code == 0, f"{watching.output}\n{agent.program.output}"
    # Not its last log lines: the client stops watching at the final state, which may be seen before they are sent.
    assert "Entered state <Success>" in watching.output
    assert "Flow run succeeded" in watching.output
    assert isinstance(run_id, UUID)
    return run_id


async def run_on_schedule(server: Server, agent: Agent, flow_id: UUID) -> UUID:
    """Wait for the end of the first scheduled run and return its id."""
    row = await wait_until(
        lambda: server.rows(
            f"SELECT id, start_time - scheduled_start_time AS late FROM flow_run"
            f" WHERE flow_id = $1 AND auto_scheduled AND state IN {FINISHED}",
            flow_id,
        ),
        seconds=RUN_SECONDS,
        what="end of a scheduled run",
        detail=lambda: agent.program.output,
    )
    assert row[0]["late"].total_seconds() >= 0, "it started before its time"
    run_id = row[0]["id"]
    assert isinstance(run_id, UUID)
    return run_id


async def check_agent(server: Server, name: str) -> None:
    """The agent is there, once, and was heard of within the last minute."""
    [agent] = await server.rows(
        "SELECT *, clock_timestamp() - last_queried < interval '1 minute' AS healthy FROM agent WHERE name = $1", name
    )
    assert (agent["type"], agent["core_version"], agent["healthy"]) == ("LocalAgent", "1.4.1", True)
    told = await server.query("query { agent { last_queried labels name id } }")
    [seen] = [each for each in told["agent"] if each["name"] == name]
    assert (seen["id"], seen["labels"]) == (str(agent["id"]), agent["labels"])
    assert seen["last_queried"] is not None


async def check_run(server: Server, run_id: UUID, flow_id: UUID, *, count: int) -> None:
    """The run, its task runs with their whole history, mapped children, logs and heartbeat are in the database."""
    [run] = await server.rows("SELECT * FROM flow_run WHERE id = $1", run_id)
    assert (run["flow_id"], run["state"], run["version"]) == (flow_id, "Success", 4)
    assert run["parameters"] == {"count": count}
    assert run["start_time"] < run["end_time"]
    assert run["agent_id"] is not None
    assert run["heartbeat"] > run["start_time"]
    assert await history(server, "flow_run", run_id) == ["Scheduled", "Submitted", "Running", "Success"]

    task_runs = await server.rows(
        "SELECT r.id, r.map_index, r.state, t.name FROM task_run r JOIN task t ON t.id = r.task_id"
        " WHERE r.flow_run_id = $1 ORDER BY t.name, r.map_index",
        run_id,
    )
    expected = [("count", -1), ("factor", -1), ("numbers", -1), ("scale", -1)]
    expected += [("scale", index) for index in range(count)]
    expected += [("total", -1)]
    assert [(task_run["name"], task_run["map_index"]) for task_run in task_runs] == expected
    for task_run in task_runs:
        states = await history(server, "task_run", task_run["id"])
        match task_run["name"], task_run["map_index"]:
            case "factor", _:
                assert states == ["Pending", "Running", "Failed", "Retrying", "Running", "Success"]
            case "scale", -1:
                assert states == ["Pending", "Mapped"]
            case _:
                assert states == ["Pending", "Running", "Success"]

    logs = await server.rows("SELECT * FROM log WHERE flow_run_id = $1 ORDER BY timestamp", run_id)
    messages = [log["message"] for log in logs]
    assert sum(message.startswith("scaling ") for message in messages) == count
    [warning] = [log for log in logs if log["level"] == "WARNING"]
    assert warning["message"] == f"the total is {sum(range(count)) * 10}"
    assert warning["task_run_id"] in {task_run["id"] for task_run in task_runs}
    assert any("Flow run SUCCESS" in message for message in messages)
    assert any("first attempt fails" in message for message in messages)


async def history(server: Server, kind: str, id: UUID) -> list[str]:
    """Return the states a run went through."""
    rows = await server.rows(f"SELECT state FROM {kind}_state WHERE {kind}_id = $1 ORDER BY version, timestamp", id)
    return [row["state"] for row in rows]


async def check_view(server: Server, run_id: UUID, project: str) -> None:
    """The gateway tells the same, to a query spelled as the client spells it."""
    answer: Any = await server.query(VIEW % run_id)
    [run] = answer["flow_run"]
    assert run["id"] == str(run_id)
    assert run["serialized_state"]["type"] == "Success"
    states = sorted(run["states"], key=lambda state: state["timestamp"])
    assert [state["serialized_state"]["type"] for state in states] == ["Scheduled", "Submitted", "Running", "Success"]
    assert run["flow"] == {"name": "etl", "version": 2, "project": {"name": project}}
    assert run["task_runs"] == [
        {"map_index": index, "state": "Success", "task": {"name": "scale"}} for index in range(3)
    ]
    assert [log["level"] for log in run["logs"] if log["message"] == "the total is 30"] == ["WARNING"]
    assert run["logs"] == sorted(run["logs"], key=lambda log: log["timestamp"])


async def check_cli(server: Server, client: PrefectClient, project: str, run_id: UUID) -> None:
    """`prefect get …` and `prefect describe …` print it all."""
    name = await server.value("SELECT name FROM flow_run WHERE id = $1", run_id)
    said = await asyncio.gather(
        client.prefect("get", "flow-runs", "--project", project, "--started"),
        client.prefect("get", "logs", "--id", str(run_id)),
        client.prefect("describe", "flow-runs", "--name", name, "--flow-name", "etl"),
        client.prefect("get", "flows", "--project", project),
        client.prefect("get", "projects"),
        client.prefect("get", "tasks", "--project", project),
        client.prefect("describe", "flows", "--name", "etl", "--project", project),
        client.prefect("describe", "tasks", "--name", "etl", "--project", project),
    )
    runs, logs, run, flows, projects, tasks, flow, flow_tasks = said
    assert name in runs
    assert "Success" in runs
    assert "the total is 30" in logs
    assert all(text in run for text in (name, "Success", '"count": 3'))
    assert all(text in flows for text in ("etl", project, "2"))
    assert all(text in projects for text in (project, "nightly"))
    assert all(text in tasks for text in ("scale", "total", "numbers", "factor"))
    assert all(text in flow for text in ('"name": "etl"', '"version": 2', "Local"))
    assert all(text in flow_tasks for text in ('"name": "factor"', '"max_retries": 1', '"retry_delay"'))
