"""What receivers get, over the wire, is what the contract says, to the last key (actions.md §7.3)."""

from typing import Any
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.rules import hook_events
from tests.service.cloud_hooks.world import NOW, TWILIO, Run, create, stored_messages, tell
from tests.support.receiver import Received, Receiver
from tests.support.rows import fetch_all, history

PAGERDUTY = {"api_token": "key", "routing_key": "route", "severity": "critical"}


async def known(context: ActionContext, run: Run) -> dict[str, Any]:
    """Return what is known of the change from Running to Failed: the objects of E', without the nested ones."""
    [state] = await history(context.database, "flow_run", run.id)
    return {
        "flow_run": {"id": str(run.id), "name": "brave-otter", "version": 4, "state": "Running"},
        "state": {
            "id": str(state["id"]),
            "flow_run_id": str(run.id),
            "version": 5,
            "state": "Failed",
            "timestamp": NOW.isoformat(),
            "message": "because",
            "result": None,
            "start_time": None,
            "serialized_state": state["serialized_state"],
        },
        "flow": {
            "id": str(run.flow_id),
            "name": "ETL",
            "flow_group_id": str(run.flow_group_id),
            "version_group_id": "group-1",
        },
        "tenant": {"id": str(run.tenant_id), "slug": "acme"},
    }


def padded(document: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    return {**dict.fromkeys(columns), **document}


async def test_a_webhook_is_sent(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.3: E, with its id as a header."""
    await create(hooked, run)
    await tell(hooked, run, "Failed")
    [request] = receiver.received
    assert (request.method, request.path, request.headers["host"]) == ("POST", "/hook", "receiver.example")
    assert set(request.json) == {"event"}
    event = request.json["event"]
    assert request.headers["x-prefect-event-id"] == event["id"] == str(UUID(event["id"]))
    facts = await known(hooked, run)
    flow = padded(facts["flow"], hook_events.FLOW_COLUMNS)
    tenant = padded(facts["tenant"], hook_events.TENANT_COLUMNS)
    assert event == {
        "id": event["id"],
        "timestamp": NOW.isoformat(),
        "type": "FlowRunStateChange",
        "is_test_event": False,
        "flow_run": {**padded(facts["flow_run"], hook_events.FLOW_RUN_COLUMNS), "flow": flow, "tenant": tenant},
        "state": padded(facts["state"], hook_events.STATE_COLUMNS),
        "flow": flow,
        "tenant": tenant,
    }


async def test_every_column_is_in_the_event(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.3: columns that are not known are null, none is missing."""
    await create(hooked, run)
    await tell(hooked, run, "Failed")
    event = receiver.received[0].json["event"]
    rows = await fetch_all(
        hooked.database,
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'",
    )
    columns: dict[str, set[str]] = {}
    for row in rows:
        columns.setdefault(row["table_name"], set()).add(row["column_name"])
    assert set(event["flow_run"]) - {"flow", "tenant"} == columns["flow_run"]
    assert set(event["state"]) == columns["flow_run_state"]
    assert set(event["flow"]) == columns["flow"]
    assert set(event["tenant"]) == columns["tenant"]


async def test_slack_twilio_and_pagerduty_are_told(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.3: the fixed hosts, forms and documents."""
    await create(hooked, run, type="SLACK_WEBHOOK", config={"url": "http://slack.example/s"})
    await create(hooked, run, type="TWILIO", config=TWILIO)
    await create(hooked, run, type="PAGERDUTY", config=PAGERDUTY)
    await tell(hooked, run, "Failed")
    by_host: dict[str, list[Received]] = {}
    for request in receiver.received:
        by_host.setdefault(request.headers["host"], []).append(request)
    link = f"http://localhost:4200/acme/flow-run/{run.id}"

    [slack] = by_host.pop("slack.example")
    texts = [block["text"]["text"] for block in slack.json["blocks"]]
    assert slack.json == {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts]}
    assert "`brave-otter`" in texts[0]
    assert "`ETL`" in texts[0]
    assert texts[1:] == ["*State:* `Failed`", "*Message:* because", f"*Link:* {link}"]

    twilio = by_host.pop("api.twilio.com")
    assert [(request.form["To"], request.form["From"]) for request in twilio] == [("+15551", "MG1"), ("+15552", "MG1")]
    assert {request.path for request in twilio} == {"/2010-04-01/Accounts/AC1/Messages.json"}
    assert {request.basic_auth for request in twilio} == {"AC1:tok"}
    assert {request.headers["content-type"] for request in twilio} == {"application/x-www-form-urlencoded"}
    for request in twilio:
        assert set(request.form) == {"To", "From", "Body"}
        text, _, second = request.form["Body"].partition("\n")
        assert all(word in text for word in ("brave-otter", "ETL", "Failed"))
        assert second == link

    [pagerduty] = by_host.pop("events.pagerduty.com")
    assert (pagerduty.path, pagerduty.headers["authorization"]) == ("/v2/enqueue", "Token token=key")
    summary = pagerduty.json["payload"]["summary"]
    assert "brave-otter" in summary
    assert "Failed" in summary
    assert pagerduty.json == {
        "routing_key": "route",
        "event_action": "trigger",
        "payload": {
            "summary": summary,
            "severity": "critical",
            "source": "cloud.prefect.io/acme",
            "component": "ETL",
            "group": "brave-otter",
            "class": "State->Failed",
            "custom_details": {
                "flow": "ETL",
                "flow_run": "brave-otter",
                "state": "Failed",
                "state_message": "because",
                "tenant_slug": "acme",
            },
        },
        "links": [{"href": link, "text": "Flow Run brave-otter"}],
    }
    assert by_host == {}


async def test_a_message_is_left(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.3, §2.10: E', only what is known, without the event's own id, timestamp and type."""
    await create(hooked, run, type="PREFECT_MESSAGE", config=None)
    await tell(hooked, run, "Failed")
    [row] = await stored_messages(hooked.database)
    assert (row["tenant_id"], row["type"], row["read"], row["text"]) == (run.tenant_id, "CLOUD_HOOK", False, None)
    facts = await known(hooked, run)
    run_object = {**facts["flow_run"], "flow": facts["flow"], "tenant": facts["tenant"]}
    assert row["content"] == {
        "event": {"is_test_event": False, **facts, "flow_run": run_object},
        "type": "CLOUD_HOOK",
    }
    assert receiver.received == []


async def test_slack_is_told_that_there_is_no_message(hooked: ActionContext, run: Run, receiver: Receiver) -> None:
    """§7.3: literally `None`."""
    await create(hooked, run, type="SLACK_WEBHOOK")
    await tell(hooked, run, "Failed", message=None)
    assert receiver.received[0].json["blocks"][2]["text"]["text"] == "*Message:* None"
