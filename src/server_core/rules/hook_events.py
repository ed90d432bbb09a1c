"""Turns a state change into what the receivers of cloud hooks are sent. Called by actions/hook_attempts.

Pure: events come in as values, requests and message contents go out as values (actions.md §7.3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from server_core.rules.cloud_hooks import CloudHook, Subject

TWILIO_URL = "https://api.twilio.com/2010-04-01/Accounts/{account_sid}/Messages.json"
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"

FLOW_RUN_COLUMNS = (
    *("id", "tenant_id", "created", "flow_id", "parameters", "scheduled_start_time", "auto_scheduled", "heartbeat"),
    *("start_time", "end_time", "version", "state", "state_timestamp", "state_message", "state_result"),
    *("state_start_time", "serialized_state", "name", "context", "times_resurrected", "updated", "idempotency_key"),
    *("agent_id", "labels", "run_config"),
)
STATE_COLUMNS = (
    *("id", "tenant_id", "flow_run_id", "timestamp", "state", "message", "result", "start_time", "serialized_state"),
    *("created", "updated", "version"),
)
FLOW_COLUMNS = (
    *("id", "tenant_id", "created", "version", "name", "description", "environment", "parameters", "project_id"),
    *("archived", "version_group_id", "storage", "core_version", "updated", "settings", "serialized_flow", "schedule"),
    *("is_schedule_active", "flow_group_id", "run_config"),
)
TENANT_COLUMNS = ("id", "created", "name", "slug", "info", "settings", "updated")


@dataclass(frozen=True, kw_only=True, slots=True)
class NewState:
    """The state row an event reports."""

    id: UUID
    version: int
    state: str
    timestamp: datetime
    serialized_state: Mapping[str, Any]
    message: str | None = None
    result: Any = None
    start_time: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A run entered a state.

    Attributes:
        run_version, run_state: the run's values before the change.
    """

    id: UUID
    timestamp: datetime
    subject: Subject
    state: NewState
    run_version: int
    run_state: str | None
    is_test_event: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One HTTP POST: a JSON body, or a form when `form` is given."""

    url: str
    timeout_seconds: float
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    basic_auth: tuple[str, str] | None = None


def read_event(event_id: UUID, created: datetime, document: Mapping[str, Any]) -> Event:
    """Return the event that store/hook_outbox queued.

    Args:
        event_id: id of the row.
        created: when the event happened.
        document: what happened.
    """
    run, state, flow, tenant = (document[name] for name in ("flow_run", "state", "flow", "tenant"))
    return Event(
        id=event_id,
        timestamp=created,
        subject=Subject(
            flow_run_id=UUID(run["id"]),
            flow_run_name=run["name"],
            flow_id=UUID(flow["id"]),
            flow_name=flow["name"],
            flow_group_id=UUID(flow["flow_group_id"]),
            version_group_id=flow["version_group_id"],
            tenant_id=UUID(tenant["id"]),
            tenant_slug=tenant["slug"],
        ),
        run_version=run["version"],
        run_state=run["state"],
        state=NewState(
            id=UUID(state["id"]),
            version=state["version"],
            state=state["state"],
            timestamp=datetime.fromisoformat(state["timestamp"]),
            message=state["message"],
            start_time=state["start_time"] and datetime.fromisoformat(state["start_time"]),
            serialized_state=state["serialized_state"],
        ),
    )


def event_document(event: Event) -> dict[str, Any]:
    """Return the event as a webhook receives it: every column is there, null where it was not loaded (§7.3)."""
    bare = _subjects(event)
    flow = _padded(bare["flow"], FLOW_COLUMNS)
    tenant = _padded(bare["tenant"], TENANT_COLUMNS)
    run = _padded(bare["flow_run"], FLOW_RUN_COLUMNS)
    return {
        "id": str(event.id),
        "timestamp": event.timestamp.isoformat(),
        "type": "FlowRunStateChange",
        "is_test_event": event.is_test_event,
        "flow_run": {**run, "flow": flow, "tenant": tenant},
        "state": _padded(bare["state"], STATE_COLUMNS),
        "flow": flow,
        "tenant": tenant,
    }


def message_content(event: Event) -> dict[str, Any]:
    """Return the content of the message that a PREFECT_MESSAGE hook leaves: only what is known of the event (§7.3)."""
    return {"event": {"is_test_event": event.is_test_event, **_subjects(event)}, "type": "CLOUD_HOOK"}


def _subjects(event: Event) -> dict[str, Any]:
    subject, state = event.subject, event.state
    flow = {
        "id": str(subject.flow_id),
        "name": subject.flow_name,
        "flow_group_id": str(subject.flow_group_id),
        "version_group_id": subject.version_group_id,
    }
    tenant = {"id": str(subject.tenant_id), "slug": subject.tenant_slug}
    return {
        "flow_run": {
            "id": str(subject.flow_run_id),
            "name": subject.flow_run_name,
            "version": event.run_version,
            "state": event.run_state,
            "flow": flow,
            "tenant": tenant,
        },
        "state": {
            "id": str(state.id),
            "flow_run_id": str(subject.flow_run_id),
            "version": state.version,
            "state": state.state,
            "timestamp": state.timestamp.isoformat(),
            "message": state.message,
            "result": state.result,
            "start_time": state.start_time.isoformat() if state.start_time else None,
            "serialized_state": dict(state.serialized_state),
        },
        "flow": flow,
        "tenant": tenant,
    }


def _padded(document: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    return {**dict.fromkeys(columns), **document}


def deliveries(hook: CloudHook, event: Event, *, api_url: str) -> list[Delivery]:
    """Return the requests that tell a hook's receiver of an event, in the order to send them (§7.3).

    A PREFECT_MESSAGE hook has none; message_content says what is stored for it.

    Args:
        api_url: how a reader of the notification reaches this server.
    """
    link = flow_run_link(event.subject, api_url=api_url)
    match hook.type:
        case "WEBHOOK":
            return [_webhook(hook, event)]
        case "SLACK_WEBHOOK":
            return [_slack(hook, event, link)]
        case "TWILIO":
            return _twilio(hook, event, link)
        case "PAGERDUTY":
            return [_pagerduty(hook, event, link)]
    return []


def flow_run_link(subject: Subject, *, api_url: str) -> str:
    """Return the address of a run's page."""
    return f"{api_url.rstrip('/')}/{quote(subject.tenant_slug, safe='')}/flow-run/{subject.flow_run_id}"


