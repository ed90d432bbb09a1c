"""Every row of data-api.md §3.2 and §3.3, with the upstreams in the gateway's process and again behind real sockets.

What differs from the legacy server, by decision: root fields of one upstream travel together where that cannot be told
apart from one request each, and an upstream that cannot be reached has a code on which clients send again.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query

from server_core.errors import Unavailable
from server_core.wire import End, GraphQLRequest, GraphQLResponse, ServiceStatus, Watcher
from services.gateway.app import create_app
from services.gateway.upstream import HttpUpstream
from tests.support.exchange import JSON, Exchange, in_process, over_socket, posted
from tests.support.gateway import FLOWS, actions_service, data_service
from tests.support.servers import behind_http, listening
from tests.support.settings import gateway_settings, server_settings
from tests.support.upstreams import Overridden, SchemaService

WAYS = ("in process", "over sockets")


@dataclass(frozen=True, kw_only=True)
class Front:
    """A gateway and what is behind it.

    Attributes:
        exchange: the way to it.
        heard: headers that upstreams were sent over sockets, by their name.
        end: makes an upstream unreachable, by its name.
    """

    exchange: Exchange
    heard: Mapping[str, list[dict[str, str]]]
    end: Callable[[str], Awaitable[None]]


Upstream = SchemaService | Overridden


class Mortal:
    """A service that can be made unreachable."""

    def __init__(self, service: Upstream) -> None:
        self._service = service
        self.there = True

    async def start(self) -> None:
        """Start it."""
        await self._service.start()

    async def stop(self) -> None:
        """Stop it."""
        await self._service.stop()

    async def status(self) -> ServiceStatus:
        """Tell what the service tells."""
        return await self._service.status()

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Pass a subscription on."""
        return await self._service.subscribe(request, watcher)

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        """Answer while it is there."""
        if not self.there:
            raise Unavailable("The service cannot be reached.")
        return await self._service.execute(request)


async def front(stack: AsyncExitStack, way: str, data: Upstream, actions: Upstream) -> Front:
    """Put a gateway before two services, until the stack is closed."""
    settings = server_settings(gateway=gateway_settings())
    if way == "in process":
        behind = {"data": Mortal(data), "actions": Mortal(actions)}
        app = create_app(settings, data=behind["data"], actions=behind["actions"], patience_seconds=30)
        await stack.enter_async_context(app.router.lifespan_context(app))

        async def leave(name: str) -> None:
            behind[name].there = False

        return Front(exchange=in_process(app), heard={}, end=leave)

    heard: dict[str, list[dict[str, str]]] = {"data": [], "actions": []}
    running = {name: await stack.enter_async_context(AsyncExitStack()) for name in heard}
    urls = {
        name: await running[name].enter_async_context(listening(behind_http(service, heard[name])))
        for name, service in (("data", data), ("actions", actions))
    }
    upstreams = {name: HttpUpstream(f"{url}/graphql/", name=name) for name, url in urls.items()}
    app = create_app(
        settings, data=upstreams["data"], actions=upstreams["actions"], patience_seconds=30, retry_seconds=0.05
    )
    url = await stack.enter_async_context(listening(app))

    async def close(name: str) -> None:
        await running[name].aclose()

    return Front(exchange=over_socket(url), heard=heard, end=close)


@dataclass(frozen=True, kw_only=True)
class Row:
    """An operation, its answer, and what each upstream was asked.

    Attributes:
        query, variables, name, headers: what the client sends.
        status: of the answer.
        data: its `data`; None with errors: null, or absent if the status is 400.
        errors: its `errors`, as far as they must be; the keys that are given are compared.
        to_data, to_actions: (document without needless blanks, variables) of each request, in order.
    """

    query: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    status: int = 200
    data: Any = None
    errors: Sequence[Mapping[str, Any]] = ()
    to_data: Sequence[tuple[str, Mapping[str, Any]]] = ()
    to_actions: Sequence[tuple[str, Mapping[str, Any]]] = ()


