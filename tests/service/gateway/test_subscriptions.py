"""Operations over WebSockets through the gateway, before services in this process whose results the tests say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from server_core.config import LiveSettings
from server_core.wire import End, GraphQLRequest, GraphQLResponse, LiveService, Watcher, errors_body
from services.gateway.app import create_app
from tests.support.gateway import actions_service, data_service
from tests.support.live_client import BOTH, LEGACY, TRANSPORT, connected_to, talking
from tests.support.servers import listening
from tests.support.settings import gateway_settings, server_settings
from tests.support.upstreams import Overridden, SchemaService
from tests.support.waiting import wait_until

NOTHING = GraphQLResponse(body=b'{"data":{}}')
LIVE = "subscription { flow { id } }"


@dataclass(frozen=True)
class Served:
    """A gateway on a port, and the services behind it."""

    url: str
    data: SchemaService
    actions: SchemaService
    leave: Callable[[], Awaitable[None]]

    async def watchers(self, number: int) -> list[Watcher]:
        """Return those who are told by the data service, once there are so many."""
        await wait_until(lambda: len(self.data.followed) == number, seconds=20, what=f"{number} subscriptions")
        return list(self.data.followed)


@asynccontextmanager
async def serving(data: LiveService | None = None, **live: Any) -> AsyncIterator[Served]:
    """Serve a gateway with these of LiveSettings."""
    services = data_service(), actions_service()
    app = create_app(
        server_settings(gateway=gateway_settings(), live=LiveSettings(**live)),
        data=data or services[0],
        actions=services[1],
    )
    async with listening(app) as url:
        yield Served(url, *services, app.state.leave)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A gateway with default settings."""
    async with serving() as one:
        yield one


@pytest.mark.parametrize("protocol", BOTH)
@pytest.mark.parametrize("path", ["/", "/graphql", "/any/where"])
async def test_any_path_speaks_both_protocols(served: Served, protocol: str, path: str) -> None:
    async with connected_to(served.url, protocol, path=path) as client:
        await client.init()
        assert await client.answer("{ hello }") == {"data": {"hello": "👋"}}


@pytest.mark.parametrize("protocol", BOTH)
async def test_results_pass_unchanged(served: Served, protocol: str) -> None:
    """The bytes that the owner says are those that the client gets, with every digit and space (data-api.md §3.2)."""
    async with talking(served.url, protocol) as client:
        await client.begin("1", LIVE)
        (watcher,) = await served.watchers(1)
        for body in ('{"data":{"flow":[{"id": 1.50}]}}', '{"data":{"flow":[]}}'):
            watcher.result(body)
            assert body in await client.text()
        await client.end("1")
        await served.watchers(0)


@pytest.mark.parametrize("protocol", BOTH)
async def test_the_owner_is_sent_what_it_needs(served: Served, protocol: str) -> None:
    """Only the variables that are used, and none of the client's headers (data-api.md §3.2)."""
    async with connected_to(served.url, protocol, additional_headers={"X-Prefect-Tenant": "t"}) as client:
        await client.init()
        document = "subscription s($id: uuid!) { a: flow_by_pk(id: $id) { ...f } } fragment f on flow { id }"
        await client.begin("1", document, {"id": "f1", "unused": 1})
        await served.watchers(1)
        (request,) = served.data.followed.values()
        assert request.variables == {"id": "f1"}
        assert request.headers == {}
        assert "a: flow_by_pk(id: $id)" in request.query
        assert request.operation_name is None


@pytest.mark.parametrize("protocol", BOTH)
async def test_queries_and_mutations_are_answered_as_over_http(served: Served, protocol: str) -> None:
    operations: list[tuple[str, dict[str, Any] | None]] = [
        ("{ flow { id name parameters } }", None),
        ('{ hello b: flow_by_pk(id: "f2") { name } __typename }', None),
        ('{ a: flow_by_pk(id: "bad") { name } b: flow_by_pk(id: "f1") { name } hello }', None),
        ("query ($id: uuid!) { flow_by_pk(id: $id) { id } }", {"id": "f1"}),
        ('mutation { set_name(input: {name: "n"}) { success } }', None),
        ('mutation { set_name(input: {name: "taken"}) { success } delete_flow_by_pk(id: 1) { name } }', None),
        ("{ __schema { queryType { name } } }", None),
    ]
    async with talking(served.url, protocol) as client, httpx.AsyncClient(base_url=served.url) as http:
        for query, variables in operations:
            over_http = await http.post("/", json={"query": query, "variables": variables})
            assert over_http.status_code == 200
            assert await client.answer(query, variables) == over_http.json()


@pytest.mark.parametrize("protocol", BOTH)
async def test_refusals_have_the_errors_of_http(served: Served, protocol: str) -> None:
    """Syntax, validation, depth, variables, operation name, for all kinds of operations (data-api.md §3.3)."""
    deep = "flows { " * 8 + "id" + " }" * 8
    refused: list[tuple[str, dict[str, Any] | None]] = [
        ("subscription {", None),
        ("{ nope }", None),
        ("subscription { nope }", None),
        ("subscription { flow { id nope } }", None),
        ("subscription { flow { nope nor_this } }", None),
        ("subscription { flow { id } flow_by_pk(id: 1) { id } }", None),
        (f"subscription {{ flow {{ {deep} }} }}", None),
        ("subscription ($id: uuid!) { flow_by_pk(id: $id) { id } }", None),
        ("query a { hello } query b { hello }", None),
    ]
    async with talking(served.url, protocol) as client, httpx.AsyncClient(base_url=served.url) as http:
        for number, (query, variables) in enumerate(refused):
            over_http = await http.post("/", json={"query": query, "variables": variables})
            assert over_http.status_code == 400, query
            await client.begin(str(number), query, variables)
            assert await client.errors(str(number)) == over_http.json()["errors"]
    assert not served.data.followed


