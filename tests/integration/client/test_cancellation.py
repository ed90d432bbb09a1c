"""Runs that are cancelled before anything of them runs (actions.md §3.6; demand 22: cancelling sticks).

A run that is cancelled while it runs is in tests/integration/test_agents.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.support.prefect_client import PrefectClient
from tests.support.runs import history, task_histories, wait_for_state
from tests.support.whole_server import Server

HELD_SECONDS = 4.0
"""How long an agent holds the run back that it fetched early; it fetches up to ten seconds before the time."""


async def test_a_cancelled_run_never_starts(server: Server, client: PrefectClient, project: str) -> None:
    """Cancelled in the queue, by the client, and while an agent waits for the time of a run that it has fetched."""
    flow_id = (await client.script("labelled.py", project, "cancelled", project)).split()[-1]

    async def new_run(seconds: float = 0) -> str:
        start = datetime.now(UTC) + timedelta(seconds=seconds)
        made = await server.mutate("create_flow_run", flow_id=flow_id, scheduled_start_time=start.isoformat())
        run_id: str = made["id"]
        return run_id

    async def cancel(run_id: str) -> None:
        assert await server.mutate("cancel_flow_run", flow_run_id=run_id, select="state") == {"state": "Cancelled"}

    queued, future = await new_run(), await new_run(3600)
    await cancel(queued)
    await cancel(future)
    options = ("--no-hostname-label", "--label", project, "--log-level", "DEBUG")
    async with client.agent(*options, name=project) as agent:
        held = await new_run(HELD_SECONDS)
        await agent.poke()
        await agent.program.wait_for_text(f"deploy flow run {held} on time", seconds=60)
        await cancel(held)
        # Of two that wait, the agent begins with the one that is due first.
        after = await new_run(HELD_SECONDS)
        await agent.poke()
        await wait_for_state(server, after, "Success", "Failed", detail=lambda: agent.program.output)
        # The agent gives up on that run, quietly.
        await agent.program.wait_for_text("Updating Flow Run state failed", seconds=60)
        assert f"Deploying flow run {held} to execution" in agent.program.output

    for run_id in (queued, future, held):
        assert await history(server, run_id) == ["Scheduled", "Cancelled"]
        assert await task_histories(server, run_id) == {"say": ["Pending", "Cancelled"]}
        assert await server.value("SELECT agent_id FROM flow_run WHERE id = $1", UUID(run_id)) is None
    assert await history(server, after) == ["Scheduled", "Submitted", "Running", "Success"]