def _webhook(hook: CloudHook, event: Event) -> Delivery:
    return Delivery(
        url=hook.config["url"],
        json={"event": event_document(event)},
        headers={"X-PREFECT-EVENT-ID": str(event.id)},
        timeout_seconds=2.0,
    )


def _slack(hook: CloudHook, event: Event, link: str) -> Delivery:
    subject, state = event.subject, event.state
    texts = (
        f"Run `{_slack_text(subject.flow_run_name)}` of flow `{_slack_text(subject.flow_name)}` entered a new state.",
        f"*State:* `{state.state}`",
        f"*Message:* {_slack_text(state.message)}",
        f"*Link:* {link}",
    )
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text}} for text in texts]
    return Delivery(url=hook.config["url"], json={"blocks": blocks}, timeout_seconds=1.0)


def _slack_text(text: str | None) -> str:
    """Escape what Slack would read as a mention or a link."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _twilio(hook: CloudHook, event: Event, link: str) -> list[Delivery]:
    subject, config = event.subject, hook.config
    body = f"Run {subject.flow_run_name} of flow {subject.flow_name} entered state {event.state.state}.\n{link}"
    return [
        Delivery(
            url=TWILIO_URL.format(account_sid=quote(config["account_sid"], safe="")),
            form={"To": number, "From": config["messaging_service_sid"], "Body": body},
            basic_auth=(config["account_sid"], config["auth_token"]),
            timeout_seconds=2.0,
        )
        for number in config["to"]
    ]


def _pagerduty(hook: CloudHook, event: Event, link: str) -> Delivery:
    subject, state, config = event.subject, event.state, hook.config
    return Delivery(
        url=PAGERDUTY_URL,
        headers={"Authorization": f"Token token={config['api_token']}"},
        json={
            "routing_key": config["routing_key"],
            "event_action": "trigger",
            "payload": {
                "summary": f"Run {subject.flow_run_name} entered state {state.state}",
                "severity": config["severity"],
                "source": f"cloud.prefect.io/{subject.tenant_slug}",
                "component": subject.flow_name,
                "group": subject.flow_run_name,
                "class": f"State->{state.state}",
                "custom_details": {
                    "flow": subject.flow_name,
                    "flow_run": subject.flow_run_name,
                    "state": state.state,
                    "state_message": state.message or "",
                    "tenant_slug": subject.tenant_slug,
                },
            },
            "links": [{"href": link, "text": f"Flow Run {subject.flow_run_name}"}],
        },
        timeout_seconds=2.0,
    )
