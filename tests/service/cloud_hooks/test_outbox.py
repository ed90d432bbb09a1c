"""What cloud hooks are told is stored with the state, in one statement, or not at all (actions.md §3.4.7, §7.2)."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from server_core.actions import cloud_hooks
from server_core.actions.context import ActionContext
from server_core.actions.runs import FlowRunSpec, create_flow_run, create_flow_runs_in, delete_flow_run
from server_core.actions.states import FlowRunStateWrite, write_flow_run_states
from server_core.errors import StateUpdateFailed
from server_core.states import make_state
from tests.service.cloud_hooks.world import NOW, Run, another_run, create, deliveries, tell, worker, write
from tests.support.receiver import Receiver
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, history, insert


async def test_the_event_is_stored_with_the_state(hooked: ActionContext, run: Run) -> None:
    """§7.3: the run's values before the change, the state row as it was written."""
    hook_id = await create(hooked, run)
    await write(hooked, run, "Failed")
    [row] = await deliveries(hooked.database)
    [state] = await history(hooked.database, "flow_run", run.id)
    assert (row["cloud_hook_id"], row["tenant_id"], row["flow_run_id"]) == (hook_id, run.tenant_id, run.id)
    assert (row["status"], row["attempts"], row["created"], row["next_attempt"]) == ("WAITING", 0, NOW, NOW)
    event = row["event"]
    assert event["flow_run"] == {"id": str(run.id), "name": "brave-otter", "version": 4, "state": "Running"}
    assert event["state"].pop("timestamp").startswith("2026-01-02T03:04:05")
    assert event["state"] == {
        "id": str(state["id"]),
        "version": 5,
        "state": "Failed",
        "message": "because",
        "start_time": None,
        "serialized_state": state["serialized_state"],
    }
    assert event["flow"]["name"] == "ETL"
    assert event["tenant"]["slug"] == "acme"


async def test_a_state_that_is_rolled_back_leaves_no_event(hooked: ActionContext, run: Run) -> None:
    """Nobody hears of what did not happen."""
    await create(hooked, run)
    state = FlowRunStateWrite(flow_run_id=run.id, state=make_state("Failed", now=NOW, message="m"))

    async def write_and_fail() -> None:
        async with hooked.database.transaction() as session:
            await write_flow_run_states(session, hooked, [state])
            assert await session.fetch_value("SELECT count(*) FROM cloud_hook_delivery") == 1
            raise RuntimeError("undo it")

    with pytest.raises(RuntimeError, match="undo it"):
        await write_and_fail()
    assert await deliveries(hooked.database) == []


async def test_a_refused_submission_leaves_no_event(hooked: ActionContext, run: Run) -> None:
    """§3.4: of two Submitted one is refused; only the other is told."""
    await create(hooked, run, states=["Submitted"])
    await write(hooked, run, "Submitted")
    with pytest.raises(StateUpdateFailed):
        await write(hooked, run, "Submitted")
    assert len(await deliveries(hooked.database)) == 1