def refused(query: str, code: str, *messages: str, at: Sequence[tuple[int, int]] = (), **more: Any) -> Row:
    """Return a row that is answered 400, with an error for each message (or one), and reaches nobody."""
    places = [[{"line": line, "column": column}] for line, column in at]
    errors: list[dict[str, Any]] = [
        {"extensions": {"code": code}, **({"message": message} if message else {})} for message in messages or ("",)
    ]
    for error, place in zip(errors, places, strict=False):
        error["locations"] = place
    return Row(query=query, status=400, errors=errors, **more)


INVALID, UNPARSED, INTERNAL = "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED", "INTERNAL_SERVER_ERROR"
TAKEN = 'set_name(input: {name: "taken"}) { success }'
VIOLATION = {
    "message": "Uniqueness violation.",
    "extensions": {"code": "constraint-violation", "exception": {"message": "Uniqueness violation."}},
}
BAD_ID = 'invalid input syntax for type uuid: "bad"'
MALFORMED = {
    "message": BAD_ID,
    # A path of the data side survives.
    "extensions": {"path": "$", "code": "INVALID_INPUT", "exception": {"message": BAD_ID}},
}
ONE, TWO = {"id": "f1"}, {"id": "f2"}

ROWS = {
    # §3.2 root fields are united, each is answered by its owner, in the order of the document
    "a data field": Row(
        query="{ flow(limit: 1) { id } }", data={"flow": [ONE]}, to_data=[("{ flow(limit: 1) { id } }", {})]
    ),
    "an action's field": Row(query="{ hello }", data={"hello": "👋"}, to_actions=[("{ hello }", {})]),
    "both, and the gateway's own": Row(
        query="{ hello a: flow(limit: 1) { id } __typename api { backend } b: flow { id } }",
        data={"hello": "👋", "a": [ONE], "__typename": "Query", "api": {"backend": "SERVER"}, "b": [ONE, TWO]},
        to_data=[("{ a: flow(limit: 1) { id } b: flow { id } }", {})],
        to_actions=[("{ hello api { backend } }", {})],
    ),
    "a mutation's typename": Row(query="mutation { t: __typename }", data={"t": "Mutation"}),
    "nothing to do": Row(query="{ hello @skip(if: true) }", data={}, to_actions=[("{ hello @skip(if: true) }", {})]),
    # aliases are taken off and put back
    "aliases": Row(
        query='{ x: hello y: hello z: flow_by_pk(id: "f2") { i: id } }',
        data={"x": "👋", "y": "👋", "z": {"i": "f2"}},
        to_data=[('{ z: flow_by_pk(id: "f2") { i: id } }', {})],
        to_actions=[("{ x: hello y: hello }", {})],
    ),
    # fragments: those that are used go along, those of the root are opened
    "fragments": Row(
        query="{ hello a: flow(limit: 1) { ...F } ...R } fragment F on flow { id ...G } fragment G on flow { name }"
        " fragment R on Query { b: flow(limit: 1) { ...G } api { version } }",
        data={"hello": "👋", "a": [{"id": "f1", "name": "one"}], "b": [{"name": "one"}], "api": {"version": "1"}},
        to_data=[
            (
                "{ a: flow(limit: 1) { ...F } b: flow(limit: 1) { ...G } } fragment F on flow { id ...G }"
                " fragment G on flow { name }",
                {},
            )
        ],
        to_actions=[("{ hello api { version } }", {})],
    ),
    # variables: only those used; null stays null, absent stays absent, defaults count
    "used variables only": Row(
        query="query($n: Int = 1, $m: Int = 2, $v: JSON, $x: JSON) { flow(limit: $n) { id } p: project(limit: $m)"
        " { id } echo(value: $v) e: echo(value: $x) }",
        variables={"m": None, "v": {"a": None}, "other": 5},
        data={"flow": [ONE], "p": [], "echo": {"a": None}, "e": None},
        to_data=[
            (
                "query ($n: Int = 1, $m: Int = 2) { flow(limit: $n) { id } p: project(limit: $m) { id } }",
                {"m": None},
            )
        ],
        to_actions=[("query ($v: JSON, $x: JSON) { echo(value: $v) e: echo(value: $x) }", {"v": {"a": None}})],
    ),
    "a variable in a fragment": Row(
        query="query($id: uuid!) { hello ...R } fragment R on Query { flow_by_pk(id: $id) { name } }",
        variables={"id": "f2"},
        data={"hello": "👋", "flow_by_pk": {"name": "two"}},
        to_data=[("query ($id: uuid!) { flow_by_pk(id: $id) { name } }", {"id": "f2"})],
        to_actions=[("{ hello }", {})],
    ),
    # directives on root fields and on fragments
    "directives that hold": Row(
        query="query($b: Boolean!) { a: flow @include(if: $b) { id } hello @skip(if: $b) __typename"
        " ... @include(if: $b) { api { version } } }",
        variables={"b": True},
        data={"a": [ONE, TWO], "__typename": "Query", "api": {"version": "1"}},
        to_data=[("query ($b: Boolean!) { a: flow @include(if: $b) { id } }", {"b": True})],
        to_actions=[
            ("query ($b: Boolean!) { hello @skip(if: $b) ... @include(if: $b) { api { version } } }", {"b": True})
        ],
    ),
    "an operation by its name": Row(
        query="query A { hello } query B { flow(limit: 1) { id } api { version } }",
        name="B",
        data={"flow": [ONE], "api": {"version": "1"}},
        to_data=[("{ flow(limit: 1) { id } }", {})],
        to_actions=[("{ api { version } }", {})],
    ),
    # mutations in written order, a data mutation alone
    "mutations of both": Row(
        query='mutation { a: set_name(input: {name: "a"}) { success } b: insert_flow(name: "b") { affected_rows }'
        ' c: set_name(input: {name: "c"}) { success } d: set_name(input: {name: "d"}) { success } }',
        data={"a": {"success": True}, "b": {"affected_rows": 1}, "c": {"success": True}, "d": {"success": True}},
        to_data=[('mutation { b: insert_flow(name: "b") { affected_rows } }', {})],
        to_actions=[
            ('mutation { a: set_name(input: { name: "a" }) { success } }', {}),
            (
                'mutation { c: set_name(input: { name: "c" }) { success }'
                ' d: set_name(input: { name: "d" }) { success } }',
                {},
            ),
        ],
    ),
    # the action wins a collision, with its argument and its type; the other way in is still there
    "a collision is the action's": Row(
        query='mutation { delete_flow(input: {flow_id: "f1"}) { success } }',
        data={"delete_flow": {"success": True}},
        to_actions=[('mutation { delete_flow(input: {flow_id: "f1"}) { success } }', {})],
    ),
    "the data side's way is hidden": refused(
        "mutation { delete_flow(where: {}) { affected_rows } }", INVALID, "", "", ""
    ),
    "another name is still reachable": Row(
        query='mutation { delete_flow_by_pk(id: "f1") { id } }',
        data={"delete_flow_by_pk": ONE},
        to_data=[('mutation { delete_flow_by_pk(id: "f1") { id } }', {})],
    ),
    # a subscription is seen, but dead over HTTP
    "a subscription": Row(query="subscription { flow { id } }", errors=[{"extensions": {"code": INTERNAL}}]),
    # §3.3 syntax
    "a syntax error": refused("{ flow { id }", UNPARSED, "Syntax Error: Expected Name, found <EOF>.", at=[(1, 14)]),
    "no document": refused("#", UNPARSED),
    # validation, one entry per problem
    "an unknown field": refused("{ nothing }", INVALID, "Cannot query field 'nothing' on type 'Query'.", at=[(1, 3)]),
    "an unknown argument": refused(
        "{ flow(nothing: 1) { id } }", INVALID, "Unknown argument 'nothing' on field 'Query.flow'.", at=[(1, 8)]
    ),
    "an unknown type": refused(
        "query($a: nowhere) { echo(value: $a) }", INVALID, "Unknown type 'nowhere'.", at=[(1, 11)]
    ),
    "an unused variable": refused("query($a: Int) { hello }", INVALID, "Variable '$a' is never used.", at=[(1, 7)]),
    "an unused fragment": refused(
        "{ hello } fragment F on flow { id }", INVALID, "Fragment 'F' is never used.", at=[(1, 11)]
    ),
    "conflicting aliases": refused("{ a: hello a: api { version } }", INVALID),
    "too deep": refused(
        "query Deep { flow { flows { flows { flows { flows { flows { flows { flows { id } } } } } } } } }",
        INVALID,
        "'Deep' exceeds maximum operation depth of 7",
    ),
    "several problems": refused(
        "{ nothing\n  flow { nothing } }",
        INVALID,
        "Cannot query field 'nothing' on type 'Query'.",
        "Cannot query field 'nothing' on type 'flow'.",
        at=[(1, 3), (2, 10)],
    ),
    # variables and operation names
    "a variable is missing": refused(
        "query($n: Int!) { flow(limit: $n) { id } }",
        INTERNAL,
        "Variable \"$n\" of required type 'Int!' was not provided.",
        at=[(1, 7)],
    ),
    "a variable is ill-typed": refused(
        "query($n: Int) { flow(limit: $n) { id } }",
        INTERNAL,
        "Variable \"$n\" has invalid value: Int cannot represent non-integer value: 'x'",
        variables={"n": "x"},
        at=[(1, 7)],
    ),
    "no operation name": refused("query A { hello } query B { hello }", INTERNAL),
    "an unknown operation name": refused("query A { hello }", INTERNAL, 'Unknown operation named "B".', name="B"),
    # an error in one root field
    "a nullable root keeps its siblings": Row(
        query=f'mutation {{\n  x: {TAKEN}\n  y: set_name(input: {{name: "y"}}) {{ success }}\n}}',
        data={"x": None, "y": {"success": True}},
        errors=[{**VIOLATION, "locations": [{"line": 2, "column": 3}], "path": ["x"]}],
        to_actions=[(f'mutation {{ x: {TAKEN} y: set_name(input: {{name: "y"}}) {{ success }} }}', {})],
    ),
    "an error in each of two": Row(
        query=f"mutation {{ x: {TAKEN} y: {TAKEN} }}",
        data={"x": None, "y": None},
        errors=[{**VIOLATION, "path": ["x"]}, {**VIOLATION, "path": ["y"]}],
        to_actions=[(f"mutation {{ x: {TAKEN} y: {TAKEN} }}", {})],
    ),
    "the other upstream's siblings too": Row(
        query='{ hello\n  b: flow_by_pk(id: "bad") { id } }',
        data={"hello": "👋", "b": None},
        errors=[{**MALFORMED, "locations": [{"line": 2, "column": 3}], "path": ["b"]}],
        to_data=[('{ b: flow_by_pk(id: "bad") { id } }', {})],
        to_actions=[("{ hello }", {})],
    ),
    "the data side's siblings too": Row(
        query='{ a: flow_by_pk(id: "f1") { id } b: flow_by_pk(id: "bad") { id } }',
        data={"a": ONE, "b": None},
        errors=[{**MALFORMED, "path": ["b"]}],
        to_data=[
            ('{ a: flow_by_pk(id: "f1") { id } b: flow_by_pk(id: "bad") { id } }', {}),
            ('{ a: flow_by_pk(id: "f1") { id } }', {}),
            ('{ b: flow_by_pk(id: "bad") { id } }', {}),
        ],
    ),
}


