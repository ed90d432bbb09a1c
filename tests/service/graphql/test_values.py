"""Scalars, lists and aliases as they travel: actions.md §0.2, §1."""

import json
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from server_core.db.session import Database
from tests.service.graphql.conftest import PATH, Send
from tests.support.factories import Flow
from tests.support.rows import fetch_all, fetch_one, make_flow, make_flow_run

RENAME = 'mutation($id: UUID!) { set_project_name(input: {project_id: $id, name: "new"}) { id } }'
SETTINGS = "mutation($id: UUID!, $s: JSON) { update_tenant_settings(input: {tenant_id: $id, settings: $s}) { id } }"


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=2)


def spellings(id: UUID) -> list[str]:
    return [str(id), str(id).upper(), id.hex, f"{{{id}}}", f"urn:uuid:{id}"]


async def test_uuids_in_any_spelling(actions: Send, flow: Flow) -> None:
    for text in spellings(flow.project_id):
        as_variable = await actions(RENAME, {"id": text})
        as_literal = await actions(
            f'mutation {{ set_project_name(input: {{project_id: "{text}", name: "new"}}) {{ id }} }}'
        )
        assert as_variable.data == as_literal.data == {"set_project_name": {"id": str(flow.project_id)}}


@pytest.mark.parametrize("value", ["nope", "", 1, True, [], {}])
async def test_a_bad_uuid_variable(actions: Send, value: Any) -> None:
    answer = await actions(RENAME, {"id": value})
    assert (answer.status, answer.body["data"]) == (200, None)
    assert "invalid value" in answer.error["message"]
    assert "Could not parse UUID" in answer.error["message"]


@pytest.mark.parametrize("literal", ['"nope"', '""', "1", "true", "[]", "{}", "ENUM"])
async def test_a_bad_uuid_literal(actions: Send, literal: str) -> None:
    answer = await actions(f'mutation {{ set_project_name(input: {{project_id: {literal}, name: "x"}}) {{ id }} }}')
    assert answer.status == 400
    assert "data" not in answer.body
    assert "invalid value" in answer.error["message"]
    assert "Could not parse UUID" in answer.error["message"]
    assert answer.error["locations"]


async def test_a_bad_literal_in_a_known_shape_is_still_a_validation_error(actions: Send, flow: Flow) -> None:
    query = 'mutation {{ set_project_name(input: {{project_id: "{}", name: "x"}}) {{ id }} }}'
    assert (await actions(query.format(flow.project_id))).status == 200
    assert (await actions(query.format("nope"))).status == 400


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, {}]", '"x"', "12", "null"])
async def test_a_json_string_literal_is_decoded(actions: Send, database: Database, text: str, flow: Flow) -> None:
    literal = '"' + text.replace('"', '\\"') + '"'
    input = f'{{flow_group_id: "{flow.flow_group_id}", run_config: {literal}}}'
    answer = await actions(f"mutation {{ set_flow_group_run_config(input: {input}) {{ success }} }}")
    assert answer.data == {"set_flow_group_run_config": {"success": True}}
    assert (await fetch_one(database, "flow_group", flow.flow_group_id))["run_config"] == json.loads(text)


async def test_json_variables_and_object_literals(actions: Send, database: Database, flow: Flow) -> None:
    for settings in ({"a": {"b": [1, None, "x", 1.5, True]}}, {"big": 2**100}):
        await actions(SETTINGS, {"id": str(flow.tenant_id), "s": settings})
    await actions(
        f'mutation($v: Int) {{ update_tenant_settings(input: {{tenant_id: "{flow.tenant_id}",'
        ' settings: {c: "plain", d: $v}}) { id } }',
        {"v": 3},
    )
    stored = (await fetch_one(database, "tenant", flow.tenant_id))["settings"]
    assert stored == {"a": {"b": [1, None, "x", 1.5, True]}, "big": 2**100, "c": "plain", "d": 3}


async def test_a_json_string_variable_is_a_string(actions: Send, flow: Flow) -> None:
    answer = await actions(SETTINGS, {"id": str(flow.tenant_id), "s": '{"a": 1}'})
    assert answer.error["message"] == "Tenant settings must be a JSON object."


async def test_big_numbers_come_back_whole(actions: Send, database: Database, flow: Flow) -> None:
    run_id = await make_flow_run(database, flow)
    [task_run] = (await fetch_all(database, "SELECT id FROM task_run WHERE flow_run_id = $1 LIMIT 1", run_id))[:1]
    state = {"type": "Success", "context": {"big": 2**100}}
    await actions(
        "mutation($i: set_task_run_states_input!) { set_task_run_states(input: $i) { states { id status message } } }",
        {"i": {"states": [{"task_run_id": str(task_run["id"]), "state": state}]}},
    )
    answer = await actions(
        "query($id: UUID!) { get_task_run_info(task_run_id: $id) { serialized_state } }", {"id": str(task_run["id"])}
    )
    assert answer.data["get_task_run_info"]["serialized_state"]["context"] == {"big": 2**100}