async def test_only_matching_hooks_are_told(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.2: exact class, active, own tenant, own version group or none.

    §10: several hooks hear of one state, inactive ones do not.
    """

    async def at(path: str, **changes: Any) -> UUID:
        return await create(hooked, run, config={"url": f"http://receiver.example/{path}"}, **changes)

    await at("all")
    await at("group", version_group_id="group-1")
    await at("other-group", version_group_id="group-2")
    await at("parent", states=["Finished"])
    await at("child", states=["TriggerFailed"])
    await cloud_hooks.set_cloud_hook_inactive(hooked, cloud_hook_id=await at("inactive"))
    await at("other-tenant", tenant_id=await insert(hooked.database, "tenant", name="o", slug="other"))
    await tell(hooked, run, "Failed", "Success")
    assert sorted(request.path for request in receiver.received) == ["/all", "/group"]


async def test_the_first_state_of_a_run_is_told(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§2.6.9, §7.2: also the initial Scheduled; a repeated creation is not told again."""
    await create(hooked, run, states=["Scheduled"], version_group_id="group-1")
    for _ in range(2):
        await create_flow_run(hooked, flow_id=run.flow_id, idempotency_key="k", flow_run_name="new-run")
    await create_flow_run(hooked, flow_id=run.flow_id, scheduled=False)
    await worker(hooked).drain()
    [event] = [request.json["event"] for request in receiver.received]
    assert (event["flow_run"]["name"], event["flow_run"]["version"], event["flow_run"]["state"]) == ("new-run", 0, None)
    assert (event["state"]["version"], event["state"]["state"]) == (1, "Scheduled")
    assert event["state"]["start_time"] == NOW.isoformat()


async def test_what_becomes_of_the_run_alters_nothing(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """The event is what it was: other names later, and no run at all, change nothing."""
    await create(hooked, run)
    await write(hooked, run, "Failed")
    await execute(hooked.database, "UPDATE flow_run SET name = 'renamed'")
    await execute(hooked.database, "UPDATE flow SET name = 'renamed'")
    await delete_flow_run(hooked, flow_run_id=run.id)
    await worker(hooked).drain()
    [request] = receiver.received
    event = request.json["event"]
    assert (event["flow_run"]["name"], event["flow"]["name"], event["state"]["version"]) == ("brave-otter", "ETL", 5)


async def test_a_run_without_tenant_tells_nobody(hooked: ActionContext, run: Run) -> None:
    """Rows that the legacy server left without one belong to no hook's tenant."""
    await create(hooked, run)
    await execute(hooked.database, "UPDATE flow_run SET tenant_id = NULL")
    await write(hooked, run, "Failed")
    assert await deliveries(hooked.database) == []


@pytest.mark.parametrize("hooks", [0, 3])
async def test_hooks_cost_no_statement(hooked: ActionContext, run: Run, hooks: int) -> None:
    """One state is one statement, with hooks and without; so is a batch."""
    for _ in range(hooks):
        await create(hooked, run)
    runs = [await another_run(hooked.database, run, f"run-{number}") for number in range(20)]
    states = [FlowRunStateWrite(flow_run_id=each.id, state=make_state("Failed", now=NOW)) for each in runs]

    async def write_all() -> None:
        async with hooked.database.autocommit() as session:
            await write_flow_run_states(session, hooked, states)

    async with recorded(hooked.database):
        await write_all()  # asyncpg looks up array types once per connection
    async with recorded(hooked.database) as recorder:
        await write_all()
        await write(hooked, run, "Failed")
    assert len(recorder.sent) == 2
    assert len(await deliveries(hooked.database)) == (20 * 2 + 1) * hooks


async def test_a_hook_that_is_being_deleted_holds_no_state_up(hooked: ActionContext, run: Run) -> None:
    """§3.4.7: hooks can neither delay nor fail a state; one that is on its way out is passed over."""
    hook_id = await create(hooked, run)
    await create(hooked, run)
    async with hooked.database.transaction() as session:
        await session.execute("DELETE FROM cloud_hook WHERE id = $1", hook_id)
        await asyncio.wait_for(write(hooked, run, "Failed"), 10)
    rows = await deliveries(hooked.database)
    assert [row["cloud_hook_id"] == hook_id for row in rows] == [False]


async def test_a_state_that_is_being_written_keeps_its_hook(hooked: ActionContext, run: Run) -> None:
    """A hook deleted meanwhile goes after the state, and takes the event along."""
    hook_id = await create(hooked, run)
    state = FlowRunStateWrite(flow_run_id=run.id, state=make_state("Failed", now=NOW, message="m"))
    async with hooked.database.transaction() as session:
        await write_flow_run_states(session, hooked, [state])
        deleting = asyncio.create_task(cloud_hooks.delete_cloud_hook(hooked, cloud_hook_id=hook_id))
        await asyncio.wait([deleting], timeout=0.05)
        assert not deleting.done()
    assert await deleting is True
    assert await deliveries(hooked.database) == []


async def test_a_hook_on_scheduled_is_told_of_every_planned_run(hooked: ActionContext, run: Run) -> None:
    """A scheduler's page is one statement more or less, not one per run."""
    await create(hooked, run, states=["Scheduled"])
    specs = [FlowRunSpec(flow_id=run.flow_id, idempotency_key=f"k-{number}") for number in range(1000)]
    async with recorded(hooked.database), hooked.database.transaction() as session:
        await create_flow_runs_in(session, hooked, specs[:2])
    async with recorded(hooked.database) as recorder, hooked.database.transaction() as session:
        await create_flow_runs_in(session, hooked, specs)
    assert len(recorder.statements) == 2
    counts = "SELECT count(*), count(DISTINCT flow_run_id) AS runs FROM cloud_hook_delivery"
    [row] = await fetch_all(hooked.database, counts)
    assert (row["count"], row["runs"]) == (1000, 1000)
