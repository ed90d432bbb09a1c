"""Hooks are made, switched and deleted; messages are read and deleted (actions.md §2.10, §7.1)."""

from uuid import uuid4

import pytest

from server_core.actions import cloud_hooks, messages
from server_core.actions.context import ActionContext
from server_core.errors import ForeignKeyViolation, InvalidInput
from tests.service.cloud_hooks.world import Run, create, deliveries, stored_messages, tell, worker, write
from tests.support.receiver import Receiver
from tests.support.rows import fetch_all


async def test_a_hook_is_stored(context: ActionContext, run: Run) -> None:
    """§7.1, §10: repeated states collapse, the version group is not checked."""
    hook_id = await create(context, run, states=["Running", "running", "Success"], name="n", version_group_id="any")
    [row] = await fetch_all(context.database, "SELECT * FROM cloud_hook")
    assert row["id"] == hook_id
    assert row["states"] == ["RUNNING", "SUCCESS"]
    assert (row["active"], row["type"], row["name"], row["version_group_id"]) == (True, "WEBHOOK", "n", "any")
    assert row["config"] == {"url": "http://receiver.example/hook"}


async def test_a_hook_needs_its_tenant(context: ActionContext, run: Run) -> None:
    """§7.1."""
    with pytest.raises(ForeignKeyViolation):
        await create(context, run, tenant_id=uuid4())


async def test_a_refused_hook_leaves_nothing(context: ActionContext, run: Run) -> None:
    """§7.1."""
    with pytest.raises(InvalidInput):
        await create(context, run, config={"url": "http://receiver.example", "more": 1})
    assert await fetch_all(context.database, "SELECT id FROM cloud_hook") == []


async def test_switching_and_deleting_say_whether_there_was_a_hook(context: ActionContext, run: Run) -> None:
    """§7.1."""
    hook_id = await create(context, run)
    verbs = (cloud_hooks.set_cloud_hook_inactive, cloud_hooks.set_cloud_hook_active, cloud_hooks.delete_cloud_hook)
    for verb in verbs:
        assert await verb(context, cloud_hook_id=uuid4()) is False
        assert await verb(context, cloud_hook_id=hook_id) is True
    assert await cloud_hooks.delete_cloud_hook(context, cloud_hook_id=hook_id) is False


async def test_a_deleted_hook_hears_nothing_more(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """What waits for a hook goes with it; so it does when the legacy server deletes the row."""
    hook_id = await create(hooked, run)
    await write(hooked, run, "Failed")
    assert len(await deliveries(hooked.database)) == 1
    await cloud_hooks.delete_cloud_hook(hooked, cloud_hook_id=hook_id)
    assert await deliveries(hooked.database) == []
    await worker(hooked).drain()
    assert receiver.received == []


async def test_a_hook_that_was_switched_off_hears_nothing_more(
    hooked: ActionContext, run: Run, receiver: Receiver
) -> None:
    """What waits for it is given up, on record."""
    hook_id = await create(hooked, run)
    await write(hooked, run, "Failed")
    await cloud_hooks.set_cloud_hook_inactive(hooked, cloud_hook_id=hook_id)
    await worker(hooked).drain()
    assert receiver.received == []
    [row] = await deliveries(hooked.database)
    assert (row["status"], row["last_error"]) == ("FAILED", "The hook was switched off.")


async def test_messages_are_read_and_deleted(hooked: ActionContext, run: Run) -> None:
    """§2.10."""
    await create(hooked, run, type="PREFECT_MESSAGE")
    await tell(hooked, run, "Failed")
    [row] = await stored_messages(hooked.database)
    message_id = row["id"]
    for verb, read in ((messages.mark_message_as_read, True), (messages.mark_message_as_unread, False)):
        assert await verb(hooked, message_id=uuid4()) is False
        assert await verb(hooked, message_id=message_id) is True
        assert [row["read"] for row in await stored_messages(hooked.database)] == [read]
    assert await messages.delete_message(hooked, message_id=uuid4()) is False
    assert await messages.delete_message(hooked, message_id=message_id) is True
    assert await stored_messages(hooked.database) == []
