"""What a cloud hook may be, whom it concerns, and what its receiver is sent (actions.md §7.1-7.3)."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from server_core.errors import InvalidInput
from server_core.rules import cloud_hooks, hook_events
from server_core.rules.cloud_hooks import CloudHook, Subject, check_config, check_states
from server_core.rules.hook_events import Event, NewState, deliveries, event_document, message_content
from server_core.states import CONCRETE

TENANT = UUID("00000000-0000-4000-8000-000000000001")
RUN = UUID("00000000-0000-4000-8000-000000000002")
API = "http://localhost:4200"
LINK = f"{API}/acme/flow-run/{RUN}"

TWILIO = {"account_sid": "AC1", "auth_token": "t", "messaging_service_sid": "MG1", "to": ["+15551", "+15552"]}
PAGERDUTY = {"api_token": "key", "routing_key": "route", "severity": "info"}

SUBJECT = Subject(
    flow_run_id=RUN,
    flow_run_name="brave-otter",
    flow_id=UUID(int=3),
    flow_name="ETL",
    flow_group_id=UUID(int=4),
    version_group_id="group-1",
    tenant_id=TENANT,
    tenant_slug="acme",
)
EVENT = Event(
    id=UUID(int=9),
    timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    subject=SUBJECT,
    run_version=2,
    run_state="Running",
    state=NewState(
        id=UUID(int=8),
        version=3,
        state="Failed",
        timestamp=datetime(2026, 1, 2, 3, 4, 4, tzinfo=UTC),
        message="it <broke>",
        serialized_state={"type": "Failed", "message": "it <broke>"},
    ),
)


def hook(type: str = "WEBHOOK", config: dict[str, Any] | None = None, **changes: Any) -> CloudHook:
    values = {"states": frozenset({"FAILED"}), "config": config or {"url": "http://h.example/x"}, **changes}
    return CloudHook(id=UUID(int=7), tenant_id=TENANT, type=type, **values)


def test_states_are_stored_in_upper_case_and_once() -> None:
    """§7.1, §10: repeated states collapse, Running is stored as RUNNING."""
    assert check_states(["Running", "running", "SUCCESS"]) == ["RUNNING", "SUCCESS"]


def test_every_concrete_state_can_be_named() -> None:
    """§3.1: all but State and _MetaState, 21 names."""
    assert len(check_states(sorted(CONCRETE))) == 21


@pytest.mark.parametrize("states", [[], ["nope"], ["Success", "nope"], ["State"], ["_MetaState"], [""]])
def test_states_that_are_refused(states: list[str]) -> None:
    """§10: repeated states collapse, one invalid refuses all."""
    with pytest.raises(InvalidInput):
        check_states(states)


@pytest.mark.parametrize(
    ("type", "config"),
    [
        ("WEBHOOK", {"url": "https://example.com/a?b=c"}),
        ("SLACK_WEBHOOK", {"url": "http://localhost:8100/hook"}),
        ("TWILIO", TWILIO),
        *(("PAGERDUTY", {**PAGERDUTY, "severity": severity}) for severity in ("info", "warning", "error", "critical")),
        ("PREFECT_MESSAGE", {}),
    ],
)
def test_a_complete_config_is_kept_as_it_is(type: str, config: dict[str, Any]) -> None:
    assert check_config(type, config) == config


def test_a_message_hook_needs_no_config() -> None:
    assert check_config("PREFECT_MESSAGE", None) == {}


@pytest.mark.parametrize(
    ("type", "config"),
    [
        ("WEBHOOK", None),
        ("WEBHOOK", {}),
        ("WEBHOOK", {"url": None}),
        ("WEBHOOK", {"url": "https://example.com", "extra": 1}),
        ("WEBHOOK", {"url": ["https://example.com"]}),
        ("WEBHOOK", {"url": "ftp://example.com"}),
        ("WEBHOOK", {"url": "example.com"}),
        ("WEBHOOK", {"url": "http://"}),
        ("WEBHOOK", {"url": "http://[::1"}),
        ("WEBHOOK", {"url": "http://example.com:99999"}),
        ("SLACK_WEBHOOK", {"webhook": "https://example.com"}),
        *(("TWILIO", {key: value for key, value in TWILIO.items() if key != gone}) for gone in TWILIO),
        ("TWILIO", {**TWILIO, "to": []}),
        ("TWILIO", {**TWILIO, "to": "+15551"}),
        ("TWILIO", {**TWILIO, "to": [15551]}),
        *(("PAGERDUTY", {key: value for key, value in PAGERDUTY.items() if key != gone}) for gone in PAGERDUTY),
        ("PAGERDUTY", {**PAGERDUTY, "severity": "bad"}),
        ("CARRIER_PIGEON", {}),
    ],
)
def test_a_config_that_is_refused(type: str, config: dict[str, Any] | None) -> None:
    """§7.1: missing, extra or null is an error."""
    with pytest.raises(InvalidInput):
        check_config(type, config)


def test_the_event_has_every_column() -> None:
    """§7.3: what was not loaded is null; the run shows the values before the change."""
    document = event_document(EVENT)
    assert json.loads(json.dumps(document)) == document
    assert {key: document[key] for key in ("id", "timestamp", "type", "is_test_event")} == {
        "id": str(UUID(int=9)),
        "timestamp": "2026-01-02T03:04:05+00:00",
        "type": "FlowRunStateChange",
        "is_test_event": False,
    }
    run, state = document["flow_run"], document["state"]
    assert (run["id"], run["name"], run["version"], run["state"]) == (str(RUN), "brave-otter", 2, "Running")
    assert run["labels"] is None
    assert run["scheduled_start_time"] is None
    assert run["flow"] == document["flow"]
    assert run["tenant"] == document["tenant"]
    assert (state["id"], state["version"], state["state"]) == (str(UUID(int=8)), 3, "Failed")
    assert state["flow_run_id"] == str(RUN)
    assert state["timestamp"] == "2026-01-02T03:04:04+00:00"
    assert state["serialized_state"] == {"type": "Failed", "message": "it <broke>"}
    assert state["created"] is None
    assert document["flow"]["name"] == "ETL"
    assert document["flow"]["version_group_id"] == "group-1"
    assert document["flow"]["archived"] is None
    assert {key: value for key, value in document["tenant"].items() if value is not None} == {
        "id": str(TENANT),
        "slug": "acme",
    }


def test_the_message_has_only_what_is_known() -> None:
    """§7.3: the same objects, without the event's own id, timestamp and type."""
    content = message_content(EVENT)
    assert content["type"] == "CLOUD_HOOK"
    event = content["event"]
    assert set(event) == {"is_test_event", "flow_run", "state", "flow", "tenant"}
    assert event["state"]["state"] == "Failed"
    assert event["state"]["id"] == str(UUID(int=8))
    assert event["flow_run"]["id"] == str(RUN)
    assert "labels" not in event["flow_run"]
    assert set(event["tenant"]) == {"id", "slug"}


