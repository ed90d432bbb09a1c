"""The HTTP edge in process: what it does, besides what test_http_contract says it answers (data-api.md §3.1)."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from server_core.errors import Unavailable
from server_core.observe import server_version
from server_core.wire import End, GraphQLRequest, GraphQLResponse, ServiceStatus, Watcher
from services.gateway.app import create_app
from services.gateway.edge import DRAIN_BYTES
from services.gateway.reply import GZIP_BYTES
from tests.support.exchange import Sent, in_process
from tests.support.gateway import Served, actions_service, data_service, served
from tests.support.settings import gateway_settings, server_settings

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
    """Its files go too; the legacy name of the setting is APOLLO_API_ENABLE_PLAYGROUND."""
    async with served() as gateway:
        page = await gateway.client.get("/", headers={"accept": "text/html"})
        file = "/" + re.findall(r'src="./([^"]*)"', page.text)[0]
        assert (await gateway.client.get(file)).status_code == 200
    async with served(playground=False) as gateway:
        for path in ("/", file):
            response = await gateway.client.get(path, headers={"accept": "text/html"})
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


@pytest.mark.parametrize("base", ["/prefect", ""])
async def test_below_a_base_path(base: str) -> None:
    """Demand 13: every endpoint is there with the prefix and without it, as the proxy leaves it."""
    async with served(base_path="prefect", trusted_proxies="*") as gateway:
        for path in (base or "/", f"{base}/", f"{base}/graphql"):
            response = await gateway.client.post(path, json={"query": "{ hello }"})
            assert response.json() == {"data": {"hello": "👋"}}
            page = await gateway.client.get(path, headers={"accept": "text/html"})
            links = re.findall(r'src="([^"]*)"', page.text)
            assert links[0].startswith("/prefect/_graphiql/")
            file = await gateway.client.get(links[0].removeprefix("/prefect" if not base else ""))
            assert file.headers["content-type"] == "text/javascript; charset=utf-8"
        assert (await gateway.client.get(f"{base}/health")).json()["status"] == "ok"
        assert (await gateway.client.get(f"{base}/ready")).status_code == 200
        assert (await gateway.client.get(f"{base}/.well-known/apollo/server-health")).json() == {"status": "pass"}
        preflight = await gateway.client.options(base or "/")
        assert preflight.status_code == 204


async def test_pages_beside_are_below_the_base_path_too() -> None:
    async def page(_request: Request) -> Response:
        return PlainTextResponse("figures")

    app = create_app(
        server_settings(gateway=gateway_settings(base_path="/prefect")),
        data=data_service(),
        actions=actions_service(),
        beside={"/metrics": page},
    )
    for path in ("/metrics", "/prefect/metrics"):
        assert (await in_process(app)(Sent(method="GET", target=path, headers=()))).body == b"figures"
    assert (await in_process(app)(Sent(method="GET", target="/prefectmetrics", headers=()))).status == 400


async def test_compression_can_be_switched_off() -> None:
    query = "{ __schema { types { name fields { name description } } } }"
    async with served(compression=False) as gateway:
        response = await gateway.client.post("/", json={"query": query}, headers={"accept-encoding": "gzip"})
    assert len(response.content) > GZIP_BYTES
    assert "content-encoding" not in response.headers
    assert "vary" not in response.headers


async def test_introspection_can_be_switched_off() -> None:
    """Demand 18."""
    async with served(introspection=False) as gateway:
        response = await gateway.post("{ __schema { queryType { name } } }")
        assert response.status_code == 400
        assert response.json()["errors"][0]["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
        assert (await gateway.post("{ __typename hello }")).json() == {"data": {"__typename": "Query", "hello": "👋"}}


async def test_a_client_is_told_its_version_with_what_is_not_there(gateway: Served) -> None:
    """Demand 25: the 1.x client sends its version with every request."""
    response = await gateway.client.post(
        "/", json={"query": "{ flow { nothing } }"}, headers={"X-PREFECT-CORE-VERSION": "1.4.1"}
    )
    assert response.status_code == 400
    (error,) = response.json()["errors"]
    assert error["message"].startswith("Cannot query field 'nothing' on type 'flow'.")
    assert "Prefect 1.4.1" in error["message"]
    assert error["extensions"]["client_version"] == "1.4.1"
