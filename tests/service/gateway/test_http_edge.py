"""The HTTP edge in process: what it does, besides what test_http_contract says it answers (data-api.md §3.1)."""

import asyncio
from typing import Any

import httpx
import pytest

from server_core.errors import Unavailable
from server_core.observe import server_version
from server_core.wire import End, GraphQLRequest, GraphQLResponse, ServiceStatus, Watcher
from services.gateway.edge import DRAIN_BYTES
from tests.support.gateway import Served, actions_service, data_service, served

JSON = {"content-type": "application/json"}


async def test_a_body_without_an_end_is_not_read_for_ever() -> None:
    """A client is heard out before it is told that it sends too much, or it would not hear that; within bounds."""

    async def endless() -> Any:
        while True:
            sent.append(1)
            yield b"x" * 1_000_000

    sent: list[int] = []
    async with served(body_limit_bytes=5_000) as gateway:
        response = await gateway.client.post("/", content=endless(), headers=JSON)
    assert response.status_code == 413
    assert len(sent) < DRAIN_BYTES / 1_000_000 + 5


async def test_members_of_a_batch_run_at_the_same_time() -> None:
    together = asyncio.Barrier(25)

    async def meet(request: GraphQLRequest) -> None:
        if "__schema" not in request.query:
            await together.wait()

    async with served(data_service(meet), actions_service(), reads_at_once=40) as gateway, asyncio.timeout(20):
        members = [{"query": f"{{ a{number}: flow(limit: 1) {{ id }} }}"} for number in range(25)]
        results = (await gateway.client.post("/", json=members)).json()
    assert [list(result["data"]) for result in results] == [[f"a{number}"] for number in range(25)]


async def test_get_is_not_for_mutations(gateway: Served) -> None:
    response = await gateway.client.get("/", params={"query": 'mutation { set_name(input: {name: "a"}) { success } }'})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert list(response.json()) == ["errors"]
    assert not gateway.actions.requests


async def test_a_browser_gets_a_page_that_loads_nothing_from_elsewhere(gateway: Served) -> None:
    response = await gateway.client.get("/graphql", headers={"accept": "text/html,*/*"})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert 'id="graphiql"' in response.text
    assert "//" not in response.text


async def test_the_page_can_be_switched_off() -> None:
    async with served(playground=False) as gateway:
        response = await gateway.client.get("/", headers={"accept": "text/html"})
    assert (response.status_code, response.text) == (400, "GET query missing.")


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
    assert response.json() == {
        "status": "ok",
        "services": {"data": True, "actions": True},
        "versions": dict.fromkeys(("gateway", "data", "actions"), server_version()),
    }


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

    async def status(self) -> ServiceStatus:
        self.asked.set()
        if not self.there:
            raise Unavailable("nobody there")
        status: ServiceStatus = await self._service.status()
        return status

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        if not self.there:
            raise ConnectionRefusedError("nobody there")
        response: GraphQLResponse = await self._service.execute(request)
        return response

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        begun: GraphQLResponse | End = await self._service.subscribe(request, watcher)
        return begun


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


async def test_text_that_utf8_cannot_hold(gateway: Served) -> None:
    body = b'{"query":"{ hello \\ud800 }"}'
    response: httpx.Response = await gateway.client.post("/", content=body, headers=JSON)
    assert response.status_code == 400
