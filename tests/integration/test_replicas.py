"""Many clients at one server, which may be several of each service: no write is lost, doubled or seen late
(data-api.md §3, architecture: any number of replicas, Postgres is the only shared state).
"""

import asyncio
from uuid import uuid4

import pytest

from tests.support.whole_server import Server

WRITERS = 8
RUN = 'mutation { create_flow_run(input: { flow_id: "%s", idempotency_key: "%s" }) { id } }'
READ = 'query { flow_run(where: { id: { _eq: "%s" } }) { id state version } hello }'
SET = """
mutation($input: set_flow_run_states_input!) {
    set_flow_run_states(input: $input) { states { id status } }
}
"""


async def new_flow(server: Server) -> str:
    """Make a flow of a tenant of its own."""
    tenant = await server.mutate("create_tenant", name="Shared", slug=f"shared-{uuid4().hex}")
    project = await server.mutate("create_project", tenant_id=tenant["id"], name="p")
    made = await server.mutate("create_flow", project_id=project["id"], serialized_flow={"name": "f"})
    flow_id: str = made["id"]
    return flow_id


@pytest.mark.every_topology
async def test_what_one_was_told_all_know(server: Server) -> None:
    """A run is made once though many ask for it, is seen at once by the next request, and taken by one agent only."""
    flow_id = await new_flow(server)
    for _ in range(5):
        key = uuid4().hex
        made = await asyncio.gather(*(server.query(RUN % (flow_id, key)) for _ in range(WRITERS)))
        [run_id] = {answer["create_flow_run"]["id"] for answer in made}
        found = await server.query(READ % run_id)
        assert found == {"flow_run": [{"id": run_id, "state": "Scheduled", "version": 1}], "hello": "👋"}

        submitted = {"states": [{"flow_run_id": run_id, "state": {"type": "Submitted"}, "version": 1}]}
        answers = await asyncio.gather(*(server.post(SET, {"input": submitted}) for _ in range(WRITERS)))
        assert {answer.status_code for answer in answers} == {200}
        won = [answer for answer in answers if "errors" not in answer.json()]
        lost = [answer.text for answer in answers if "errors" in answer.json()]
        assert len(won) == 1
        assert all("State update failed" in text for text in lost)
        [run] = (await server.query(READ % run_id))["flow_run"]
        assert (run["state"], run["version"]) == ("Submitted", 2)
    for name, balancer in server.balancers.items():
        assert len(balancer.taken) == 2
        assert all(balancer.taken.values()), f"one {name} was never asked: {balancer.taken}"


@pytest.mark.every_topology
async def test_the_whole_server_is_ready(server: Server) -> None:
    """§3.1: each gateway says that its upstreams answer; the schema they show is the same one."""
    for _ in range(2):
        ready = await server.http.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    shown = [await server.query("{ __schema { types { name fields { name } } } }") for _ in range(2)]
    assert shown[0] == shown[1]
