"""`test_cloud_hook`: one notification now, whatever becomes of it (actions.md §7.4)."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from server_core.actions import cloud_hooks
from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.rules import hook_events
from tests.service.cloud_hooks.world import TWILIO, Run, create, deliveries, stored_messages
from tests.support.receiver import Receiver, receiving
from tests.support.rows import fetch_all, fetch_one


@pytest.mark.parametrize("state_type", sorted(cloud_hooks.TEST_STATES))
async def test_a_hook_is_tested_with_a_made_up_run(
    hooked: ActionContext, run: Run, receiver: Receiver, state_type: str
) -> None:
    """§7.4: active flag, states and version group do not matter. §10: a hook is tested with each of five states."""
    hook_id = await create(hooked, run, version_group_id="other")
    await cloud_hooks.set_cloud_hook_inactive(hooked, cloud_hook_id=hook_id)
    result = await cloud_hooks.test_cloud_hook(hooked, cloud_hook_id=hook_id, state_type=state_type)
    assert result == cloud_hooks.HookTest(success=True)
    event = receiver.received[0].json["event"]
    assert event["is_test_event"] is True
    assert event["state"]["state"] == state_type.capitalize()
    assert event["state"]["version"] == 1
    assert (event["flow"]["name"], event["tenant"]) == (
        "test",
        {**dict.fromkeys(hook_events.TENANT_COLUMNS), "id": str(run.tenant_id), "slug": "test-slug"},
    )
    assert event["flow_run"]["name"]
    assert UUID(event["flow_run"]["id"]) != run.id
    assert await deliveries(hooked.database) == []


async def test_a_hook_is_tested_with_a_real_run(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.4: the run is shown as if it had changed, but does not change."""
    hook_id = await create(hooked, run)
    result = await cloud_hooks.test_cloud_hook(hooked, cloud_hook_id=hook_id, flow_run_id=run.id)
    assert result.success
    event = receiver.received[0].json["event"]
    assert event["is_test_event"] is False
    assert (event["flow_run"]["id"], event["flow_run"]["name"]) == (str(run.id), "brave-otter")
    assert (event["flow_run"]["version"], event["flow_run"]["state"]) == (5, "Success")
    assert (event["state"]["version"], event["tenant"]["slug"]) == (5, "acme")
    row = await fetch_one(hooked.database, "flow_run", run.id)
    assert (row["version"], row["state"]) == (4, "Running")
    assert await fetch_all(hooked.database, "SELECT id FROM flow_run_state") == []


async def test_testing_a_message_hook_leaves_a_message(hooked: ActionContext, run: Run) -> None:
    """§7.4."""
    hook_id = await create(hooked, run, type="PREFECT_MESSAGE")
    result = await cloud_hooks.test_cloud_hook(hooked, cloud_hook_id=hook_id, state_type="FAILED")
    assert result.success
    [row] = await stored_messages(hooked.database)
    assert row["content"]["event"]["is_test_event"] is True
    assert row["content"]["event"]["state"]["state"] == "Failed"


async def test_a_failed_test_says_why(context: ActionContext, hooked: ActionContext, run: Run) -> None:
    """§7.4: never a GraphQL error."""
    hook_id = await create(hooked, run)
    for asked, reason in (
        ({"cloud_hook_id": uuid4()}, "not found"),
        ({"cloud_hook_id": hook_id, "flow_run_id": uuid4()}, "not found"),
        ({"cloud_hook_id": hook_id, "state_type": "PAUSED"}, "SUCCESS"),
    ):
        result = await cloud_hooks.test_cloud_hook(hooked, **asked)
        assert result.success is False
        assert result.error is not None
        assert reason in result.error
    assert (await cloud_hooks.test_cloud_hook(context, cloud_hook_id=hook_id)).success is False


async def test_a_receiver_that_refuses_fails_the_test(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """A delivery that the outbox would not count as one is no success here either."""
    hook_id = await create(hooked, run, type="TWILIO", config=TWILIO)
    receiver.statuses = [200, 404]
    result = await cloud_hooks.test_cloud_hook(hooked, cloud_hook_id=hook_id)
    assert result == cloud_hooks.HookTest(success=False, error="The receiver answered with status 404.")
    assert [request.form["To"] for request in receiver.received] == TWILIO["to"]


async def test_testing_an_unreachable_receiver_says_so(context: ActionContext, run: Run) -> None:
    """§7.4."""
    async with receiving() as gone:
        pass
    hook_id = await create(context, run, config={"url": gone.url})
    delivery = HookDelivery(context.database, api_url="http://localhost:4200")
    result = await cloud_hooks.test_cloud_hook(replace(context, hook_delivery=delivery), cloud_hook_id=hook_id)
    await delivery.stop()
    assert result.success is False
    assert result.error
