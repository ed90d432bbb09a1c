"""Cloud hooks and messages on a real database, with a real receiver on loopback (actions.md §2.10, §7.1-7.4)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from server_core.actions import cloud_hooks, messages
from server_core.actions.changes import FlowRunStateChange
from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.db.session import Database
from server_core.errors import ForeignKeyViolation, InvalidInput
from server_core.rules import hook_events
from server_core.store import cloud_hooks as store
from tests.support.receiver import LeadsTo, Receiver, receiving
from tests.support.recorder import recorded

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

RUN_WITH_ALL_ABOVE = """
WITH tenant AS (INSERT INTO tenant (name, slug) VALUES ('Acme', 'acme') RETURNING id),
     project AS (INSERT INTO project (tenant_id, name) SELECT id, 'p' FROM tenant RETURNING id, tenant_id),
     grouped AS (INSERT INTO flow_group (tenant_id, name) SELECT id, 'group-1' FROM tenant RETURNING id),
     flow AS (
       INSERT INTO flow (tenant_id, project_id, flow_group_id, name, version, version_group_id)
       SELECT project.tenant_id, project.id, grouped.id, 'ETL', 1, 'group-1' FROM project, grouped
       RETURNING id, tenant_id
     )
INSERT INTO flow_run (tenant_id, flow_id, name, version, state)
SELECT tenant_id, id, 'brave-otter', 4, 'Running' FROM flow
RETURNING id, tenant_id, flow_id
"""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run in the database."""

    id: UUID
    tenant_id: UUID
    flow_id: UUID


@pytest.fixture
async def run(database: Database) -> Run:
    """A run `brave-otter` of flow `ETL` of tenant `acme`, Running at version 4."""
    async with database.transaction() as session:
        row = await session.fetch_row(RUN_WITH_ALL_ABOVE)
    assert row is not None
    return Run(**row)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of HTTP requests."""
    async with receiving() as opened:
        yield opened


@pytest.fixture
async def hooked(context: ActionContext, receiver: Receiver) -> AsyncIterator[ActionContext]:
    """A context that delivers; requests to any host end at the receiver."""
    delivery = HookDelivery(
        context.database,
        api_url=context.settings.api.url,
        client=httpx.AsyncClient(transport=LeadsTo(receiver)),
        clock=lambda: NOW,
    )
    yield replace(context, hook_delivery=delivery)
    await delivery.stop()


def change(run: Run, state: str = "Failed", **changes: Any) -> FlowRunStateChange:
    """A change of a run, as the state verbs hand it over."""
    values: dict[str, Any] = {
        "flow_run_id": run.id,
        "tenant_id": run.tenant_id,
        "previous_version": 3,
        "previous_state": "Submitted",
        "state_id": uuid4(),
        "version": 4,
        "state": state,
        "timestamp": NOW,
        "message": "because",
        "start_time": None,
        "serialized_state": {"type": state, "message": "because"},
        **changes,
    }
    return FlowRunStateChange(**values)


async def tell(context: ActionContext, changes: Sequence[FlowRunStateChange]) -> None:
    """Hand changes over and wait until the deliveries are over."""
    cloud_hooks.notify(context, changes)
    assert context.hook_delivery is not None
    await context.hook_delivery.drain()


async def stored_messages(database: Database) -> list[Any]:
    async with database.read() as session:
        return await session.fetch("SELECT * FROM message ORDER BY created")


async def create(context: ActionContext, run: Run, **changes: Any) -> UUID:
    values: dict[str, Any] = {
        "tenant_id": run.tenant_id,
        "type": "WEBHOOK",
        "states": ["Failed"],
        "config": {"url": "http://receiver.example/hook"},
        **changes,
    }
    return await cloud_hooks.create_cloud_hook(context, **values)


async def test_a_hook_is_stored(context: ActionContext, run: Run) -> None:
    """§10: repeated states collapse, one invalid refuses all."""
    hook_id = await create(context, run, states=["Running", "running", "Success"], name="n", version_group_id="any")
    async with context.database.read() as session:
        row = await session.fetch_row("SELECT * FROM cloud_hook WHERE id = $1", hook_id)
    assert row is not None
    assert row["states"] == ["RUNNING", "SUCCESS"]
    assert (row["active"], row["type"], row["name"], row["version_group_id"]) == (True, "WEBHOOK", "n", "any")
    assert row["config"] == {"url": "http://receiver.example/hook"}


async def test_a_hook_needs_its_tenant(context: ActionContext, run: Run) -> None:
    with pytest.raises(ForeignKeyViolation):
        await create(context, run, tenant_id=uuid4())


async def test_a_refused_hook_leaves_nothing(context: ActionContext, run: Run) -> None:
    with pytest.raises(InvalidInput):
        await create(context, run, config={"url": "http://receiver.example", "more": 1})
    async with context.database.read() as session:
        assert await session.fetch_value("SELECT count(*) FROM cloud_hook") == 0


async def test_switching_and_deleting_say_whether_there_was_a_hook(context: ActionContext, run: Run) -> None:
    hook_id = await create(context, run)
    verbs = (cloud_hooks.set_cloud_hook_inactive, cloud_hooks.set_cloud_hook_active, cloud_hooks.delete_cloud_hook)
    for verb in verbs:
        assert await verb(context, cloud_hook_id=uuid4()) is False
        assert await verb(context, cloud_hook_id=hook_id) is True
    assert await cloud_hooks.delete_cloud_hook(context, cloud_hook_id=hook_id) is False


async def test_a_webhook_is_sent(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    await create(hooked, run)
    await tell(hooked, [change(run)])
    [request] = receiver.received
    assert (request.method, request.path, request.headers["host"]) == ("POST", "/hook", "receiver.example")
    event = request.json["event"]
    assert request.headers["x-prefect-event-id"] == event["id"]
    assert (event["flow_run"]["version"], event["flow_run"]["state"]) == (3, "Submitted")
    assert (event["state"]["version"], event["state"]["state"], event["state"]["message"]) == (4, "Failed", "because")
    assert (event["flow"]["name"], event["tenant"]["slug"]) == ("ETL", "acme")


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
    async with hooked.database.transaction() as session:
        other = await session.fetch_value("INSERT INTO tenant (name, slug) VALUES ('o', 'other') RETURNING id")
    await at("other-tenant", tenant_id=other)

    await tell(hooked, [change(run), change(run, "Success")])
    assert sorted(request.path for request in receiver.received) == ["/all", "/group"]


async def test_every_column_is_in_the_event(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.3: columns that are not known are null, none is missing."""
    await create(hooked, run)
    await tell(hooked, [change(run)])
    event = receiver.received[0].json["event"]
    async with hooked.database.read() as session:
        rows = await session.fetch(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        )
    columns: dict[str, set[str]] = {}
    for row in rows:
        columns.setdefault(row["table_name"], set()).add(row["column_name"])
    assert set(event["flow_run"]) - {"flow", "tenant"} == columns["flow_run"]
    assert set(event["state"]) == columns["flow_run_state"]
    assert set(event["flow"]) == columns["flow"]
    assert set(event["tenant"]) == columns["tenant"]


