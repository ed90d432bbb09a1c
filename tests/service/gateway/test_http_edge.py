"""The HTTP edge in process: methods, paths, bodies, batches, CORS, health (data-api.md §3.1)."""

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest

from server_core.wire import GraphQLRequest, GraphQLResponse
from tests.support.gateway import Served, actions_service, data_service, served

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("path", ["/", "/graphql", "/graphql/alpha", "/any/path/at/all", "/health"])
async def test_post_on_any_path(gateway: Served, path: str) -> None:
    response = await gateway.client.post(path, json={"query": "{ hello }", "variables": "null"})
    assert response.status_code == 200
    assert response.json() == {"data": {"hello": "👋"}}
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", JSON, 400, "BAD_REQUEST"),
        (b"{", JSON, 400, "BAD_REQUEST"),
        (b"[]", JSON, 400, "BAD_REQUEST"),
        (b"\xff\xfe", JSON, 400, "BAD_REQUEST"),
        (b'{"query": "{ hello }", "variables": "{"}', JSON, 400, "BAD_REQUEST"),
        (b"query=1", {"content-type": "application/x-www-form-urlencoded"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"{ hello }", {"content-type": "application/graphql"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b'{"query": "{ hello }"}', {}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"x" * 2_000, JSON, 413, "PAYLOAD_TOO_LARGE"),
        (gzip.compress(b"x" * 100_000, mtime=0), {**JSON, "content-encoding": "gzip"}, 413, "PAYLOAD_TOO_LARGE"),
        (b"zip", {**JSON, "content-encoding": "gzip"}, 400, "BAD_REQUEST"),
        (b"{}", {**JSON, "content-encoding": "br"}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_bodies_that_are_refused(content: bytes, headers: dict[str, str], status: int, code: str) -> None:
    async with served(body_limit_bytes=1_000) as gateway:
        response = await gateway.client.post("/", content=content, headers=headers)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("application/json")
    assert response.headers["access-control-allow-origin"] == "*"
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == code
    assert error["message"]


async def test_a_body_without_a_length_is_read_no_further_than_the_limit() -> None:
    async def endless() -> Any:
        while True:
            sent.append(1)
            yield b"x" * 1_000

    sent: list[int] = []
    async with served(body_limit_bytes=5_000) as gateway:
        response = await gateway.client.post("/", content=endless(), headers=JSON)
    assert response.status_code == 413
    assert len(sent) < 10


async def test_a_gzip_body(gateway: Served) -> None:
    body = gzip.compress(json.dumps({"query": "{ hello }"}).encode())
    response = await gateway.client.post("/", content=body, headers={**JSON, "content-encoding": "gzip"})
    assert response.json() == {"data": {"hello": "👋"}}


async def test_a_batch_is_answered_in_order_each_by_itself(gateway: Served) -> None:
    members: list[Any] = [
        {"query": "{ hello }"},
        {"query": "{ nope }"},
        5,
        {"query": "{ hello"},
        {"query": "query($n: Int!) { flow(limit: $n) { id } }", "variables": "{}"},
        {"query": 'mutation { set_name(input: {name: "taken"}) { success } }'},
        {"query": "{ flow(limit: 1) { id } }"},
    ]
    response = await gateway.client.post("/graphql", json=members)
    assert response.status_code == 200
    results = response.json()
    assert results[0] == {"data": {"hello": "👋"}}
    assert [list(result) for result in results[1:5]] == [["errors"]] * 4
    assert results[5]["data"] == {"set_name": None}
    assert results[6] == {"data": {"flow": [{"id": "f1"}]}}


async def test_members_of_a_batch_run_at_the_same_time() -> None:
    together = asyncio.Barrier(25)

    async def meet(request: GraphQLRequest) -> None:
        if "__schema" not in request.query:
            await together.wait()

    async with served(data_service(meet), actions_service()) as gateway, asyncio.timeout(20):
        members = [{"query": f"{{ a{number}: flow(limit: 1) {{ id }} }}"} for number in range(25)]
        results = (await gateway.client.post("/", json=members)).json()
    assert [list(result["data"]) for result in results] == [[f"a{number}"] for number in range(25)]


async def test_get_for_queries(gateway: Served) -> None:
    query = "query A($n: Int) { flow(limit: $n) { id } } query B { hello }"
    response = await gateway.client.get(
        "/graphql", params={"query": query, "variables": '{"n": 1}', "operationName": "A"}
    )
    assert response.json() == {"data": {"flow": [{"id": "f1"}]}}


async def test_get_is_not_for_mutations(gateway: Served) -> None:
    response = await gateway.client.get("/", params={"query": 'mutation { set_name(input: {name: "a"}) { success } }'})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert list(response.json()) == ["errors"]
    assert not gateway.actions.requests


async def test_get_without_a_query(gateway: Served) -> None:
    response = await gateway.client.get("/", headers={"accept": "*/*"})
    assert (response.status_code, response.text) == (400, "GET query missing.")
    assert (await gateway.client.get("/", params={"query": " "})).status_code == 400


async def test_a_browser_gets_a_page_that_loads_nothing_from_elsewhere(gateway: Served) -> None:
    response = await gateway.client.get("/graphql", headers={"accept": "text/html,*/*"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert "<textarea" in response.text
    assert "http://" not in response.text
    assert "https://" not in response.text


async def test_the_page_can_be_switched_off() -> None:
    async with served(playground=False) as gateway:
        response = await gateway.client.get("/", headers={"accept": "text/html"})
    assert (response.status_code, response.text) == (400, "GET query missing.")


@pytest.mark.parametrize("method", ["PUT", "HEAD", "PATCH", "DELETE", "TRACE"])
async def test_other_methods(gateway: Served, method: str) -> None:
    response = await gateway.client.request(method, "/graphql")
    assert response.status_code == 405
    assert "POST" in response.headers["allow"]


async def test_preflight_echoes_what_the_browser_asks_for(gateway: Served) -> None:
    asked = "content-type,x-prefect-ui,x-backend,content-security-policy"
    response = await gateway.client.options(
        "/graphql",
        headers={
            "origin": "http://ui",
            "access-control-request-method": "POST",
            "access-control-request-headers": asked,
        },
    )
    assert response.status_code == 204
    assert response.content == b""
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-methods"] == "GET,HEAD,PUT,PATCH,POST,DELETE"
    assert response.headers["access-control-allow-headers"] == asked


async def test_health(gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    response = await gateway.client.get("/.well-known/apollo/server-health")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/health+json"
    assert response.json() == {"status": "pass"}
    health = (await gateway.client.get("/health")).json()
    assert health["status"] == "ok"
    assert health["version"]


async def test_the_version_may_be_given_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_VERSION", "2022.09.07")
    async with served() as gateway:
        assert (await gateway.client.get("/health")).json() == {"status": "ok", "version": "2022.09.07"}


async def test_ready_when_both_upstreams_answer(gateway: Served) -> None:
    response = await gateway.client.get("/ready")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "services": {"data": True, "actions": True}}


class Late:
    """A service that is not there until it is told to be."""

    def __init__(self, service: Any) -> None:
        self._service = service
        self.there = False
        self.asked = asyncio.Event()

    async def start(self) -> None:
        await self._service.start()

    async def stop(self) -> None:
        await self._service.stop()

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        self.asked.set()
        if not self.there:
            raise ConnectionRefusedError("nobody there")
        response: GraphQLResponse = await self._service.execute(request)
        return response


async def test_before_the_schema_is_known() -> None:
    late = Late(data_service())
    async with served(late, retry_seconds=60, patience_seconds=0.01) as gateway:
        await late.asked.wait()
        response = await gateway.post("{ hello }")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "3"
        assert list(response.json()) == ["errors"]
        ready = await gateway.client.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["services"] == {"data": False, "actions": True}
        assert (await gateway.client.get("/health")).status_code == 200
        batch = await gateway.client.post("/", json=[{"query": "{ hello }"}, {"query": "{ flow { id } }"}])
        assert batch.status_code == 503


async def test_a_request_waits_for_the_schema() -> None:
    late = Late(data_service())
    async with served(late, retry_seconds=0.01, patience_seconds=60) as gateway:
        await late.asked.wait()
        waiting = asyncio.create_task(gateway.post("{ hello }"))
        late.there = True
        assert (await waiting).json() == {"data": {"hello": "👋"}}


async def test_services_start_and_stop_with_the_gateway() -> None:
    data, actions = data_service(), actions_service()
    async with served(data, actions):
        assert data.running
        assert actions.running
    assert not data.running
    assert not actions.running


async def test_any_header_a_client_sends_is_tolerated(gateway: Served) -> None:
    headers = {"Authorization": "Bearer nobody", "X-PREFECT-TENANT-ID": "t", "X-Frame-Options": "x", "Cookie": "a=b"}
    response = await gateway.client.post("/", json={"query": "{ hello }"}, headers=headers)
    assert response.status_code == 200


async def test_text_that_utf8_cannot_hold(gateway: Served) -> None:
    body = b'{"query":"{ hello \\ud800 }"}'
    response: httpx.Response = await gateway.client.post("/", content=body, headers=JSON)
    assert response.status_code == 400