def asked(service: SchemaService) -> list[tuple[str, dict[str, Any]]]:
    """Return what a service was asked, and forget it; not the signs of life that the gateway asks for."""
    found = [(" ".join(request.query.split()), dict(request.variables)) for request in service.requests]
    service.requests.clear()
    return [(query, variables) for query, variables in found if "gateway: __typename" not in query]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One way to the gateway, and the services behind."""

    front: Front
    data: SchemaService
    actions: SchemaService


@pytest.fixture(scope="module")
async def stages() -> AsyncIterator[dict[str, Stage]]:
    """A gateway for each way."""
    async with AsyncExitStack() as stack:
        made = {}
        for way in WAYS:
            data, actions = data_service(), actions_service()
            made[way] = Stage(front=await front(stack, way, data, actions), data=data, actions=actions)
        yield made


@pytest.fixture(params=WAYS)
def stage(request: pytest.FixtureRequest, stages: dict[str, Stage]) -> Stage:
    """The way of the test."""
    found = stages[request.param]
    for service in (found.data, found.actions):
        service.requests.clear()
    return found


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_a_row(stage: Stage, row: Row) -> None:
    reply = await stage.front.exchange(posted(row.query, row.variables, operationName=row.name))
    document = reply.json()
    assert reply.status == row.status, document
    assert ("data" in document) is (row.status == 200)
    assert document.get("data") == row.data
    assert list(document.get("data") or {}) == list(row.data or {})
    assert ("errors" in document) is bool(row.errors)
    found = document.get("errors", [])
    assert len(found) == len(row.errors), found
    for error, expected in zip(found, row.errors, strict=True):
        assert {name: error.get(name) for name in expected if name != "extensions"} == {
            name: value for name, value in expected.items() if name != "extensions"
        }
        assert error["extensions"].items() >= expected["extensions"].items()
        assert "stacktrace" not in json.dumps(error)
    assert sorted(asked(stage.data)) == sorted(row.to_data)
    assert asked(stage.actions) == list(row.to_actions)


async def test_headers_go_to_the_actions_only(stage: Stage) -> None:
    """§3.2: those that start with `x-prefect`, in any case, to the actions; none to the data side."""
    wanted = (("X-PREFECT-Core-Version", "1.4.1"), ("x-prefect-b", "2"))
    headers = (JSON, *wanted, ("Authorization", "Bearer x"), ("Cookie", "a=b"), ("X-Other", "1"))
    for query in ("{ flow { id } hello }", "{ hello }", "{ flow { id } }"):
        await stage.front.exchange(posted(query, headers=headers))
    for request in stage.actions.requests:
        assert dict(request.headers) == {"x-prefect-core-version": "1.4.1", "x-prefect-b": "2"}
    assert [dict(request.headers) for request in stage.data.requests] == [{}, {}]
    for heard in stage.front.heard.values():
        assert not {"authorization", "cookie", "x-other"} & {name for each in heard for name in each}


async def test_the_schema_is_one(stage: Stage) -> None:
    """§3.2: introspection is on and shows the united root types, both scalar families and three directives."""
    shown = (await stage.front.exchange(posted(get_introspection_query()))).json()["data"]
    schema = build_client_schema(shown)
    roots = [schema.query_type, schema.mutation_type, schema.subscription_type]
    assert [root and root.name for root in roots] == ["Query", "Mutation", "Subscription"]
    assert {"uuid", "UUID", "jsonb", "JSON"} <= set(schema.type_map)
    assert {each["name"] for each in shown["__schema"]["directives"]} == {"include", "skip", "deprecated"}
    assert not asked(stage.data)


@pytest.fixture(params=WAYS)
async def way(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Awaitable[Front]]]:
    """Make a gateway before services of the test's own."""
    async with AsyncExitStack() as stack:

        async def make(data: Upstream | None = None, actions: Upstream | None = None) -> Front:
            return await front(stack, request.param, data or data_service(), actions or actions_service())

        yield make


