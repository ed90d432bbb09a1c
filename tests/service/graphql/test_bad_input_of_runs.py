"""Bad input to the fields on runs, states, queue, logs, agents and artifacts: a clear error of the documented shape,
never a 5xx, and nothing is changed (actions.md §0.3).
"""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.db.session import Database
from tests.service.graphql.conftest import Send
from tests.support.rows import fetch_all, make_flow, make_flow_run

SELECTIONS = {
    "create_flow_run": "id",
    "set_flow_run_name": "success",
    "set_task_run_name": "success",
    "set_flow_run_labels": "success",
    "get_or_create_task_run": "id",
    "get_or_create_task_run_info": "id",
    "update_flow_run_heartbeat": "success",
    "update_task_run_heartbeat": "success",
    "delete_flow_run": "success",
    "get_runs_in_queue": "flow_run_ids",
    "set_flow_run_states": "states { id }",
    "set_task_run_states": "states { id }",
    "cancel_flow_run": "state",
    "write_run_logs": "success",
    "register_agent": "id",
    "delete_agent": "success",
    "create_agent_config": "id",
    "update_agent_config": "success",
    "delete_agent_config": "success",
    "create_task_run_artifact": "id",
    "update_task_run_artifact": "success",
    "delete_task_run_artifact": "success",
}
TABLES = ("flow_run", "flow_run_state", "task_run", "task_run_state", "log", "agent", "agent_config")
ANY = str(uuid4())
BAD_STATES: list[Any] = [
    {"type": "State"},
    {"type": "_MetaState"},
    {"type": "running"},
    {"type": None},
    {},
    [],
    "Running",
    5,
    {"type": "Running", "message": 5},
    {"type": "Running", "context": []},
    {"type": "Running", "cached_inputs": {"x": 1}},
    {"type": "Running", "_result": None},
    {"type": "Scheduled", "start_time": "soon"},
    {"type": "Scheduled", "start_time": "0001-01-01T00:00:00+14:00"},
    {"type": "Retrying", "run_count": "many"},
    {"type": "Mapped", "n_map_states": None},
    {"type": "Submitted", "state": {"type": "Nope"}},
    {"type": "Success", "message": "x" * 1_000_001},
]
BAD: list[tuple[str, Any]] = [
    *((field, None) for field in SELECTIONS),
    *((field, {}) for field in SELECTIONS),
    *((field, {"nonsense": 1}) for field in SELECTIONS),
    *((field, "text") for field in SELECTIONS),
    ("create_flow_run", {"flow_id": "x"}),
    ("create_flow_run", {"flow_id": ANY, "labels": [None]}),
    ("create_flow_run", {"flow_id": ANY, "labels": [5]}),
    ("create_flow_run", {"flow_id": ANY, "scheduled_start_time": "soon"}),
    ("create_flow_run", {"flow_id": "RUN'S", "parameters": {"x": "\x00"}}),
    ("create_flow_run", {"flow_id": "RUN'S", "flow_run_name": "\x00"}),
    ("set_flow_run_name", {"flow_run_id": "RUN", "name": ""}),
    ("set_flow_run_name", {"flow_run_id": "RUN", "name": "\x00"}),
    ("set_flow_run_name", {"flow_run_id": "RUN", "name": None}),
    ("set_flow_run_labels", {"flow_run_id": "RUN", "labels": None}),
    ("set_flow_run_labels", {"flow_run_id": "RUN", "labels": ["\x00"]}),
    ("get_or_create_task_run", {"flow_run_id": "RUN", "task_id": ANY}),
    ("get_or_create_task_run", {"flow_run_id": "RUN", "task_id": "TASK", "map_index": 2**31}),
    ("get_or_create_task_run", {"flow_run_id": "RUN", "task_id": "TASK", "map_index": "x"}),
    ("get_runs_in_queue", {"tenant_id": ANY, "before": "soon"}),
    ("get_runs_in_queue", {"tenant_id": ANY, "labels": ["\x00"]}),
    *(("set_flow_run_states", {"states": [{"flow_run_id": "RUN", "state": state}]}) for state in BAD_STATES),
    *(("set_task_run_states", {"states": [{"task_run_id": ANY, "state": state}]}) for state in BAD_STATES),
    ("set_flow_run_states", {"states": [{"flow_run_id": ANY, "state": {"type": "Running"}}]}),
    ("set_flow_run_states", {"states": [{"flow_run_id": "RUN", "state": None}]}),
    ("set_flow_run_states", {"states": [None]}),
    ("set_flow_run_states", {"states": [{"flow_run_id": "RUN", "state": {"type": "Running"}, "version": "x"}]}),
    ("cancel_flow_run", {"flow_run_id": ANY}),
    ("write_run_logs", {"logs": [{"flow_run_id": "RUN", "timestamp": "soon"}]}),
    ("write_run_logs", {"logs": [{"flow_run_id": "RUN"}, {"flow_run_id": "RUN", "level": "LOUD"}]}),
    ("write_run_logs", {"logs": [{"flow_run_id": "RUN"}, {"message": "whose?"}]}),
    ("register_agent", {"type": "", "tenant_id": ANY}),
    ("register_agent", {"type": "LocalAgent", "tenant_id": ANY}),
    ("register_agent", {"type": "LocalAgent", "name": "\x00", "tenant_id": ANY}),
    ("create_agent_config", {"tenant_id": ANY}),
    ("create_agent_config", {"tenant_id": ANY, "settings": [1]}),
    ("update_agent_config", {"agent_config_id": ANY, "settings": "x"}),
    ("create_task_run_artifact", {"task_run_id": ANY, "kind": "link", "data": {}}),
    ("create_task_run_artifact", {"task_run_id": ANY, "kind": "link", "data": None}),
    ("create_task_run_artifact", {"task_run_id": ANY, "kind": "link", "data": "x" * 1_000_000}),
]


