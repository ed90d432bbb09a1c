"""Gateway and upstreams over real sockets: uvicorn everywhere, HttpUpstream between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.gateway.app import create_app
from services.gateway.upstream import HttpUpstream
from tests.support.gateway import FLOWS, actions_service, data_service
from tests.support.servers import behind_http, listening
from tests.support.settings import gateway_settings, server_settings


@asynccontextmanager
async def reachable(data_url: str, actions_url: str, **settings: int) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a gateway in front of two URLs."""
    app = create_app(
        server_settings(gateway=gateway_settings(**settings)),
        data=HttpUpstream(f"{data_url}/graphql/", name="data"),
        actions=HttpUpstream(f"{actions_url}/graphql/", name="actions"),
        patience_seconds=30,
        retry_seconds=0.05,
    )
    async with listening(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of a gateway in front of two servers."""
    async with (
        listening(behind_http(data_service())) as data_url,
        listening(behind_http(actions_service())) as actions_url,
        reachable(data_url, actions_url, body_limit_bytes=100_000) as client,
    ):
        yield client


async def test_pass_through_and_merge(client: httpx.AsyncClient) -> None:
    response = await client.post("/", json={"query": "{ flow { id name parameters } }", "variables": "null"})
    assert response.json() == {"data": {"flow": FLOWS}}
    assert response.headers["access-control-allow-origin"] == "*"
    response = await client.post("/", json={"query": '{ hello flow_by_pk(id: "f2") { name } __typename }'})
    assert response.text == '{"data":{"hello":"\\ud83d\\udc4b","flow_by_pk":{"name":"two"},"__typename":"Query"}}'


async def test_errors(client: httpx.AsyncClient) -> None:
    query = '{ a: flow_by_pk(id: "bad") { name } b: flow_by_pk(id: "f1") { name } hello }'
    answer = (await client.post("/graphql", json={"query": query})).json()
    assert answer["data"] == {"a": None, "b": {"name": "one"}, "hello": "👋"}
    assert [error["path"] for error in answer["errors"]] == [["a"]]
    taken = await client.post("/", json={"query": 'mutation { set_name(input: {name: "taken"}) { success } }'})
    assert taken.status_code == 200
    assert taken.json()["errors"][0]["message"] == "Uniqueness violation."


async def test_a_body_over_the_limit(client: httpx.AsyncClient) -> None:
    response = await client.post("/", json={"query": "{ hello }", "variables": {"x": "x" * 100_000}})
    assert response.status_code == 413
    assert list(response.json()) == ["errors"]
    assert (await client.post("/", json={"query": "{ hello }"})).status_code == 200


async def test_malformed_http_gets_an_answer(client: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()


async def test_head_and_health(client: httpx.AsyncClient) -> None:
    assert (await client.head("/")).status_code == 405
    assert (await client.get("/health")).json()["status"] == "ok"
    ready = await client.get("/ready")
    assert (ready.status_code, ready.json()["services"]) == (200, {"data": True, "actions": True})


async def test_many_clients_at_once(client: httpx.AsyncClient) -> None:
    async def ask(number: int) -> None:
        response = await client.post(
            "/", json={"query": f'{{ echo(value: "\\"{number}\\"") f: flow(limit: 1) {{ id }} }}'}
        )
        assert json.loads(response.json()["data"]["echo"]) == str(number)

    await asyncio.gather(*map(ask, range(60)))


async def test_an_upstream_may_come_later_and_go_away() -> None:
    async with listening(behind_http(data_service())) as data_url:
        async with listening(behind_http(actions_service())) as actions_url:
            pass
        async with reachable(data_url, actions_url) as client:
            port = int(actions_url.rpartition(":")[2])
            waiting = asyncio.create_task(client.post("/", json={"query": "{ hello }"}))
            async with listening(behind_http(actions_service()), at=port):
                assert (await waiting).json() == {"data": {"hello": "👋"}}
            answer = (await client.post("/", json={"query": "{ hello flow(limit: 1) { id } }"})).json()
            assert answer["data"] == {"hello": None, "flow": [{"id": "f1"}]}
            assert answer["errors"][0]["extensions"]["code"] == "API_ERROR"
            assert answer["errors"][0]["path"] == ["hello"]
