"""What happens between an agent, its runs and the server: labels, cancellation, cached results."""

import asyncio
from uuid import UUID

from tests.support.prefect_client import PrefectClient
from tests.support.runs import state_of, wait_for_state
from tests.support.waiting import wait_until
from tests.support.whole_server import Server


async def new_run(client: PrefectClient, flow_id: str, *options: str) -> str:
    """Create a run with `prefect run` and return its id."""
    return (await client.prefect("run", "--id", flow_id, "--quiet", *options)).strip()


async def test_a_running_flow_is_cancelled(server: Server, client: PrefectClient, project: str) -> None:
    """§3.6: it goes to Cancelling, notices, and ends Cancelled by its own report; what had not begun never does."""
    flow_id = (await client.script("patient.py", project)).split()[-1]
    run_id = await new_run(client, flow_id)
    async with client.agent() as agent:
        await wait_until(
            lambda: server.rows(
                "SELECT 1 FROM task_run r JOIN task t ON t.id = r.task_id"
                " WHERE r.flow_run_id = $1 AND t.name = 'wait' AND r.state = 'Running'",
                UUID(run_id),
            ),
            seconds=60,
            what="the long task",
            detail=lambda: agent.program.output,
        )
        await wait_until(
            lambda: server.value("SELECT heartbeat - start_time > '1 s' FROM flow_run WHERE id = $1", UUID(run_id)),
            seconds=60,
            what="heartbeats of the process at the run's side",
        )
        payload = await server.mutate("cancel_flow_run", flow_run_id=run_id, select="state")
        assert payload == {"state": "Cancelling"}
        await wait_for_state(server, run_id, "Cancelled")
        states = await server.rows(
            "SELECT state FROM flow_run_state WHERE flow_run_id = $1 ORDER BY version", UUID(run_id)
        )
        assert [row["state"] for row in states] == ["Scheduled", "Submitted", "Running", "Cancelling", "Cancelled"]
        never = await server.rows(
            "SELECT s.state FROM task_run_state s JOIN task_run r ON r.id = s.task_run_id"
            " JOIN task t ON t.id = r.task_id WHERE r.flow_run_id = $1 AND t.name = 'never' ORDER BY s.version",
            UUID(run_id),
        )
        assert "Running" not in [row["state"] for row in never]


async def test_an_agent_gets_only_runs_that_fit_its_labels(server: Server, client: PrefectClient, project: str) -> None:
    """§2.8: all labels of a run must be the agent's, and a run without labels is for an agent without labels."""
    flows = [["both", "red", "blue"], ["none"], ["green", "red", "green"], ["red", "red"]]
    scripts = await asyncio.gather(*(client.script("labelled.py", project, name, *labels) for name, *labels in flows))
    ids = [script.split()[-1] for script in scripts]
    runs = dict(
        zip([name for name, *_ in flows], await asyncio.gather(*(new_run(client, id) for id in ids)), strict=True)
    )
    async with client.agent("--no-hostname-label", "--label", "blue", "--label", "red"):
        await wait_for_state(server, runs["both"], "Success")
        await wait_for_state(server, runs["red"], "Success")
    assert await state_of(server, runs["none"]) == "Scheduled"
    assert await state_of(server, runs["green"]) == "Scheduled"
    async with client.agent("--no-hostname-label", name="unlabelled"):
        await wait_for_state(server, runs["none"], "Success")
    assert await state_of(server, runs["green"]) == "Scheduled"


