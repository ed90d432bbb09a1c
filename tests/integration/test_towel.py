"""The maintenance loops of the real server, with the real client: what dies is found, what is due is planned."""

from uuid import UUID

import pytest

from tests.integration.conftest import NewClient, StartServer
from tests.support.prefect_client import PrefectClient
from tests.support.waiting import wait_until
from tests.support.whole_server import Server

QUICK = {
    "PREFECT_SERVER__TOWEL__SCHEDULER_INTERVAL_SECONDS": "1",
    "PREFECT_SERVER__TOWEL__LAZARUS_INTERVAL_SECONDS": "1",
    "PREFECT_SERVER__TOWEL__ZOMBIE_KILLER_INTERVAL_SECONDS": "1",
    "PREFECT_SERVER__TOWEL__HEARTBEAT_TIMEOUT_SECONDS": "6",
}

ZOMBIE_KILLER = "prefect-server.ZombieKiller.TaskRun"
LAZARUS = "prefect-server.Lazarus.FlowRun"


@pytest.fixture
async def watchful(start_server: StartServer, topology: str) -> Server:
    """A server whose loops take seconds instead of minutes."""
    return await start_server(topology, **QUICK)


@pytest.fixture
async def user(watchful: Server, new_client: NewClient) -> PrefectClient:
    """A user's machine whose server is `watchful`, with a project `p`."""
    made = new_client(watchful)
    await made.prefect("create", "project", "p", "--skip-if-exists")
    return made


async def test_a_killed_run_is_finished_by_another_agent(watchful: Server, user: PrefectClient) -> None:
    """§5.4: the machine of a run dies; its task is set to Retrying, and whoever polls next goes on with the run."""
    flow_id = (await user.script("interrupted.py", "p")).split()[-1]
    run_id = UUID((await user.prefect("run", "--id", flow_id, "--quiet")).strip())
    async with user.agent(name="doomed") as doomed:
        await wait_until(
            lambda: watchful.rows("SELECT 1 FROM task_run WHERE flow_run_id = $1 AND state = 'Running'", run_id),
            seconds=60,
            what="the task that hangs",
            detail=lambda: doomed.program.output,
        )
        # SIGKILL for the agent, the run and its heartbeat process.
        doomed.program.kill()
    await wait_until(
        lambda: watchful.rows("SELECT 1 FROM task_run WHERE flow_run_id = $1 AND state = 'Retrying'", run_id),
        seconds=60,
        what="the zombie killer",
    )
    async with user.agent(name="heir") as heir:
        await wait_until(
            lambda: watchful.value("SELECT state IN ('Success', 'Failed') FROM flow_run WHERE id = $1", run_id),
            seconds=60,
            what="end of the run",
            detail=lambda: heir.program.output,
        )
    assert await watchful.value("SELECT state FROM flow_run WHERE id = $1", run_id) == "Success"
    states = await watchful.rows(
        "SELECT s.state FROM task_run_state s JOIN task_run r ON r.id = s.task_run_id JOIN task t ON t.id = r.task_id"
        " WHERE r.flow_run_id = $1 AND t.name = 'work' ORDER BY s.version, s.timestamp",
        run_id,
    )
    assert [row["state"] for row in states][:3] == ["Pending", "Running", "Retrying"]
    assert [row["state"] for row in states][-2:] == ["Running", "Success"]
    logs = await watchful.rows("SELECT level FROM log WHERE flow_run_id = $1 AND name = $2", run_id, ZOMBIE_KILLER)
    assert [log["level"] for log in logs] == ["ERROR"]


async def test_a_run_that_was_taken_and_dropped_is_offered_again(watchful: Server) -> None:
    """§5.3: an agent dies after it said Submitted; lazarus puts the run back into the queue."""
    tenant_id = str(await watchful.value("SELECT id FROM tenant"))
    project = await watchful.mutate("create_project", tenant_id=tenant_id, name="dropped")
    flow = await watchful.mutate("create_flow", project_id=project["id"], serialized_flow={"name": "dropped"})
    run = await watchful.mutate("create_flow_run", flow_id=flow["id"])
    await watchful.mutate(
        "set_flow_run_states",
        states=[{"flow_run_id": run["id"], "state": {"type": "Submitted"}}],
        select="states { status }",
    )

    async def offered() -> bool:
        queue = await watchful.mutate("get_runs_in_queue", tenant_id=tenant_id, labels=[], select="flow_run_ids")
        return run["id"] in queue["flow_run_ids"]

    assert not await offered()
    await wait_until(offered, seconds=60, what="the run back in the queue")
    run_id = UUID(run["id"])
    assert await watchful.value("SELECT times_resurrected FROM flow_run WHERE id = $1", run_id) == 1
    logs = await watchful.rows("SELECT level FROM log WHERE flow_run_id = $1 AND name = $2", run_id, LAZARUS)
    assert [log["level"] for log in logs] == ["INFO"]


async def test_ten_runs_are_always_planned(watchful: Server, user: PrefectClient) -> None:
    """§5.2: when a planned run leaves the plan, the scheduler adds the next one."""
    flow_id = UUID((await user.script("etl.py", "p")).split()[-1])
    planned = "SELECT id FROM flow_run WHERE flow_id = $1 AND state = 'Scheduled' ORDER BY scheduled_start_time"
    first = await watchful.rows(planned, flow_id)
    assert len(first) == 10
    # Its time has come and gone, as if an agent had run it.
    await watchful.mutate(
        "set_flow_run_states",
        states=[{"flow_run_id": str(first[0]["id"]), "state": {"type": "Success"}}],
        select="states { status }",
    )

    await wait_until(
        lambda: watchful.value("SELECT scheduled_start_time < now() FROM flow_run WHERE id = $1", first[0]["id"]),
        seconds=30,
        what="the time of the first run",
    )

    async def replanned() -> bool:
        return len(await watchful.rows(planned, flow_id)) == 10

    await wait_until(replanned, seconds=30, what="an eleventh run")
    times = await watchful.rows(
        "SELECT scheduled_start_time - lag(scheduled_start_time) OVER (ORDER BY scheduled_start_time) AS step"
        " FROM flow_run WHERE flow_id = $1 AND auto_scheduled",
        flow_id,
    )
    assert [row["step"].total_seconds() for row in times[1:]] == [60.0] * 10