def test_a_webhook_is_sent_the_event() -> None:
    [delivery] = deliveries(hook(), EVENT, api_url=API)
    assert delivery.url == "http://h.example/x"
    assert delivery.json == {"event": event_document(EVENT)}
    assert delivery.headers == {"X-PREFECT-EVENT-ID": str(EVENT.id)}
    assert delivery.timeout_seconds == 2.0


def test_slack_is_sent_four_blocks() -> None:
    [delivery] = deliveries(hook("SLACK_WEBHOOK"), EVENT, api_url=API)
    assert delivery.json is not None
    texts = [block["text"]["text"] for block in delivery.json["blocks"]]
    assert all(block["type"] == "section" for block in delivery.json["blocks"])
    assert all(block["text"]["type"] == "mrkdwn" for block in delivery.json["blocks"])
    assert "`brave-otter`" in texts[0]
    assert "`ETL`" in texts[0]
    assert texts[1:] == ["*State:* `Failed`", "*Message:* it &lt;broke&gt;", f"*Link:* {LINK}"]
    assert delivery.timeout_seconds == 1.0


def test_slack_says_none_without_a_message() -> None:
    silent = replace(EVENT, state=replace(EVENT.state, message=None))
    [delivery] = deliveries(hook("SLACK_WEBHOOK"), silent, api_url=API)
    assert delivery.json is not None
    assert delivery.json["blocks"][2]["text"]["text"] == "*Message:* None"


def test_twilio_is_sent_one_form_per_number() -> None:
    first, second = deliveries(hook("TWILIO", TWILIO), EVENT, api_url=API)
    assert first.url == "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json"
    assert first.basic_auth == ("AC1", "t")
    assert first.form is not None
    assert second.form is not None
    assert (first.form["To"], second.form["To"]) == ("+15551", "+15552")
    assert first.form["From"] == "MG1"
    text, _, link = first.form["Body"].partition("\n")
    assert all(word in text for word in ("brave-otter", "ETL", "Failed"))
    assert link == LINK


def test_pagerduty_is_sent_an_alert() -> None:
    [delivery] = deliveries(hook("PAGERDUTY", PAGERDUTY), EVENT, api_url=f"{API}/")
    assert delivery.url == "https://events.pagerduty.com/v2/enqueue"
    assert delivery.headers == {"Authorization": "Token token=key"}
    assert delivery.json is not None
    body = dict(delivery.json)
    payload = dict(body.pop("payload"))
    assert body == {
        "routing_key": "route",
        "event_action": "trigger",
        "links": [{"href": LINK, "text": "Flow Run brave-otter"}],
    }
    summary = payload.pop("summary")
    assert "brave-otter" in summary
    assert "Failed" in summary
    assert payload == {
        "severity": "info",
        "source": "cloud.prefect.io/acme",
        "component": "ETL",
        "group": "brave-otter",
        "class": "State->Failed",
        "custom_details": {
            "flow": "ETL",
            "flow_run": "brave-otter",
            "state": "Failed",
            "state_message": "it <broke>",
            "tenant_slug": "acme",
        },
    }


def test_pagerduty_has_an_empty_text_without_a_message() -> None:
    silent = replace(EVENT, state=replace(EVENT.state, message=None))
    [delivery] = deliveries(hook("PAGERDUTY", PAGERDUTY), silent, api_url=API)
    assert delivery.json is not None
    assert delivery.json["payload"]["custom_details"]["state_message"] == ""


def test_a_message_hook_sends_no_request() -> None:
    assert deliveries(hook(cloud_hooks.PREFECT_MESSAGE, {}), EVENT, api_url=API) == []
    assert hook_events.flow_run_link(SUBJECT, api_url=API) == LINK