def named(value: Any, ids: dict[str, UUID]) -> Any:
    """Put real ids in place of their names."""
    if isinstance(value, dict):
        return {key: named(member, ids) for key, member in value.items()}
    if isinstance(value, list):
        return [named(member, ids) for member in value]
    return str(ids[value]) if isinstance(value, str) and value in ids else value


async def test_bad_input_changes_nothing(actions: Send, database: Database) -> None:
    """§2.9: one line without a run refuses the request."""
    flow = await make_flow(database, tasks=1)
    run = await make_flow_run(database, flow)
    ids = {"RUN": run, "RUN'S": flow.id, "TASK": flow.task_ids[0]}

    async def everything() -> str:
        rows = [await fetch_all(database, f"SELECT * FROM {table} ORDER BY id") for table in TABLES]
        return json.dumps(rows, default=str)

    before = await everything()
    for field, input in BAD:
        document = f"mutation($input: {field}_input!) {{ {field}(input: $input) {{ {SELECTIONS[field]} }} }}"
        answer = await actions(document, {"input": named(input, ids)})
        case = f"{field}({str(input)[:200]}) -> {answer.text[:500]}"
        assert answer.status in (200, 400), case
        data = answer.body.get("data")
        assert data is None or data == {field: None}, case
        assert answer.body["errors"], case
        for error in answer.body["errors"]:
            assert error["message"], case
            assert "internal error" not in error["message"], case
            assert isinstance(error.get("extensions", {}), dict), case
            assert "Traceback" not in answer.text, case
    assert await everything() == before


@pytest.mark.parametrize("field", ["mapped_children", "get_task_run_info"])
@pytest.mark.parametrize("value", ["nonsense", "", None, 5])
async def test_bad_ids_of_queries(actions: Send, field: str, value: Any) -> None:
    selection = "state_counts" if field == "mapped_children" else "id"
    literal = await actions(f"{{ {field}(task_run_id: {json.dumps(value)}) {{ {selection} }} }}")
    assert literal.status == 400
    assert "data" not in literal.body
    variable = await actions(f"query($id: UUID!) {{ {field}(task_run_id: $id) {{ {selection} }} }}", {"id": value})
    assert variable.body.get("data") is None
    assert variable.body["errors"]
