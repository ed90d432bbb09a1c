"""HTTP and failures: actions.md §0.1, §0.3, and what must never reach a client."""

import asyncio
import json
from importlib.metadata import version
from typing import Any
from uuid import uuid4

import httpx
import pytest

from server_core.config import GraphQLSettings, Settings
from server_core.db.session import Database
from services.graphql.app import create_app, create_service
from tests.service.graphql.conftest import PATH, Send
from tests.support.rows import fetch_all

CREATE_TENANT = "mutation($input: create_tenant_input!) { create_tenant(input: $input) { id } }"


async def test_health(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_SERVER_VERSION", raising=False)
    assert (await http.get("/health")).json() == {"status": "ok", "version": version("prefect-server")}
    monkeypatch.setenv("PREFECT_SERVER_VERSION", "2022.9.7")
    assert (await http.get("/health")).json() == {"status": "ok", "version": "2022.9.7"}


async def test_the_slash_is_part_of_the_path(http: httpx.AsyncClient) -> None:
    assert (await http.post("/graphql", json={"query": "{ hello }"})).status_code == 404
    assert (await http.get(PATH)).status_code == 405
    assert (await http.post(PATH, json={"query": "{ hello }"})).status_code == 200


async def test_success_has_no_errors_key(http: httpx.AsyncClient) -> None:
    response = await http.post(PATH, json={"query": "{ hello }"})
    assert response.headers["content-type"] == "application/json"
    assert response.text.startswith('{"data":')
    assert set(response.json()) == {"data"}


@pytest.mark.parametrize("variables", ["null", "{}", None, {}, "", '{"input": {"name": "x", "slug": "x"}}'])
async def test_variables_as_the_client_sends_them(http: httpx.AsyncClient, variables: Any) -> None:
    response = await http.post(PATH, json={"query": "{ hello }", "variables": variables})
    assert response.status_code == 200


async def test_variables_as_a_string(http: httpx.AsyncClient, database: Database) -> None:
    variables = json.dumps({"input": {"name": "x", "slug": "x"}})
    response = await http.post(PATH, json={"query": CREATE_TENANT, "variables": variables})
    assert response.json()["data"]["create_tenant"]["id"]
    assert len(await fetch_all(database, "SELECT 1 FROM tenant")) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"x"',
        b"1",
        b"null",
        b"{}",
        b'{"query": null}',
        b'{"query": 1}',
        b'{"query": "  "}',
        b'{"query": "{ hello }", "variables": []}',
        b'{"query": "{ hello }", "variables": "{"}',
        b'{"query": "{ hello }", "operationName": 1}',
        b"[" * 100_000,
    ],
)
async def test_bodies_that_are_no_operation(http: httpx.AsyncClient, body: bytes) -> None:
    response = await http.post(PATH, content=body)
    assert response.status_code == 400
    assert set(response.json()) == {"errors"}
    [error] = response.json()["errors"]
    assert error["message"]
    assert error["extensions"] == {"code": "INVALID_INPUT"}


@pytest.mark.parametrize("declared", [True, False])
async def test_oversized_body(database_url: str, declared: bool) -> None:
    settings = Settings(graphql=GraphQLSettings(body_limit_bytes=1000))
    app = create_app(create_service(settings, database_url))

    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 100

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://actions") as client:
        response = await client.post(PATH, content=b" " * 2000 if declared else chunks())
    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"