async def test_a_query_asks_both_at_once_and_a_mutation_one_after_the_other(
    way: Callable[..., Awaitable[Front]],
) -> None:
    """§3.2: query fields run in parallel, mutation fields in written order, each after the one before has ended."""
    both = asyncio.Barrier(2)
    order: list[str] = []

    async def meet(request: GraphQLRequest) -> None:
        if "hello" in request.query or "project" in request.query:
            await both.wait()
        elif request.query.startswith("mutation"):
            name = "b" if "insert_flow" in request.query else request.query.split('"')[1]
            order.append(f"{name} begins")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    made = await way(data_service(meet), actions_service(meet))
    async with asyncio.timeout(30):
        reply = await made.exchange(posted("{ hello project { id } }"))
    assert reply.json() == {"data": {"hello": "👋", "project": []}}
    await made.exchange(
        posted(
            'mutation { set_name(input: {name: "a"}) { success } insert_flow(name: "b") { affected_rows }'
            ' c: set_name(input: {name: "c"}) { success } }'
        )
    )
    assert order == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


def answering(document: object, status: int = 200) -> Callable[[GraphQLRequest], GraphQLResponse]:
    """Return what an upstream does that answers the same to everything."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return lambda request: GraphQLResponse(body=body, status=status)


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (answering({"errors": [{"message": "m", "extensions": {"code": "FORBIDDEN", "more": 1}}]}), "FORBIDDEN", "m"),
        (answering({"errors": [{"message": "m"}], "data": None}), INTERNAL, "m"),
        (answering({"errors": [{"message": "m", "extensions": None}]}, 500), INTERNAL, "m"),
        (
            answering({"errors": [{"message": "one"}, {"message": "two", "extensions": {"code": "X"}}]}),
            INTERNAL,
            "one\ntwo",
        ),
        (answering(b"<html>Bad gateway</html>", 502), INTERNAL, None),
        (answering(b""), INTERNAL, None),
        (answering({"data": None}), INTERNAL, None),
        (answering(b'{"data": {"flow_by_pk": {"id"'), INTERNAL, None),
    ],
    ids=["code", "no code", "500", "several", "no JSON", "nothing", "no data", "half"],
)
async def test_what_an_upstream_says_is_an_error_of_its_field(
    way: Callable[..., Awaitable[Front]],
    answer: Callable[[GraphQLRequest], GraphQLResponse],
    code: str,
    message: str | None,
) -> None:
    """§3.3: 200, the alias is null and its siblings are kept; several errors are one, their messages joined."""
    made = await way(Overridden(data_service(), answer))
    reply = await made.exchange(posted('{ hello\n  x: flow_by_pk(id: "f1") { id } }'))
    assert reply.status == 200
    assert reply.json()["data"] == {"hello": "👋", "x": None}
    (error,) = reply.json()["errors"]
    assert error["extensions"]["code"] == code
    assert error["extensions"]["exception"] == {"message": error["message"]}
    assert (error["path"], error["locations"]) == (["x"], [{"line": 2, "column": 3}])
    assert message is None or error["message"] == message
    # A list may not be null: its failure takes the whole of the data with it.
    reply = await made.exchange(posted("{ hello flow { id } }"))
    assert reply.status == 200
    assert reply.json()["data"] is None
    assert [error["path"] for error in reply.json()["errors"]] == [["flow"]]


@pytest.mark.parametrize("name", ["data", "actions"])
async def test_an_upstream_that_cannot_be_reached(way: Callable[..., Awaitable[Front]], name: str) -> None:
    """§3.3: 200, an error of its root fields; those of the other upstream are answered."""
    made = await way()
    query = '{ hello a: flow_by_pk(id: "f1") { id } b: flow_by_pk(id: "f2") { id } }'
    whole = {"hello": "👋", "a": ONE, "b": TWO}
    assert (await made.exchange(posted(query))).json() == {"data": whole}
    await made.end(name)
    reply = await made.exchange(posted(query))
    failed = ["hello"] if name == "actions" else ["a", "b"]
    assert reply.status == 200
    assert reply.json()["data"] == {**whole, **dict.fromkeys(failed)}
    assert [error["path"] for error in reply.json()["errors"]] == [[key] for key in failed]
    for error in reply.json()["errors"]:
        assert "cannot be reached" in error["message"]
        assert error["extensions"]["code"] == "API_ERROR"
    assert (await made.exchange(posted("mutation { __typename }"))).json() == {"data": {"__typename": "Mutation"}}


def test_the_services_have_what_the_rows_expect() -> None:
    assert [flow["id"] for flow in FLOWS] == ["f1", "f2"]
