"""Cloud hooks and messages through the real server: a state is written, a receiver hears of it (actions.md §7)."""

from uuid import uuid4

from tests.support.receiver import receiving
from tests.support.waiting import wait_until
from tests.support.whole_server import Server


async def test_hooks_hear_of_states(server: Server) -> None:
    """A webhook for two states of one version group, a message for a third; then the test of a hook."""
    tenant = await server.mutate("create_tenant", name="Notified", slug=f"notified-{uuid4().hex}")
    project = await server.mutate("create_project", tenant_id=tenant["id"], name="p")
    group, flow_name = str(uuid4()), f"flow-{uuid4().hex[:8]}"
    flow = await server.mutate(
        "create_flow", project_id=project["id"], version_group_id=group, serialized_flow={"name": flow_name}
    )
    async with receiving() as receiver:
        hook = await server.mutate(
            "create_cloud_hook",
            tenant_id=tenant["id"],
            type="WEBHOOK",
            states=["scheduled", "Cancelled"],
            version_group_id=group,
            config={"url": f"{receiver.url}/hook"},
        )
        await server.mutate(
            "create_cloud_hook", tenant_id=tenant["id"], type="PREFECT_MESSAGE", states=["Running"], config={}
        )
        run = await server.mutate("create_flow_run", flow_id=flow["id"], flow_run_name="told-of")
        await wait_until(lambda: len(receiver.received) == 1, seconds=10, what="a webhook for Scheduled")
        for state in ("Submitted", "Running"):
            await server.mutate(
                "set_flow_run_states",
                states=[{"flow_run_id": run["id"], "state": {"type": state}}],
                select="states { status }",
            )
        await server.mutate("cancel_flow_run", flow_run_id=run["id"], select="state")
        await server.mutate(
            "set_flow_run_states",
            states=[{"flow_run_id": run["id"], "state": {"type": "Cancelled", "message": "enough"}}],
            select="states { status }",
        )
        await wait_until(lambda: len(receiver.received) == 2, seconds=10, what="a webhook for Cancelled")

        scheduled, cancelled = (request.json["event"] for request in receiver.received)
        assert (scheduled["flow_run"]["version"], scheduled["flow_run"]["state"]) == (0, None)
        assert (scheduled["state"]["version"], scheduled["state"]["state"]) == (1, "Scheduled")
        assert (cancelled["flow_run"]["version"], cancelled["flow_run"]["state"]) == (4, "Cancelling")
        assert (cancelled["state"]["version"], cancelled["state"]["message"]) == (5, "enough")
        assert (cancelled["flow"]["name"], cancelled["flow_run"]["name"]) == (flow_name, "told-of")

        test = {"cloud_hook_id": hook["id"], "flow_run_id": run["id"], "state_type": "FAILED"}
        assert await server.mutate("test_cloud_hook", **test, select="success error") == {
            "success": True,
            "error": None,
        }
        assert receiver.received[-1].json["event"]["state"]["state"] == "Failed"
        for change in ("set_cloud_hook_inactive", "delete_cloud_hook"):
            assert await server.mutate(change, cloud_hook_id=hook["id"], select="success") == {"success": True}

    unread = 'query { message(where: { tenant_id: { _eq: "%s" }, read: { _eq: false } }) { id type content } }'
    [message] = (await server.query(unread % tenant["id"]))["message"]
    assert message["type"] == "CLOUD_HOOK"
    assert message["content"]["event"]["state"]["state"] == "Running"
    assert await server.mutate("mark_message_as_read", message_id=message["id"], select="success") == {"success": True}
    assert (await server.query(unread % tenant["id"]))["message"] == []
    assert await server.mutate("delete_message", message_id=message["id"], select="success") == {"success": True}
    assert await server.mutate("delete_tenant", tenant_id=tenant["id"], confirm=True, select="success") == {
        "success": True
    }
