"""The gateway in front of the real data API and the real actions, on a real database: in one process, and with HTTP
between them (data-api.md §3.2, §3.3).
"""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from graphql import build_client_schema, get_introspection_query

from services.data.app import create_app as data_app
from services.data.app import create_service as create_data
from services.gateway.upstream import HttpUpstream
from services.graphql.app import create_app as actions_app
from services.graphql.app import create_service as create_actions
from tests.support.gateway import Served, served
from tests.support.servers import listening
from tests.support.settings import data_settings, server_settings

COLLISIONS = [
    *(f"delete_{noun}" for noun in ("agent", "agent_config", "cloud_hook", "flow", "flow_group", "flow_run")),
    *(f"delete_{noun}" for noun in ("message", "project", "task_run_artifact", "tenant")),
    "update_agent_config",
    "update_task_run_artifact",
]

EXTENSIONS = ["set_flow_group_settings"]
"""Mutations of our own, which the contract does not have (tests/unit/graphql/extensions.graphql)."""


@pytest.fixture(params=["in process", "over sockets"])
async def server(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Served]:
    """Return the whole server but the towel, with all that the data API can be asked for."""
    settings = server_settings(data=data_settings(mutations=True))
    data, actions = create_data(settings, database_url), create_actions(settings, database_url)
    if request.param == "in process":
        async with served(data, actions) as running:
            yield running
        return
    async with (
        listening(data_app(data)) as data_url,
        listening(actions_app(actions)) as actions_url,
        served(
            HttpUpstream(f"{data_url}/v1alpha1/graphql", name="data"),
            HttpUpstream(f"{actions_url}/graphql/", name="actions"),
            retry_seconds=0.05,
            patience_seconds=60,
        ) as running,
    ):
        yield running


async def tenant(server: Served) -> str:
    """Create a tenant as the client does: variables as a string of JSON."""
    slug = f"t-{uuid4()}"
    answer = await server.answer(
        "mutation($input: create_tenant_input!) {\n  create_tenant(input: $input) {\n    id\n  }\n}",
        json.dumps({"input": {"name": slug, "slug": slug}}),
    )
    assert list(answer) == ["data"]
    made: str = answer["data"]["create_tenant"]["id"]
    return made


async def test_an_action_is_seen_by_a_query(server: Served) -> None:
    tenant_id = await tenant(server)
    made = await server.answer(
        f'mutation {{ create_project(input: {{tenant_id: "{tenant_id}", name: "p"}}) {{ id }} }}'
    )
    answer = await server.answer(
        f'{{ project(where: {{ tenant_id: {{ _eq: "{tenant_id}" }}, name: {{ _eq: null }} }}'
        " order_by: { name: asc }) { id name __typename tenant { id } flows_aggregate(distinct_on: name)"
        " { aggregate { count } } } hello }",
        "null",
    )
    assert answer["data"]["project"] == [
        {
            "id": made["data"]["create_project"]["id"],
            "name": "p",
            "__typename": "project",
            "tenant": {"id": tenant_id},
            "flows_aggregate": {"aggregate": {"count": 0}},
        }
    ]
    assert answer["data"]["hello"]


async def test_a_uniqueness_violation_reads_as_clients_expect(server: Served) -> None:
    tenant_id = await tenant(server)
    query = f'mutation {{ create_project(input: {{tenant_id: "{tenant_id}", name: "p"}}) {{ id }} }}'
    await server.answer(query)
    again = await server.answer(query)
    assert [error["message"] for error in again["errors"]] == ["Uniqueness violation."]
    assert again["data"] == {"create_project": None}


async def test_a_malformed_id_fails_its_field_only(server: Served) -> None:
    tenant_id = await tenant(server)
    answer = await server.answer(
        'query($good: uuid!) { a: flow_by_pk(id: "nonsense") { id } b: tenant_by_pk(id: $good) { id } }',
        {"good": tenant_id},
    )
    assert answer["data"] == {"a": None, "b": {"id": tenant_id}}
    (error,) = answer["errors"]
    assert "invalid input" in error["message"]
    assert error["path"] == ["a"]
    assert error["extensions"]["code"] == "data-exception"


async def test_a_malformed_id_of_one_action_leaves_the_other_done(server: Served) -> None:
    tenant_id = await tenant(server)
    answer = await server.answer(
        'mutation { a: create_project(input: {tenant_id: "nonsense", name: "a"}) { id }'
        f' b: create_project(input: {{tenant_id: "{tenant_id}", name: "b"}}) {{ id }} }}'
    )
    assert answer["data"]["a"] is None
    assert answer["data"]["b"]["id"]
    assert [error["path"] for error in answer["errors"]] == [["a"]]
    found = await server.answer(f'{{ project(where: {{tenant_id: {{_eq: "{tenant_id}"}}}}) {{ name }} }}')
    assert found["data"]["project"] == [{"name": "b"}]


async def test_the_schema_that_clients_see(server: Served) -> None:
    schema = build_client_schema((await server.answer(get_introspection_query()))["data"])
    query, mutation = schema.query_type, schema.mutation_type
    assert query is not None
    assert mutation is not None
    subscription = schema.subscription_type
    assert subscription is not None
    assert (len(query.fields), len(mutation.fields) - len(EXTENSIONS), len(subscription.fields)) == (58, 145, 53)
    assert {"hello", "reference_data", "api", "mapped_children", "get_task_run_info"} <= set(query.fields)
    for name in COLLISIONS:
        assert str(mutation.fields[name].type) == "success_payload"
        assert list(mutation.fields[name].args) == ["input"]
    assert {"uuid", "timestamptz", "jsonb", "UUID", "DateTime", "JSON"} <= set(schema.type_map)
    assert set(EXTENSIONS) <= set(mutation.fields)


@pytest.mark.parametrize("value", ["nul \0", "half \ud800", "x" * 100_000, ["a", {"b": None}], 1e300])
async def test_odd_values_are_answered(server: Served, value: Any) -> None:
    response = await server.client.post(
        "/",
        content=json.dumps(
            {
                "query": "query($v: jsonb, $s: String) { flow(where: {parameters: {_contains: $v}, name: {_eq: $s}})"
                " { id } hello }",
                "variables": {"v": value, "s": value if isinstance(value, str) else None},
            }
        ),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 200
    answer = response.json()
    assert ("errors" in answer) is (answer["data"] is None)