async def test_instants_as_variable_and_as_literal(actions: Send, database: Database, flow: Flow) -> None:
    """§0.2: ISO-8601 either way; without an offset it is UTC."""
    document = "mutation($at: DateTime) { create_flow_run(input: {flow_id: %s, scheduled_start_time: %s}) { id } }"
    spelt = {
        "2022-03-04T05:06:07+02:00": "2022-03-04T03:06:07+00:00",
        "2022-03-04T05:06:07": "2022-03-04T05:06:07+00:00",
    }
    for given, stored in spelt.items():
        for value, variables in (("$at", {"at": given}), (f'"{given}"', None)):
            query = document if value == "$at" else document.replace("($at: DateTime)", "")
            answer = await actions(query % (f'"{flow.id}"', value), variables)
            run = await fetch_one(database, "flow_run", UUID(answer.data["create_flow_run"]["id"]))
            assert run["scheduled_start_time"].isoformat() == stored


async def test_an_object_where_a_list_is_expected(actions: Send, database: Database, flow: Flow) -> None:
    run_id = await make_flow_run(database, flow)
    entry = {"flow_run_id": str(run_id), "message": "only one", "level": "ERROR"}
    query = "mutation($i: write_run_logs_input!) { write_run_logs(input: $i) { success } }"
    assert (await actions(query, {"i": {"logs": entry}})).data == {"write_run_logs": {"success": True}}
    literal = f'{{flow_run_id: "{run_id}", message: "another", level: ERROR}}'
    await actions(f"mutation {{ write_run_logs(input: {{logs: {literal}}}) {{ success }} }}")
    rows = await fetch_all(database, "SELECT message, level FROM log ORDER BY message")
    assert [(row["message"], row["level"]) for row in rows] == [("another", "ERROR"), ("only one", "ERROR")]


async def test_labels_as_one_string(actions: Send, database: Database, flow: Flow) -> None:
    query = "mutation($i: set_flow_group_labels_input!) { set_flow_group_labels(input: $i) { success } }"
    await actions(query, {"i": {"flow_group_id": str(flow.flow_group_id), "labels": "a"}})
    assert (await fetch_one(database, "flow_group", flow.flow_group_id))["labels"] == ["a"]


async def test_many_aliases(actions: Send) -> None:
    fields = "\n".join(f'm{n}: mapped_children(task_run_id: "{uuid4()}") {{ state_counts }}' for n in range(50))
    answer = await actions(f"query {{ {fields} }}")
    assert answer.data == {f"m{n}": {"state_counts": {}} for n in range(50)}


async def test_variables_inside_an_inline_input(actions: Send, database: Database) -> None:
    answer = await actions(
        'mutation($slug: String!) { create_tenant(input: {name: "x", slug: $slug}) { id } }', {"slug": "s"}
    )
    [row] = await fetch_all(database, "SELECT id, slug FROM tenant")
    assert (str(row["id"]), row["slug"]) == (answer.data["create_tenant"]["id"], "s")


@pytest.mark.parametrize("depth", [200, 400, 900, 3000])
async def test_deep_documents(
    http: httpx.AsyncClient, actions: Send, database: Database, flow: Flow, depth: int
) -> None:
    """What is stored comes back; what is too deep is refused; nothing in between is a 5xx."""
    run_id = await make_flow_run(database, flow)
    [task_run] = (await fetch_all(database, "SELECT id FROM task_run WHERE flow_run_id = $1 LIMIT 1", run_id))[:1]
    nested = "[" * depth + "]" * depth
    state = f'{{"type": "Success", "context": {{"deep": {nested}}}}}'
    variables = f'{{"i": {{"states": [{{"task_run_id": "{task_run["id"]}", "state": {state}}}]}}}}'
    query = "mutation($i: set_task_run_states_input!) { set_task_run_states(input: $i) { states { status } } }"
    response = await http.post(PATH, json={"query": query, "variables": variables})
    assert response.status_code in (200, 400)
    stored = "errors" not in response.json()
    assert stored or "deep" in response.text or "JSON" in response.text
    answer = await actions(
        "query($id: UUID!) { get_task_run_info(task_run_id: $id) { serialized_state } }", {"id": str(task_run["id"])}
    )
    assert answer.status == 200


async def test_very_many_root_fields_run_one_after_the_other(actions: Send, database: Database, flow: Flow) -> None:
    many = 1_500
    fields = (
        f'a{n}: set_project_name(input: {{project_id: "{flow.project_id}", name: "n{n}"}}) {{ id }}'
        for n in range(many)
    )
    answer = await actions(f"mutation {{ {' '.join(fields)} }}")
    assert answer.data == {f"a{n}": {"id": str(flow.project_id)} for n in range(many)}
    assert (await fetch_one(database, "project", flow.project_id))["name"] == f"n{many - 1}"
