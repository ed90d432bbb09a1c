"""Runs, states, queue, logs, agents and artifacts through GraphQL, as the 1.4.1 client, its agents and the UI send them
(client-operations.md R1–R7, K1–K4, L1, A1, X1–X3, Q1–Q3).
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.config import Settings
from server_core.db.session import Database
from server_core.wire import GraphQLRequest
from services.graphql.app import ActionService
from tests.service.graphql.conftest import Answer, Send
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import fetch_all, fetch_one, insert, make_flow, make_flow_run, task_runs_of

AGENT_HEADER = "x_prefect_agent_id"


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=2)


@pytest.fixture
async def run(database: Database, flow: Flow) -> UUID:
    return await make_flow_run(database, flow)


async def mutate(
    actions: Send, field: str, selection: str, headers: dict[str, str] | None = None, **input: Any
) -> Answer:
    document = f"mutation($input: {field}_input!) {{ {field}(input: $input) {{ {selection} }} }}"
    return await actions(document, {"input": json.loads(json.dumps(input, default=str))}, **(headers or {}))


async def set_flow_state(actions: Send, run_id: UUID, state: str, headers: dict[str, str] | None = None) -> Answer:
    entry = {"flow_run_id": run_id, "state": {"type": state, "message": "m"}, "version": None}
    return await mutate(actions, "set_flow_run_states", "states { id status message }", headers, states=[entry])


async def test_create_flow_run(actions: Send, database: Database, flow: Flow) -> None:
    start = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = await mutate(
        actions,
        "create_flow_run",
        "id",
        flow_id=flow.id,
        parameters={"x": 1},
        labels=["b", "a"],
        run_config={"type": "LocalRun"},
        context={"c": 1},
        scheduled_start_time=start,
        idempotency_key="k",
        flow_run_name="n",
    )
    run = await fetch_one(database, "flow_run", UUID(answer.data["create_flow_run"]["id"]))
    assert (run["parameters"], run["labels"], run["context"]) == ({"x": 1}, ["a", "b"], {"c": 1})
    assert (run["name"], run["idempotency_key"], run["state"]) == ("n", "k", "Scheduled")
    assert run["scheduled_start_time"].isoformat() == start
    by_group = await mutate(actions, "create_flow_run", "id", version_group_id=str(flow.flow_group_id))
    assert by_group.data["create_flow_run"]["id"]


@pytest.mark.parametrize(
    ("input", "text"),
    [
        ({}, "required"),
        ({"flow_id": uuid4()}, "not found"),
        ({"version_group_id": "x"}, "no unarchived flows"),
        ({"parameters": [1]}, "parameters"),
        ({"labels": None, "run_config": {"labels": 5}}, "Labels"),
    ],
)
async def test_create_flow_run_refused(
    actions: Send, database: Database, flow: Flow, input: dict[str, Any], text: str
) -> None:
    needs_flow = {"parameters", "run_config"} & set(input)
    given = {**input, "flow_id": flow.id} if needs_flow else input
    answer = await mutate(actions, "create_flow_run", "id", **given)
    assert answer.status == 200
    assert answer.body["data"] == {"create_flow_run": None}
    assert text in answer.error["message"]
    assert isinstance(answer.error["extensions"], dict)
    assert await fetch_all(database, "SELECT FROM flow_run") == []


@pytest.mark.parametrize("flow_id", ["nonsense", 5, "", {}])
async def test_ids_that_are_none_are_refused_before_anything_runs(actions: Send, flow_id: Any) -> None:
    answer = await mutate(actions, "create_flow_run", "id", flow_id=flow_id)
    assert answer.status in (200, 400)
    assert answer.body.get("data") is None
    assert answer.body["errors"]


async def test_an_agent_takes_a_run(actions: Send, database: Database, flow: Flow) -> None:
    """§3.4: a second Submitted within 30 seconds too. §3.8: a written state answers SUCCESS without a message."""
    registered = await mutate(
        actions,
        "register_agent",
        "id",
        {"x_prefect_core_version": "1.4.1"},
        type="LocalAgent",
        name="agent",
        labels=["x"],
        tenant_id=flow.tenant_id,
        agent_config_id=None,
    )
    agent_id = UUID(registered.data["register_agent"]["id"])
    agent = await fetch_one(database, "agent", agent_id)
    assert (agent["core_version"], agent["labels"]) == ("1.4.1", ["x"])
    made = await mutate(actions, "create_flow_run", "id", flow_id=flow.id, labels=["x"])
    run_id = UUID(made.data["create_flow_run"]["id"])
    headers = {AGENT_HEADER: str(agent_id)}
    poll: dict[str, Any] = {
        "tenant_id": flow.tenant_id,
        "before": (datetime.now(UTC) + timedelta(seconds=10)).isoformat(),
    }
    queue = await mutate(actions, "get_runs_in_queue", "flow_run_ids", headers, **poll, labels=["x", "y"])
    assert queue.data["get_runs_in_queue"] == {"flow_run_ids": [str(run_id)]}
    assert (await fetch_one(database, "agent", agent_id))["last_queried"] > agent["last_queried"]
    taken = await set_flow_state(actions, run_id, "Submitted", headers)
    assert taken.data["set_flow_run_states"]["states"] == [{"id": str(run_id), "status": "SUCCESS", "message": None}]
    assert (await fetch_one(database, "flow_run", run_id))["agent_id"] == agent_id
    second = await set_flow_state(actions, run_id, "Submitted", headers)
    assert second.status == 200
    assert "State update failed" in second.error["message"]
    assert second.body["data"] == {"set_flow_run_states": None}
    empty = await mutate(actions, "get_runs_in_queue", "flow_run_ids", **poll, labels=None)
    assert empty.data["get_runs_in_queue"] == {"flow_run_ids": []}


async def test_a_malformed_agent_id_is_refused_where_it_matters(actions: Send, flow: Flow, run: UUID) -> None:
    headers = {AGENT_HEADER: "nonsense"}
    poll = await mutate(actions, "get_runs_in_queue", "flow_run_ids", headers, tenant_id=flow.tenant_id)
    assert "nonsense" in poll.error["message"]
    assert "errors" in (await set_flow_state(actions, run, "Submitted", headers)).body
    assert (await set_flow_state(actions, run, "Running", headers)).data


async def test_a_task_run_from_start_to_end(actions: Send, database: Database, flow: Flow, run: UUID) -> None:
    """§2.1: get_task_run_info of nothing is an error and a null field.

    §2.7: unknown ids are an error with the legacy words.
    §3.7: wrong versions succeed.
    """
    await set_flow_state(actions, run, "Running")
    document = (
        f'mutation {{ get_or_create_task_run_info(input: {{ flow_run_id: "{run}", task_id: "{flow.task_ids[0]}", '
        "map_index: -1 }) { id version serialized_state } }"
    )
    info = (await actions(document)).data["get_or_create_task_run_info"]
    assert (info["version"], info["serialized_state"]["type"]) == (1, "Pending")
    for state in ("Running", "Success"):
        entry = {"task_run_id": info["id"], "state": {"type": state}, "version": 99, "flow_run_version": 99}
        answer = await mutate(actions, "set_task_run_states", "states { id status message }", states=entry)
        assert answer.data["set_task_run_states"]["states"][0]["status"] == "SUCCESS"
    named = await mutate(actions, "set_task_run_name", "success", task_run_id=info["id"], name="n")
    assert named.data["set_task_run_name"] == {"success": True}
    query = f'{{ get_task_run_info(task_run_id: "{info["id"]}") {{ id version state serialized_state }} }}'
    found = (await actions(query)).data["get_task_run_info"]
    assert (found["version"], found["state"]) == (3, "Success")
    plain = await mutate(actions, "get_or_create_task_run", "id", flow_run_id=run, task_id=flow.task_ids[0])
    assert plain.data["get_or_create_task_run"]["id"] == info["id"]
    unknown = await actions(query.replace(info["id"], str(uuid4())))
    assert unknown.body["data"] == {"get_task_run_info": None}
    assert "not found" in unknown.error["message"]
    invalid = await mutate(actions, "get_or_create_task_run_info", "id", flow_run_id=run, task_id=uuid4())
    assert "Invalid ID" in invalid.error["message"]


async def test_a_locked_version(actions: Send, database: Database) -> None:
    """§3.7: HTTP 200, and the first error's code is the one that clients look for."""
    flow = await make_flow(database, tasks=1, group={"settings": {"version_locking_enabled": True}})
    run = await make_flow_run(database, flow)
    [task_run] = await task_runs_of(database, run)
    await set_flow_state(actions, run, "Running")
    entries: dict[str, dict[str, Any]] = {
        "flow": {"flow_run_id": run, "state": {"type": "Running"}, "version": 0},
        "task": {"task_run_id": task_run, "state": {"type": "Running"}, "version": 1, "flow_run_version": 0},
    }
    true = {"flow": {"version": 1}, "task": {"version": 1, "flow_run_version": 2}}
    for kind, entry in entries.items():
        field = f"set_{kind}_run_states"
        answer = await mutate(actions, field, "states { id status message }", states=[entry])
        assert (answer.status, answer.body["data"]) == (200, {field: None})
        assert answer.error["extensions"] == {"code": "VERSION_LOCKING_ERROR"}
        assert (await fetch_one(database, f"{kind}_run", entry[f"{kind}_run_id"]))["version"] == 1
        accepted = await mutate(actions, field, "states { status }", states=[{**entry, **true[kind]}])
        assert accepted.data == {field: {"states": [{"status": "SUCCESS"}]}}