async def test_a_failing_receiver_keeps_nobody_from_hearing(
    hooked: ActionContext, run: Run, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """§7.2: each failure is logged and isolated; the status of an answer is not looked at."""
    receiver.status = 500
    # A hook that the legacy server let through with half a config fails when its request is made.
    async with hooked.database.transaction() as session:
        await session.execute(
            "INSERT INTO cloud_hook (tenant_id, type, states, config) VALUES ($1, 'TWILIO', '[\"FAILED\"]', '{}')",
            run.tenant_id,
        )
    await create(hooked, run, config={"url": "http://receiver.example/secret-path"})
    await tell(hooked, [change(run), change(run)])
    assert [request.path for request in receiver.received] == ["/secret-path"] * 2
    assert "cloud hook not delivered" in caplog.text
    assert "secret-path" not in caplog.text


async def test_redirects_are_not_followed(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 307, "Location: http://elsewhere.example/\r\n"
    await create(hooked, run)
    await tell(hooked, [change(run)])
    assert [request.headers["host"] for request in receiver.received] == ["receiver.example"]


async def test_a_silent_receiver_costs_one_second(
    hooked: ActionContext, run: Run, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.silent = True
    await create(hooked, run, type="SLACK_WEBHOOK")
    loop = asyncio.get_running_loop()
    before = loop.time()
    cloud_hooks.notify(hooked, [change(run)])
    assert loop.time() - before < 0.1
    assert hooked.hook_delivery is not None
    await hooked.hook_delivery.drain()
    assert 0.9 < loop.time() - before < 3
    assert "did not answer in time" in caplog.text


async def test_slack_twilio_and_pagerduty_are_told(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.3, over the wire."""
    await create(hooked, run, type="SLACK_WEBHOOK", config={"url": "http://slack.example/s"})
    await create(
        hooked,
        run,
        type="TWILIO",
        config={"account_sid": "AC1", "auth_token": "tok", "messaging_service_sid": "MG1", "to": ["+15551", "+15552"]},
    )
    await create(
        hooked, run, type="PAGERDUTY", config={"api_token": "key", "routing_key": "route", "severity": "critical"}
    )
    await tell(hooked, [change(run)])
    by_host: dict[str, list[Any]] = {}
    for request in receiver.received:
        by_host.setdefault(request.headers["host"], []).append(request)

    [slack] = by_host.pop("slack.example")
    assert [block["text"]["text"] for block in slack.json["blocks"]][1] == "*State:* `Failed`"

    twilio = by_host.pop("api.twilio.com")
    assert [request.form["To"] for request in twilio] == ["+15551", "+15552"]
    assert {request.path for request in twilio} == {"/2010-04-01/Accounts/AC1/Messages.json"}
    assert {request.basic_auth for request in twilio} == {"AC1:tok"}
    assert {request.headers["content-type"] for request in twilio} == {"application/x-www-form-urlencoded"}

    [pagerduty] = by_host.pop("events.pagerduty.com")
    assert pagerduty.headers["authorization"] == "Token token=key"
    assert pagerduty.json["payload"]["severity"] == "critical"
    assert by_host == {}


async def test_a_message_is_left(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    await create(hooked, run, type="PREFECT_MESSAGE", config=None)
    told = change(run)
    await tell(hooked, [told])
    [row] = await stored_messages(hooked.database)
    assert (row["tenant_id"], row["type"], row["read"]) == (run.tenant_id, "CLOUD_HOOK", False)
    assert row["content"]["type"] == "CLOUD_HOOK"
    assert row["content"]["event"]["state"]["state"] == "Failed"
    assert row["content"]["event"]["state"]["id"] == str(told.state_id)
    assert row["content"]["event"]["flow_run"]["id"] == str(run.id)
    assert receiver.received == []


async def test_messages_are_read_and_deleted(hooked: ActionContext, run: Run) -> None:
    await create(hooked, run, type="PREFECT_MESSAGE")
    await tell(hooked, [change(run)])
    [row] = await stored_messages(hooked.database)
    message_id = row["id"]
    for verb, read in ((messages.mark_message_as_read, True), (messages.mark_message_as_unread, False)):
        assert await verb(hooked, message_id=uuid4()) is False
        assert await verb(hooked, message_id=message_id) is True
        assert [row["read"] for row in await stored_messages(hooked.database)] == [read]
    assert await messages.delete_message(hooked, message_id=uuid4()) is False
    assert await messages.delete_message(hooked, message_id=message_id) is True
    assert await stored_messages(hooked.database) == []


async def test_a_run_without_tenant_or_gone_tells_nobody(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    await create(hooked, run)
    await tell(hooked, [change(run, tenant_id=None)])
    await tell(hooked, [change(run, flow_run_id=uuid4())])
    assert receiver.received == []


async def test_nothing_is_told_after_stop(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    await create(hooked, run)
    assert hooked.hook_delivery is not None
    await hooked.hook_delivery.stop()
    cloud_hooks.notify(hooked, [change(run)])
    await hooked.hook_delivery.drain()
    assert receiver.received == []


async def test_a_context_without_delivery_tells_nobody(context: ActionContext, run: Run) -> None:
    await create(context, run)
    cloud_hooks.notify(context, [change(run)])


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
    async with hooked.database.read() as session:
        row = await session.fetch_row("SELECT version, state FROM flow_run WHERE id = $1", run.id)
        assert row is not None
        assert (row["version"], row["state"]) == (4, "Running")
        assert await session.fetch_value("SELECT count(*) FROM flow_run_state") == 0


async def test_testing_a_message_hook_leaves_a_message(hooked: ActionContext, run: Run) -> None:
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


async def test_testing_an_unreachable_receiver_says_so(context: ActionContext, run: Run) -> None:
    async with receiving() as gone:
        pass
    hook_id = await create(context, run, config={"url": gone.url})
    delivery = HookDelivery(context.database, api_url="http://localhost:4200")
    result = await cloud_hooks.test_cloud_hook(replace(context, hook_delivery=delivery), cloud_hook_id=hook_id)
    await delivery.stop()
    assert result.success is False
    assert result.error


async def test_no_hook_costs_one_statement_per_batch(hooked: ActionContext, run: Run) -> None:
    """Nothing is asked while a state is written, and little afterwards."""
    await create(hooked, run, states=["Success"])
    async with recorded(hooked.database) as recorder:
        cloud_hooks.notify(hooked, [change(run, "Running") for _ in range(300)])
        assert recorder.sent == []
        assert hooked.hook_delivery is not None
        await hooked.hook_delivery.drain()
        # Besides what asyncpg asks about the types of arguments, once per connection.
        asked = [statement for statement in recorder.statements if "pg_catalog" not in statement]
        assert [statement for statement in asked if "jit" not in statement] == [store.ACTIVE_HOOKS.strip()]


async def test_many_changes_at_once(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """More changes than one batch holds, of which few concern a hook."""
    await create(hooked, run, states=["Success"])
    changes = [change(run, "Running") for _ in range(1200)]
    await tell(hooked, [*changes, change(run, "Success"), *changes, change(run, "Success")])
    assert len(receiver.received) == 2