@pytest.mark.parametrize("protocol", BOTH)
async def test_headers_of_client_and_handshake_reach_actions_only(served: Served, protocol: str) -> None:
    """data-api.md §3.2: only `x-prefect*`, and none to data; browsers can say them only when they begin."""
    async with connected_to(
        served.url, protocol, additional_headers={"X-Prefect-A": "1", "Authorization": "x"}
    ) as client:
        await client.init({"X-Prefect-B": "2", "Authorization": "y"})
        await client.answer("{ hello flow { id } }")
    assert served.actions.requests[-1].headers == {"x-prefect-a": "1", "x-prefect-b": "2"}
    assert served.data.requests[-1].headers == {}


@pytest.mark.parametrize("protocol", BOTH)
async def test_an_error_of_the_owner_is_told_in_the_clients_terms(served: Served, protocol: str) -> None:
    """As of a root field over HTTP: path, place, code of the owner (data-api.md §3.3)."""
    async with talking(served.url, protocol) as client:
        await client.begin("1", "subscription { a: flow { id } }")
        (watcher,) = await served.watchers(1)
        watcher.ended([{"extensions": {"path": "$", "code": "data-exception"}, "message": "bad"}])
        assert await client.error() == {
            "message": "bad",
            "locations": [{"line": 1, "column": 16}],
            "path": ["a"],
            "extensions": {"path": "$", "code": "data-exception", "exception": {"message": "bad"}},
        }


class Refusing(Overridden):
    """A data service that takes no subscription."""

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Refuse it."""
        return GraphQLResponse(body=errors_body({"extensions": {"code": "postgres-error"}, "message": "away"}))


async def test_a_subscription_that_its_owner_refuses() -> None:
    async with serving(Refusing(data_service(), lambda _: NOTHING)) as served, talking(served.url) as client:
        await client.begin("1", LIVE)
        error = await client.error()
        assert (error["path"], error["extensions"]["code"]) == (["flow"], "postgres-error")


class Failing(Overridden):
    """A data service with a defect."""

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Fail."""
        raise RuntimeError("secret")


async def test_a_defect_is_masked(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(Failing(data_service(), lambda _: NOTHING)) as served, talking(served.url) as client:
        await client.begin("1", LIVE)
        error = await client.error()
        assert "secret" not in str(error)
        [record] = [record for record in caplog.records if "error_id" in vars(record)]
        assert vars(record)["error_id"] in error["message"]
        assert "secret" in caplog.text
        assert await client.answer("{ hello }") == {"data": {"hello": "👋"}}


async def test_over_http_a_subscription_says_where_it_belongs(served: Served) -> None:
    """data-api.md §3.2: the field is null and there is an error; ours says what to do."""
    async with httpx.AsyncClient(base_url=served.url) as http:
        response = await http.post("/", json={"query": LIVE})
    assert response.status_code == 200
    assert response.json()["data"] is None
    (error,) = response.json()["errors"]
    assert "WebSocket" in error["message"]
    assert not served.data.followed


async def test_limits_of_sockets_and_operations() -> None:
    async with serving(max_sockets=1, max_operations_per_socket=1) as served, talking(served.url) as client:
        async with connected_to(served.url, TRANSPORT) as another:
            assert await another.closed() == (1013, "Too many connections")
        await client.begin("1", LIVE)
        await served.watchers(1)
        await client.begin("2", LIVE)
        assert (await client.error("2"))["extensions"]["code"] == "limit-reached"


async def test_who_does_not_begin_is_cut_off() -> None:
    async with serving(init_timeout_seconds=0.05) as served, connected_to(served.url, LEGACY) as client:
        assert await client.closed() == (4408, "Connection initialisation timeout")


async def test_a_stopping_gateway_says_good_bye() -> None:
    """1001 for everybody, also for who comes then; subscriptions end at their owner."""
    async with serving() as served, talking(served.url) as live, talking(served.url, LEGACY) as idle:
        await live.begin("1", LIVE)
        await served.watchers(1)
        goodbyes = [asyncio.ensure_future(client.closed()) for client in (live, idle)]
        await served.leave()
        assert [(await each)[0] for each in goodbyes] == [1001, 1001]
        await served.watchers(0)
        async with connected_to(served.url, TRANSPORT) as late:
            assert (await late.closed())[0] == 1001


async def test_nothing_is_compressed(served: Served) -> None:
    """Each client of one live query would cost the time to compress the same result again."""
    async with connected_to(served.url, TRANSPORT) as client:
        assert client.socket.response is not None
        assert "Sec-WebSocket-Extensions" not in client.socket.response.headers


async def test_a_page_of_any_origin_may_connect(served: Served) -> None:
    """As over HTTP: `Access-Control-Allow-Origin: *` (data-api.md §3.1)."""
    async with connected_to(served.url, LEGACY, origin="http://else.where") as client:
        await client.init()
