"""A server that is killed between a state and its notification: the next one delivers it, once (actions.md §7.2)."""

from server_core.db.session import Database
from tests.support.processes import Machine, free_ports, graphql
from tests.support.receiver import receiving
from tests.support.rows import fetch_all, make_flow, make_flow_run
from tests.support.waiting import wait_until

HOOK = "mutation($input: create_cloud_hook_input!) { create_cloud_hook(input: $input) { id } }"
STATES = "mutation($input: set_flow_run_states_input!) { set_flow_run_states(input: $input) { states { status } } }"


async def test_a_killed_server_loses_no_event(machine: Machine, database: Database, database_url: str) -> None:
    """The receiver is down, the server is killed with the event undelivered; then both come back."""
    flow = await make_flow(database)
    run = await make_flow_run(database, flow, state="Running")
    [port] = free_ports(1)
    hooks = {
        "PREFECT_SERVER__HOOKS__RETRY_SECONDS": "2",
        "PREFECT_SERVER__HOOKS__POLL_INTERVAL_SECONDS": "0.2",
    }
    start = ("start", "--port", "0", "--database-url", database_url)

    async def outbox() -> list[dict[str, object]]:
        return await fetch_all(database, "SELECT id, status, attempts FROM cloud_hook_delivery")

    async def tried() -> bool:
        return [(row["status"], row["attempts"]) for row in await outbox()] == [("WAITING", 1)]

    async def delivered() -> bool:
        return [row["status"] for row in await outbox()] == ["DELIVERED"]

    process = await machine.run(*start, **hooks)
    url = await process.url()
    hook = {"tenant_id": str(flow.tenant_id), "type": "WEBHOOK", "states": ["Failed"]}
    await graphql(url, HOOK, input={**hook, "config": {"url": f"http://127.0.0.1:{port}/hook"}})
    await graphql(url, STATES, input={"states": [{"flow_run_id": str(run), "state": {"type": "Failed"}}]})
    await wait_until(tried, seconds=10, what="the first attempt has failed")
    await process.kill()
    [row] = await outbox()

    async with receiving(port=port) as receiver:
        process = await machine.run(*start, **hooks)
        await process.url()
        await wait_until(delivered, seconds=20, what="the event is delivered", detail=lambda: process.output)
        assert [request.headers["x-prefect-event-id"] for request in receiver.received] == [str(row["id"])]
        assert await process.stop() == 0
        assert len(receiver.received) == 1