async def test_a_result_is_used_again(server: Server, client: PrefectClient, project: str) -> None:
    """`cache_for`: the second run finds the first one's Cached state and its result (K5)."""
    flow_id = (await client.script("cached.py", project, str(client.home / "results"))).split()[-1]

    async def run(number: int) -> list[str]:
        said = await client.prefect("run", "--id", flow_id, "--param", f"number={number}", "--execute")
        run_id = UUID(said.partition("UUID: ")[2].split()[0])
        states = await server.rows(
            "SELECT s.state FROM task_run_state s JOIN task_run r ON r.id = s.task_run_id"
            " JOIN task t ON t.id = r.task_id"
            " WHERE r.flow_run_id = $1 AND t.name = 'expensive' ORDER BY s.version",
            run_id,
        )
        return [row["state"] for row in states]

    assert await run(1) == ["Pending", "Running", "Success", "Cached"]
    assert await run(1) == ["Pending", "Cached"]
    assert await run(2) == ["Pending", "Running", "Success", "Cached"]


async def test_a_failure_is_told(server: Server, client: PrefectClient, project: str) -> None:
    """A task fails, the next one never starts, the run is Failed; without an agent, by `prefect run --execute`."""
    flow_id = (await client.script("failing.py", project)).split()[-1]
    said = await client.prefect("run", "--id", flow_id, "--execute", exit_code=1)
    assert "Flow run failed!" in said
    run_id = UUID(said.partition("UUID: ")[2].split()[0])
    tasks = await server.rows(
        "SELECT t.name, r.name AS run_name, r.state, r.state_message, r.end_time IS NOT NULL AS ended"
        " FROM task_run r JOIN task t ON t.id = r.task_id WHERE r.flow_run_id = $1 ORDER BY t.name",
        run_id,
    )
    assert [(row["name"], row["state"]) for row in tasks] == [
        ("bad", "Failed"),
        ("downstream", "TriggerFailed"),
        ("good", "Success"),
    ]
    assert "it broke at 1" in tasks[0]["state_message"]
    assert tasks[0]["run_name"] == "broken by 1"
    # TriggerFailed is not in the list of states that end a run (§4.2).
    assert [row["ended"] for row in tasks] == [True, False, True]
    assert await state_of(server, str(run_id)) == "Failed"
    assert "RuntimeError: it broke at 1" in await client.prefect("get", "logs", "--id", str(run_id))


async def test_a_flow_runs_another(server: Server, client: PrefectClient, project: str) -> None:
    """The tasks that create, start, wait for and rename runs, and fetch results (client-operations.md §7)."""
    flow_id = (await client.script("parent.py", project)).split()[-1]
    run_id = await new_run(client, flow_id)
    async with client.agent() as agent:

        async def finished() -> bool:
            # Whatever the parent creates is picked up at once, not after the agent's back-off.
            if await server.rows(
                "SELECT 1 FROM flow_run r JOIN flow f ON f.id = r.flow_id JOIN project p ON p.id = f.project_id"
                " WHERE p.name = $1 AND r.state = 'Scheduled'",
                project,
            ):
                await agent.poke()
            return await state_of(server, run_id) in ("Success", "Failed")

        await wait_until(finished, seconds=90, what="end of the parent", detail=lambda: agent.program.output)
    runs = await server.rows(
        "SELECT r.name, r.state, r.idempotency_key, r.parameters FROM flow_run r JOIN flow f ON f.id = r.flow_id"
        " JOIN project p ON p.id = f.project_id WHERE p.name = $1 AND f.name = 'child' ORDER BY r.created",
        project,
    )
    assert [(run["name"], run["parameters"], run["state"]) for run in runs] == [
        ("grown up", {"number": 41}, "Success"),
        ("second kid", {"number": 7}, "Success"),
    ]
    assert await state_of(server, run_id) == "Success"
    tasks = await server.rows(
        "SELECT r.id::text FROM task_run r JOIN task t ON t.id = r.task_id"
        " WHERE r.flow_run_id = $1 AND t.name = 'create_flow_run'",
        UUID(run_id),
    )
    assert runs[0]["idempotency_key"] == tasks[0]["id"]
    links = await server.rows(
        "SELECT a.kind FROM task_run_artifact a JOIN task_run r ON r.id = a.task_run_id WHERE r.flow_run_id = $1",
        UUID(run_id),
    )
    assert {link["kind"] for link in links} == {"link"}