async def test_a_client_that_leaves_in_the_middle_of_its_body(database_url: str) -> None:
    """Nobody reads the answer, but it is no defect of ours either: no 500, no traceback."""
    app = create_app(create_service(Settings(), database_url))
    parts = [{"type": "http.request", "body": b'{"query": "{ hel', "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert sent[0]["status"] == 400
    assert json.loads(sent[1]["body"])["errors"][0]["extensions"] == {"code": "INVALID_INPUT"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("mutation { create_tenant { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ('mutation { delete_project(input: {project_id: "nope"}) { success } }', "GRAPHQL_VALIDATION_FAILED"),
        ("query($x: Nope) { hello }", "GRAPHQL_VALIDATION_FAILED"),
        ("query a { hello } query b { hello }", "OPERATION_RESOLUTION_FAILURE"),
        ("fragment f on Query { hello }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { hello }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_documents_that_are_not_run(actions: Send, query: str, code: str) -> None:
    answer = await actions(query)
    assert answer.status == 400
    assert set(answer.body) == {"errors"}
    assert answer.body["errors"][0]["extensions"]["code"] == code
    assert answer.body["errors"][0].get("locations") or code == "OPERATION_RESOLUTION_FAILURE"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"input": None},
        {"input": {"name": "x"}},
        {"input": {"name": 1, "slug": "x"}},
        {"input": {"name": "x", "slug": "x", "more": 1}},
        {"input": "x"},
    ],
)
async def test_variables_that_do_not_fit(actions: Send, database: Database, variables: Any) -> None:
    answer = await actions(CREATE_TENANT, variables)
    assert answer.status == 200
    assert answer.text.startswith('{"errors":')
    assert answer.body["data"] is None
    assert answer.error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert await fetch_all(database, "SELECT 1 FROM tenant") == []


async def test_an_error_of_one_field_leaves_its_siblings(actions: Send) -> None:
    answer = await actions(
        f'mutation {{ bad: delete_tenant(input: {{tenant_id: "{uuid4()}", confirm: false}}) {{ success }}'
        ' good: create_tenant(input: {name: "x", slug: "x"}) { id } }'
    )
    assert answer.status == 200
    assert answer.text.startswith('{"errors":')
    assert answer.body["data"]["bad"] is None
    assert answer.body["data"]["good"]["id"]
    assert answer.error["path"] == ["bad"]
    assert answer.error["locations"] == [{"line": 1, "column": 12}]
    assert answer.error["extensions"] == {"code": "INVALID_INPUT"}


async def test_uniqueness_is_told_in_the_words_clients_compare(actions: Send) -> None:
    variables = {"input": {"name": "x", "slug": "x"}}
    await actions(CREATE_TENANT, variables)
    answer = await actions(CREATE_TENANT, variables)
    assert answer.status == 200
    assert answer.error["message"] == "Uniqueness violation."


async def test_defects_are_masked(actions: Send, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """§10: a defect has one fixed text and is logged, an outage too."""
    async with database.transaction() as session:
        await session.execute("ALTER TABLE tenant ADD CONSTRAINT secret CHECK (name <> 'forbidden')")
    try:
        answer = await actions(CREATE_TENANT, {"input": {"name": "forbidden", "slug": "x"}})
    finally:
        async with database.transaction() as session:
            await session.execute("ALTER TABLE tenant DROP CONSTRAINT secret")
    assert answer.status == 200
    assert answer.error["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert "secret" not in answer.text
    [record] = [record for record in caplog.records if record.name == "services.graphql.errors"]
    assert vars(record)["error_id"] in answer.error["message"]
    assert record.exc_info
    assert "secret" in str(record.exc_info[1])


async def test_a_database_that_is_away_is_worth_another_try(database_url: str) -> None:
    """§10: a defect has one fixed text and is logged, an outage too."""
    service = create_service(Settings(), database_url)
    transport = httpx.ASGITransport(app=create_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://actions") as client:
        response = await client.post(
            PATH, json={"query": CREATE_TENANT, "variables": {"input": {"name": "x", "slug": "x"}}}
        )
    assert response.status_code == 200
    assert response.json()["errors"][0]["extensions"] == {"code": "API_ERROR"}


async def test_batches(http: httpx.AsyncClient) -> None:
    response = await http.post(PATH, json=[{"query": "{ hello }"}, {"query": "{ nope }"}, {"query": "{ a: hello }"}])
    assert response.status_code == 200
    first, second, third = response.json()
    assert "hello" in first["data"]
    assert set(second) == {"errors"}
    assert "a" in third["data"]


async def test_headers_do_not_leak_between_concurrent_requests(actions: Send) -> None:
    """§10: requests at once do not see each other's headers."""
    create = await actions(CREATE_TENANT, {"input": {"name": "x", "slug": "x"}})
    tenant_id = create.data["create_tenant"]["id"]
    query = "mutation($input: register_agent_input!) { register_agent(input: $input) { id } }"
    variables = {"input": {"tenant_id": tenant_id, "type": "LocalAgent", "name": "a"}}
    answers = await asyncio.gather(
        *(actions(query, variables, x_prefect_core_version=f"1.{number % 5}.0") for number in range(30))
    )
    ids = [answer.data["register_agent"]["id"] for answer in answers]
    assert len({(number % 5, agent_id) for number, agent_id in enumerate(ids)}) == len(set(ids)) == 5