async def test_a_state_that_cannot_be_read(actions: Send, database: Database, run: UUID) -> None:
    entry = {"flow_run_id": run, "state": {"type": "Nope"}}
    answer = await mutate(actions, "set_flow_run_states", "states { id }", states=[entry])
    assert answer.status == 200
    assert "Nope" in answer.error["message"]
    assert await fetch_all(database, "SELECT FROM flow_run_state") == []


async def test_mapped_children_aliased(actions: Send, database: Database, flow: Flow, run: UUID) -> None:
    """§2.1: children of a child or of nothing are none, without an error."""
    for index in range(3):
        await mutate(
            actions, "get_or_create_task_run", "id", flow_run_id=run, task_id=flow.task_ids[0], map_index=index
        )
    ids = await task_runs_of(database, run)
    fields = " ".join(
        f'a{n}: mapped_children(task_run_id: "{each}") {{ min_start_time max_end_time state_counts }}'
        for n, each in enumerate([*ids, uuid4()])
    )
    told = (await actions(f"{{ {fields} }}")).data
    assert sorted((found["state_counts"] for found in told.values()), key=len) == [{}] * 5 + [{"Pending": 3}]


async def test_logs(actions: Send, database: Database, run: UUID) -> None:
    """§2.9: one line without a run refuses the request.

    §10: many lines, each with its own values; a wrong level is named.
    """
    entry = {
        "flow_run_id": run,
        "task_run_id": None,
        "timestamp": "2022-01-01T00:00:00+00:00",
        "name": "prefect",
        "level": "ERROR",
        "message": "m",
    }
    second = {**entry, "message": "n"}
    for logs in ([entry, {**entry, "flow_run_id": uuid4()}], second, [{"flow_run_id": run, "info": {"a": 1}}], []):
        answer = await mutate(actions, "write_run_logs", "success", logs=logs)
        assert answer.data["write_run_logs"] == {"success": True}
    rows = await fetch_all(database, "SELECT * FROM log")
    assert sorted((row["level"], row["message"] or "") for row in rows) == [
        ("ERROR", "m"),
        ("ERROR", "n"),
        ("INFO", ""),
    ]
    for bad in ({**entry, "level": "LOUD"}, {**entry, "flow_run_id": None}):
        refused = await mutate(actions, "write_run_logs", "success", logs=[entry, bad])
        assert refused.body.get("data") is None
        assert refused.body["errors"]
    assert len(await fetch_all(database, "SELECT FROM log")) == 3
    assert "LOUD" in (await mutate(actions, "write_run_logs", "success", logs={**entry, "level": "LOUD"})).text


