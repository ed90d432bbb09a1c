"""Several agents at several servers: every run is submitted once, and no loser harms it (actions.md §3.4, demands.md
row 4).
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.runs import FlowRunSpec, create_flow_runs_in
from server_core.db.session import Database
from server_core.wire import GraphQLRequest
from services.gateway.upstream import HttpUpstream
from tests.support.processes import Machine
from tests.support.rows import fetch_all, insert, make_flow

SERVERS = 3
AGENTS = 8
RUNS = 1000
AT_A_TIME = 25
"""How many runs a poll returns at most, see queued_runs_returned_limit."""

POLL = "mutation($input: get_runs_in_queue_input!) { get_runs_in_queue(input: $input) { flow_run_ids } }"
SET = "mutation($input: set_flow_run_states_input!) { set_flow_run_states(input: $input) { states { id status } } }"


@dataclass(kw_only=True)
class Agent:
    """Polls and submits as the agent of the 1.4.1 client does (client-operations.md), at another server each time.

    Attributes:
        id: what it sends as X-PREFECT-AGENT-ID.
        polls: the run ids that each poll gave.
        won: runs that it would deploy.
        lost: runs that it gave up quietly.
        failed: runs that it marked as failed.
    """

    id: UUID
    tenant_id: UUID
    servers: list[HttpUpstream]
    polls: list[list[str]] = field(default_factory=list)
    won: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def work(self, number: int) -> None:
        """Take runs until there are none."""
        self.turns = count(number)
        while found := await self.poll():
            for run_id in found:
                await self.deploy(run_id)

    async def poll(self) -> list[str]:
        """Ask for runs."""
        answer = await self.ask(POLL, {"tenant_id": str(self.tenant_id), "labels": []})
        found: list[str] = answer["data"]["get_runs_in_queue"]["flow_run_ids"]
        self.polls.append(found)
        return found

    async def deploy(self, run_id: str) -> None:
        """Submit a run; on an error mark it as failed, unless the text says that another agent has it."""
        answer = await self.set_state(run_id, {"type": "Submitted", "message": "Submitted for execution"})
        if "errors" not in answer:
            assert answer["data"]["set_flow_run_states"]["states"] == [{"id": run_id, "status": "SUCCESS"}]
            self.won.append(run_id)
        elif "State update failed" in str(answer["errors"]):
            self.lost.append(run_id)
        else:
            self.failed.append(run_id)
            await self.set_state(run_id, {"type": "Failed", "message": str(answer["errors"])})

    async def set_state(self, run_id: str, state: dict[str, Any]) -> Any:
        """Set a state as the client does."""
        return await self.ask(SET, {"states": [{"flow_run_id": run_id, "state": state, "version": 1}]})

    async def ask(self, query: str, input: dict[str, Any]) -> Any:
        """Send an operation to the next server."""
        server = self.servers[next(self.turns) % len(self.servers)]
        headers = {"x-prefect-agent-id": str(self.id), "x-prefect-core-version": "1.4.1"}
        response = await server.execute(GraphQLRequest(query=query, variables={"input": input}, headers=headers))
        assert response.status == 200, response.body
        return json.loads(response.body)


async def test_every_run_is_submitted_once(machine: Machine, database: Database, database_url: str) -> None:
    machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": database_url}
    processes = [await machine.run("services", "graphql", "--port", "0") for _ in range(SERVERS)]
    flow = await make_flow(database)
    context = ActionContext(database=database)
    due = context.clock() - timedelta(minutes=1)
    async with database.transaction() as session:
        specs = [FlowRunSpec(flow_id=flow.id, scheduled_start_time=due) for _ in range(RUNS)]
        runs = {str(run.id) for run in await create_flow_runs_in(session, context, specs)}
    servers = [HttpUpstream(f"{await process.url()}/graphql/") for process in processes]
    agents = [
        Agent(id=await insert(database, "agent", tenant_id=flow.tenant_id), tenant_id=flow.tenant_id, servers=servers)
        for _ in range(AGENTS)
    ]
    try:
        await asyncio.gather(*(agent.work(number) for number, agent in enumerate(agents)))
    finally:
        for server in servers:
            await server.stop()

    assert [agent.failed for agent in agents] == [[]] * AGENTS
    assert Counter(run for agent in agents for run in agent.won) == Counter(dict.fromkeys(runs, 1))
    assert sum(len(agent.lost) for agent in agents) > 0, "the agents never met"
    history = await fetch_all(database, "SELECT flow_run_id, state, version FROM flow_run_state ORDER BY version")
    assert Counter((str(row["flow_run_id"]), row["state"], row["version"]) for row in history) == Counter(
        {(run, *state): 1 for run in runs for state in (("Scheduled", 1), ("Submitted", 2))}
    )
    taken = await fetch_all(database, "SELECT id, state, version, agent_id FROM flow_run")
    assert {(row["state"], row["version"]) for row in taken} == {("Submitted", 2)}
    owner = {run: agent.id for agent in agents for run in agent.won}
    assert {str(row["id"]): row["agent_id"] for row in taken} == owner
    for agent in agents:
        given = [run for poll in agent.polls for run in poll]
        assert len(given) == len(set(given)), "a run that was taken was given out again"
        assert len(agent.polls) <= RUNS / AT_A_TIME + 2
