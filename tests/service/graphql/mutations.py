"""Every mutation with an input that works, by the names of rows, and what a lost answer to it means. Used by the tests
that go through all mutations.
"""

import base64
import gzip
import json
from typing import Any
from uuid import UUID

from graphql import get_named_type

from server_core.db.session import Database
from services.graphql.schema import build_schema
from tests.support.factories import Flow
from tests.support.rows import insert, make_flow, make_flow_run, task_runs_of

MUTATION = build_schema()._schema.mutation_type
DOCUMENT = {"name": "f", "tasks": [{"slug": "a"}]}
PACKED = base64.b64encode(gzip.compress(json.dumps(DOCUMENT).encode())).decode()
HOURLY = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None}]}

AGAIN, DONE, FALSE = "no error", "success", "success or not"
TAKEN, HELD = "Uniqueness violation.", "State update failed"
"""API_ERROR, and what a second request answers: nothing wrong; that it was done; either, for what is gone; an error."""
NEVER = "OUTCOME_UNKNOWN"
"""A second request would make the change twice."""
STATE = "one more row of history"
"""API_ERROR all the same: a run whose state is lost hangs, one more row of history is harmless (§3.3)."""

FLOW_VERBS = (
    "enable_flow_heartbeat",
    "disable_flow_heartbeat",
    "enable_flow_lazarus_process",
    "disable_flow_lazarus_process",
    "set_schedule_active",
    "set_schedule_inactive",
    "archive_flow",
)
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("create_tenant", {"name": "n", "slug": "n"}, TAKEN),
    ("update_tenant_name", {"tenant_id": "TENANT", "name": "x"}, AGAIN),
    ("update_tenant_slug", {"tenant_id": "TENANT", "slug": "x"}, AGAIN),
    ("update_tenant_settings", {"tenant_id": "TENANT", "settings": {"a": 1}}, AGAIN),
    ("delete_tenant", {"tenant_id": "TENANT", "confirm": True}, FALSE),
    ("create_project", {"tenant_id": "TENANT", "name": "n"}, TAKEN),
    ("set_project_name", {"project_id": "PROJECT", "name": "x"}, AGAIN),
    ("set_project_description", {"project_id": "PROJECT", "description": "x"}, AGAIN),
    ("delete_project", {"project_id": "PROJECT"}, FALSE),
    ("create_flow", {"project_id": "PROJECT", "serialized_flow": DOCUMENT}, NEVER),
    ("create_flow", {"project_id": "PROJECT", "serialized_flow": DOCUMENT, "idempotency_key": "k"}, AGAIN),
    ("create_flow_from_compressed_string", {"project_id": "PROJECT", "serialized_flow": PACKED}, NEVER),
    (
        "create_flow_from_compressed_string",
        {"project_id": "PROJECT", "serialized_flow": PACKED, "idempotency_key": "k"},
        AGAIN,
    ),
    ("register_tasks", {"flow_id": "FLOW", "serialized_tasks": [{"slug": "a"}, {"slug": "b"}]}, DONE),
    (
        "register_edges",
        {"flow_id": "FLOW", "serialized_edges": [{"upstream_task": "task-0", "downstream_task": "task-1"}]},
        DONE,
    ),
    *((field, {"flow_id": "FLOW"}, DONE) for field in FLOW_VERBS),
    ("update_flow_project", {"flow_id": "FLOW", "project_id": "PROJECT"}, AGAIN),
    ("delete_flow", {"flow_id": "FLOW"}, FALSE),
    ("set_flow_group_default_parameters", {"flow_group_id": "GROUP", "parameters": {"a": 1}}, DONE),
    ("set_flow_group_description", {"flow_group_id": "GROUP", "description": "x"}, DONE),
    ("set_flow_group_labels", {"flow_group_id": "GROUP", "labels": ["a"]}, DONE),
    ("set_flow_group_run_config", {"flow_group_id": "GROUP", "run_config": {}}, DONE),
    ("set_flow_group_settings", {"flow_group_id": "GROUP", "settings": {"heartbeat_enabled": False}}, DONE),
    ("set_flow_group_schedule", {"flow_group_id": "GROUP", "interval_clocks": [{"interval": 60}]}, DONE),
    ("delete_flow_group_schedule", {"flow_group_id": "GROUP"}, DONE),
    ("delete_flow_group", {"flow_group_id": "GROUP"}, FALSE),
    ("create_flow_run", {"flow_id": "FLOW"}, NEVER),
    ("create_flow_run", {"flow_id": "FLOW", "idempotency_key": "k"}, AGAIN),
    ("set_flow_run_name", {"flow_run_id": "RUN", "name": "x"}, DONE),
    ("set_flow_run_labels", {"flow_run_id": "RUN", "labels": ["x"]}, DONE),
    ("set_task_run_name", {"task_run_id": "TASK RUN", "name": "x"}, DONE),
    ("get_or_create_task_run", {"flow_run_id": "RUN", "task_id": "TASK", "map_index": 1}, AGAIN),
    ("get_or_create_task_run_info", {"flow_run_id": "RUN", "task_id": "TASK", "map_index": 2}, AGAIN),
    ("update_flow_run_heartbeat", {"flow_run_id": "RUN"}, DONE),
    ("update_task_run_heartbeat", {"task_run_id": "TASK RUN"}, DONE),
    ("delete_flow_run", {"flow_run_id": "RUN"}, FALSE),
    ("get_runs_in_queue", {"tenant_id": "TENANT"}, AGAIN),
    ("set_flow_run_states", {"states": [{"flow_run_id": "RUN", "state": {"type": "Running"}}]}, STATE),
    (
        "set_flow_run_states",
        {"states": [{"flow_run_id": "RUN", "state": {"type": "Submitted"}}]},
        "State update failed",
    ),
    ("set_task_run_states", {"states": [{"task_run_id": "TASK RUN", "state": {"type": "Success"}}]}, STATE),
    ("cancel_flow_run", {"flow_run_id": "RUN"}, AGAIN),
    ("write_run_logs", {"logs": [{"flow_run_id": "RUN", "timestamp": "2022-03-04T05:06:07Z", "message": "x"}]}, DONE),
    ("mark_message_as_read", {"message_id": "MESSAGE"}, DONE),
    ("mark_message_as_unread", {"message_id": "MESSAGE"}, DONE),
    ("delete_message", {"message_id": "MESSAGE"}, FALSE),
    ("register_agent", {"tenant_id": "TENANT", "type": "LocalAgent"}, AGAIN),
    ("delete_agent", {"agent_id": "AGENT"}, FALSE),
    ("create_agent_config", {"tenant_id": "TENANT"}, NEVER),
    ("update_agent_config", {"agent_config_id": "CONFIG", "name": "x"}, DONE),
    ("delete_agent_config", {"agent_config_id": "CONFIG"}, FALSE),
    ("create_task_run_artifact", {"task_run_id": "TASK RUN", "kind": "link", "data": {}}, NEVER),
    ("update_task_run_artifact", {"task_run_artifact_id": "ARTIFACT", "data": {}}, DONE),
    ("delete_task_run_artifact", {"task_run_artifact_id": "ARTIFACT"}, FALSE),
    (
        "create_cloud_hook",
        {"tenant_id": "TENANT", "type": "PREFECT_MESSAGE", "states": ["Failed"], "config": {}},
        NEVER,
    ),
    ("set_cloud_hook_active", {"cloud_hook_id": "HOOK"}, DONE),
    ("set_cloud_hook_inactive", {"cloud_hook_id": "HOOK"}, DONE),
    ("delete_cloud_hook", {"cloud_hook_id": "HOOK"}, FALSE),
]