async def test_heartbeats_names_labels_and_deletion(actions: Send, database: Database, run: UUID) -> None:
    [task_run, _] = await task_runs_of(database, run)
    beat = await actions(f'mutation {{ update_flow_run_heartbeat(input: {{ flow_run_id: "{run}" }}) {{ success }} }}')
    assert beat.data["update_flow_run_heartbeat"] == {"success": True}
    cases: list[tuple[str, dict[str, Any]]] = [
        ("update_task_run_heartbeat", {"task_run_id": task_run}),
        ("update_task_run_heartbeat", {"task_run_id": uuid4()}),
        ("set_flow_run_name", {"flow_run_id": run, "name": "n"}),
        ("set_flow_run_labels", {"flow_run_id": run, "labels": ["b", "a"]}),
        ("delete_flow_run", {"flow_run_id": run}),
    ]
    for field, input in cases:
        assert (await mutate(actions, field, "success error", **input)).data[field] == {"success": True, "error": None}
    gone = await mutate(actions, "delete_flow_run", "success", flow_run_id=run)
    assert gone.data["delete_flow_run"] == {"success": False}
    empty = await mutate(actions, "set_flow_run_name", "success", flow_run_id=run, name="")
    assert "name" in empty.error["message"]


async def test_cancel(actions: Send, run: UUID) -> None:
    """§3.6: cancelling nothing is an error."""
    await set_flow_state(actions, run, "Running")
    answer = await mutate(actions, "cancel_flow_run", "state", flow_run_id=run)
    assert answer.data["cancel_flow_run"] == {"state": "Cancelling"}
    assert "errors" in (await mutate(actions, "cancel_flow_run", "state", flow_run_id=uuid4())).body


