"""Which state writes reach the cloud hooks, and with what (actions.md §2.6.9, §3.4.7, §7.2)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core import states
from server_core.actions.cloud_hooks import create_cloud_hook
from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.actions.runs import create_flow_run
from server_core.actions.states import FlowRunStateInput, cancel_flow_run, set_flow_run_states
from server_core.db.session import Database
from server_core.errors import ServerError
from tests.support.factories import Flow
from tests.support.rows import fetch_all, history, make_flow


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1)


@pytest.fixture
async def told(context: ActionContext, flow: Flow) -> AsyncIterator[ActionContext]:
    """A context whose flow-run states all leave a message."""
    delivery = HookDelivery(context.database, api_url="http://localhost:4200")
    await create_cloud_hook(
        context, tenant_id=flow.tenant_id, type="PREFECT_MESSAGE", states=sorted(states.CONCRETE), config={}
    )
    yield replace(context, hook_delivery=delivery)
    await delivery.stop()


async def messages(context: ActionContext) -> list[dict[str, Any]]:
    """Return what was told since, oldest state first."""
    assert context.hook_delivery is not None
    await context.hook_delivery.drain()
    rows = await fetch_all(context.database, "SELECT content FROM message")
    events = [row["content"]["event"] for row in rows]
    return sorted(events, key=lambda event: event["state"]["version"])


async def set_states(context: ActionContext, *pairs: tuple[UUID, str]) -> None:
    inputs = [FlowRunStateInput(flow_run_id=run, state={"type": name, "message": "m"}) for run, name in pairs]
    await set_flow_run_states(context, states=inputs)


async def test_every_written_state_is_told_once(told: ActionContext, database: Database, flow: Flow) -> None:
    run = await create_flow_run(told, flow_id=flow.id, idempotency_key="k")
    await create_flow_run(told, flow_id=flow.id, idempotency_key="k")
    await set_states(told, (run, "Submitted"), (run, "Running"))
    assert await cancel_flow_run(told, flow_run_id=run) == "Cancelling"
    await set_states(told, (run, "Cancelled"))
    assert await cancel_flow_run(told, flow_run_id=run) == "Cancelled"
    events = await messages(told)
    names = ["Scheduled", "Submitted", "Running", "Cancelling", "Cancelled"]
    assert [event["state"]["state"] for event in events] == names
    assert [event["flow_run"]["state"] for event in events] == [None, *names[:-1]]
    assert [event["flow_run"]["version"] for event in events] == [0, 1, 2, 3, 4]
    rows = await history(database, "flow_run", run)
    assert [event["state"]["id"] for event in events] == [str(row["id"]) for row in rows]
    assert [event["state"]["serialized_state"] for event in events] == [row["serialized_state"] for row in rows]


async def test_refused_states_are_not_told_but_their_neighbours_are(told: ActionContext, flow: Flow) -> None:
    run = await create_flow_run(told, flow_id=flow.id)
    with pytest.raises(ServerError):
        await set_states(told, (uuid4(), "Running"), (run, "Submitted"), (run, "Submitted"), (run, "Nope"))
    assert [event["state"]["state"] for event in await messages(told)] == ["Scheduled", "Submitted"]


async def test_a_run_without_a_state_is_not_told(told: ActionContext, flow: Flow) -> None:
    await create_flow_run(told, flow_id=flow.id, scheduled=False)
    assert await messages(told) == []
