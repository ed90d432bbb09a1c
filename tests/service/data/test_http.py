"""The HTTP door: endpoints, statuses, batches, limits, and the errors of data-api.md §2.6."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.data.app import create_app, create_service
from tests.support.settings import server_settings

V1 = "/v1/graphql"
V1ALPHA1 = "/v1alpha1/graphql"
LIMIT = 20_000


@pytest.fixture(scope="session")
async def http(world_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client on the application, its lifespan entered."""
    app = create_app(create_service(server_settings(), world_url), body_limit=LIMIT)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        yield client


async def post(http: httpx.AsyncClient, query: str, path: str = V1ALPHA1, **members: Any) -> httpx.Response:
    return await http.post(path, json={"query": query, **members})


async def test_an_answer_is_the_data_alone(http: httpx.AsyncClient) -> None:
    response = await post(http, "{ tenant(order_by: {slug: asc}, limit: 1) { slug } }")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-graphql-plain"] == "1"
    assert response.text == '{"data":{"tenant":[{"slug":"default"}]}}'


async def test_variables_may_be_a_string(http: httpx.AsyncClient) -> None:
    query = "query ($slug: String) { tenant(where: {slug: {_eq: $slug}}) { slug } }"
    response = await post(http, query, variables='{"slug": "other"}')
    assert response.json() == {"data": {"tenant": [{"slug": "other"}]}}


@pytest.mark.parametrize(
    ("query", "status", "code", "message", "path"),
    [
        ("{ flow { nope } }", 400, "validation-failed", "Cannot query field", "$.selectionSet.flow.selectionSet.nope"),
        ('{ flow_by_pk(id: "x") { id } }', 400, "data-exception", 'invalid input syntax for type uuid: "x"', "$"),
        ('{ flow(where: {id: {_in: ["x"]}}) { id } }', 400, "data-exception", "uuid", "$"),
        ('{ flow(where: {created: {_gt: "2020-13-45"}}) { id } }', 400, "data-exception", "out of range", "$"),
        ('{ flow(where: {name: {_regex: "("}}) { id } }', 400, "data-exception", "invalid regular expression", "$"),
        ('{ flow(where: {name: {_like: "\\\\"}}) { id } }', 400, "bad-request", "LIKE pattern", "$"),
        ('{ flow(where: {name: {_eq: "a\\u0000b"}}) { id } }', 400, "data-exception", "0x00", "$"),
        ('{ task(where: {retry_delay: {_gt: "soon"}}) { id } }', 400, "data-exception", "interval", "$"),
        ('{ utility_upstream_tasks(args: {start_task_ids: "x"}) { depth } }', 400, "data-exception", "array", "$"),
        ("{ flow_aggregate { aggregate { max { id } } } }", 500, "unexpected", "database query error", "$"),
    ],
)
async def test_errors(http: httpx.AsyncClient, query: str, status: int, code: str, message: str, path: str) -> None:
    response = await post(http, query)
    assert response.status_code == status
    assert "x-graphql-plain" not in response.headers
    [error] = response.json()["errors"]
    assert list(response.json()) == ["errors"]
    assert error["extensions"]["code"] == code
    assert error["extensions"]["path"] == path
    assert message in error["message"]
    for internal in ("SELECT", "asyncpg", "Traceback", "$1"):
        assert internal not in response.text

    assert (await post(http, query, V1)).status_code == 200


async def test_a_string_that_is_not_unicode_is_an_error_of_its_own(http: httpx.AsyncClient) -> None:
    query = "query ($n: String) { flow(where: {name: {_eq: $n}}) { id } }"
    response = await http.post(V1ALPHA1, content=b'{"query": "%s", "variables": {"n": "\\ud800"}}' % query.encode())
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "data-exception"


async def test_an_error_that_quotes_what_is_not_unicode_has_a_body(http: httpx.AsyncClient) -> None:
    query = "query ($o: [flow_order_by!]) { flow(order_by: $o) { id } }"
    for order in (b'{"created": "\\ud800"}', b'{"\\ud800": "asc"}'):
        response = await http.post(
            V1ALPHA1, content=b'{"query": "%s", "variables": {"o": %s}}' % (query.encode(), order)
        )
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"]["code"] == "validation-failed"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b'{"query": 5}', {}, 400),
        (b'{"query": "{ __typename }", "variables": "{"}', {}, 400),
        (b" " * (LIMIT + 1), {}, 413),
        (b"query={}", {"content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_bad_bodies(http: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int) -> None:
    response = await http.post(V1ALPHA1, content=content, headers={"content-type": "application/json", **headers})
    assert response.status_code == status
    assert set(response.json()["errors"][0]) == {"extensions", "message"}


async def test_a_batch_answers_each_operation_on_its_own(http: httpx.AsyncClient) -> None:
    operations = [{"query": "{ __typename }"}, {"query": "{ nope }"}, {"query": "{ project(limit: 0) { id } }"}]
    response = await http.post(V1ALPHA1, json=operations)
    assert response.status_code == 200
    first, second, third = response.json()
    assert first == {"data": {"__typename": "query_root"}}
    assert second["errors"][0]["extensions"]["code"] == "validation-failed"
    assert third == {"data": {"project": []}}


async def test_clients_may_ask_for_the_graphql_media_type(http: httpx.AsyncClient) -> None:
    accept = {"accept": "application/graphql-response+json"}
    response = await http.post(V1, json={"query": "{ __typename }"}, headers=accept)
    assert response.headers["content-type"] == "application/graphql-response+json"


async def test_introspection_is_answered(http: httpx.AsyncClient) -> None:
    query = (
        "query ($n: String!) { __type(name: $n) { name kind } __schema { queryType { name } } tenant(limit: 0) { id } }"
    )
    for name, kind in (("flow", "OBJECT"), ("order_by", "ENUM")):
        answer = (await post(http, query, variables={"n": name})).json()["data"]
        assert answer == {
            "__type": {"name": name, "kind": kind},
            "__schema": {"queryType": {"name": "query_root"}},
            "tenant": [],
        }


async def test_health(http: httpx.AsyncClient) -> None:
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert (await http.get(V1)).status_code == 405