async def test_agents_and_configs(actions: Send, database: Database, flow: Flow) -> None:
    """§0.3: a reference to nothing has its own exact text."""
    config = await mutate(actions, "create_agent_config", "id", tenant_id=flow.tenant_id, settings={"a": 1})
    config_id = config.data["create_agent_config"]["id"]
    changed = await mutate(actions, "update_agent_config", "success", agent_config_id=config_id, name="n")
    assert changed.data["update_agent_config"] == {"success": True}
    row = await fetch_one(database, "agent_config", UUID(config_id))
    assert (row["name"], row["settings"]) == ("n", {"a": 1})
    agent = await insert(database, "agent", tenant_id=flow.tenant_id)
    assert (await mutate(actions, "delete_agent", "success", agent_id=agent)).data["delete_agent"] == {"success": True}
    gone = await mutate(actions, "delete_agent_config", "success", agent_config_id=config_id)
    assert gone.data["delete_agent_config"] == {"success": True}
    refused = await mutate(actions, "register_agent", "id", type="LocalAgent", tenant_id=uuid4())
    assert refused.error["message"] == "Foreign key violation."


async def test_artifacts(actions: Send, database: Database, run: UUID) -> None:
    [task_run, _] = await task_runs_of(database, run)
    made = await mutate(
        actions, "create_task_run_artifact", "id", task_run_id=task_run, kind="link", data={"link": "x"}, tenant_id=None
    )
    artifact = made.data["create_task_run_artifact"]["id"]
    cases: list[tuple[str, dict[str, Any]]] = [
        ("update_task_run_artifact", {"data": [1]}),
        ("delete_task_run_artifact", {}),
    ]
    for field, input in cases:
        answer = await mutate(actions, field, "success", task_run_artifact_id=artifact, **input)
        assert answer.data[field] == {"success": True}
    missing = await mutate(actions, "create_task_run_artifact", "id", task_run_id=uuid4(), kind="link", data={})
    assert missing.status == 200
    assert "not found" in missing.error["message"]


async def test_one_field_that_fails_leaves_the_others(actions: Send, run: UUID) -> None:
    answer = await actions(
        f'mutation {{ a: cancel_flow_run(input: {{ flow_run_id: "{uuid4()}" }}) {{ state }} '
        f'b: cancel_flow_run(input: {{ flow_run_id: "{run}" }}) {{ state }} }}'
    )
    assert answer.body["data"] == {"a": None, "b": {"state": "Cancelled"}}
    assert answer.error["path"] == ["a"]


async def test_the_children_of_one_request_are_asked_for_at_once(database_url: str, database: Database) -> None:
    """§2.1: the UI sends a field per row of its table."""
    service = ActionService(Settings(), database_url)
    await service.start()
    try:
        fields = " ".join(f'a{n}: mapped_children(task_run_id: "{uuid4()}") {{ state_counts }}' for n in range(100))
        async with recorded(service._database) as recorder:
            answer = await service.execute(GraphQLRequest(query=f"{{ {fields} }}"))
    finally:
        await service.stop()
    assert len(json.loads(answer.body)["data"]) == 100
    assert sum("task_run" in statement for statement in recorder.statements) == 1