def named(value: Any, ids: dict[str, UUID]) -> Any:
    """Put real ids in place of their names."""
    if isinstance(value, dict):
        return {key: named(member, ids) for key, member in value.items()}
    if isinstance(value, list):
        return [named(member, ids) for member in value]
    return str(ids[value]) if isinstance(value, str) and value in ids else value


async def one_of_each(database: Database) -> dict[str, UUID]:
    flow: Flow = await make_flow(database, tasks=2, schedule=HOURLY)
    run = await make_flow_run(database, flow)
    task_run = (await task_runs_of(database, run))[0]
    tenant = {"tenant_id": flow.tenant_id}
    return {
        "TENANT": flow.tenant_id,
        "PROJECT": flow.project_id,
        "FLOW": flow.id,
        "GROUP": flow.flow_group_id,
        "TASK": flow.task_ids[0],
        "RUN": run,
        "TASK RUN": task_run,
        "MESSAGE": await insert(database, "message", **tenant, content={}, type="CLOUD_HOOK"),
        "AGENT": await insert(database, "agent", **tenant),
        "CONFIG": await insert(database, "agent_config", **tenant),
        "ARTIFACT": await insert(database, "task_run_artifact", **tenant, task_run_id=task_run, kind="k", data={}),
        "HOOK": await insert(database, "cloud_hook", **tenant, type="WEBHOOK", states=["FAILED"], config={"url": "x"}),
    }


def document_of(field: str) -> str:
    """Return a document that calls a mutation with the variable `$input`."""
    assert MUTATION is not None
    [selection, *_] = get_named_type(MUTATION.fields[field].type).fields
    selection = "states { id }" if selection == "states" else selection
    return f"mutation($input: {field}_input!) {{ {field}(input: $input) {{ {selection} }} }}"
