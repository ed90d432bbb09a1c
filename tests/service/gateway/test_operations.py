"""Operations through the gateway: whose they are, how they are divided, how they fail (data-api.md §3.2, §3.3)."""

import asyncio
import json
from typing import Any

import pytest
from graphql import build_client_schema, get_introspection_query

from server_core.errors import Unavailable
from server_core.wire import GraphQLRequest, GraphQLResponse
from tests.support.gateway import FLOWS, Served, actions_service, data_service, served
from tests.support.upstreams import Overridden


async def test_a_data_query_goes_through_as_it_is(gateway: Served) -> None:
    text = "query N($n: Int) {\n  flow(limit: $n) { id, name parameters }\n}"
    answer = await gateway.answer(text, '{"n": 1}', operationName="N")
    assert answer == {"data": {"flow": [FLOWS[0]]}}
    (request,) = gateway.data.requests
    assert request.query == text
    assert request.variables == {"n": 1}
    assert request.operation_name == "N"
    assert request.read_only
    assert not gateway.actions.requests


@pytest.mark.parametrize("waits", [False, True])
async def test_the_tree_of_a_query_is_had_at_once_or_not_at_all(waits: bool) -> None:
    text = "{ flow(limit: 1) { id } }"
    taken: list[bool] = []

    async def witness(request: GraphQLRequest) -> None:
        if waits:
            await asyncio.sleep(0)
        if request.query == text:
            taken.append(request.parsed is not None and request.parsed.take(text, tokens=100) is not None)

    async with served(data=data_service(witness=witness)) as gateway:
        await gateway.answer(text)
    assert taken == [not waits]


async def test_the_bytes_of_the_upstream_come_back() -> None:
    body = b'{"data":{"hello":"\\ud83d\\udc4b","api" : {"version":1.500}}}'

    actions = Overridden(actions_service(), lambda request: GraphQLResponse(body=body))
    async with served(actions=actions) as gateway:
        assert (await gateway.post("{ hello api { version } }")).content == body


async def test_mixed_queries_come_back_in_the_order_of_the_document(gateway: Served) -> None:
    response = await gateway.post("{ hello a: flow(limit: 1) { id } __typename api { backend } b: flow { id } }")
    assert response.json() == {
        "data": {
            "hello": "👋",
            "a": [{"id": "f1"}],
            "__typename": "Query",
            "api": {"backend": "SERVER"},
            "b": [{"id": "f1"}, {"id": "f2"}],
        }
    }
    assert list(response.json()["data"]) == ["hello", "a", "__typename", "api", "b"]
    assert len(gateway.data.requests) == len(gateway.actions.requests) == 1


async def test_each_upstream_gets_only_the_variables_it_uses(gateway: Served) -> None:
    await gateway.answer(
        "query($n: Int = 1, $m: Int = 2, $v: JSON, $x: JSON) { flow(limit: $n) { id } p: project(limit: $m) { id }"
        " echo(value: $v) e: echo(value: $x) }",
        {"m": None, "v": {"a": None}, "other": 5},
    )
    assert gateway.data.requests[0].variables == {"m": None}
    assert gateway.actions.requests[0].variables == {"v": {"a": None}}


async def test_only_prefect_headers_reach_the_actions_and_none_the_data(gateway: Served) -> None:
    headers = {"X-PREFECT-Core-Version": "1.4.1", "Authorization": "Bearer x", "X-Other": "1"}
    await gateway.client.post("/", json={"query": "{ flow { id } hello }"}, headers=headers)
    await gateway.client.post("/", json={"query": "{ hello }"}, headers=headers)
    assert [dict(request.headers) for request in gateway.actions.requests] == [{"x-prefect-core-version": "1.4.1"}] * 2
    assert dict(gateway.data.requests[0].headers) == {}


async def test_the_halves_of_a_query_run_side_by_side() -> None:
    together = asyncio.Barrier(2)

    async def meet(request: GraphQLRequest) -> None:
        if "__schema" not in request.query:
            await together.wait()

    async with served(data_service(meet), actions_service(meet)) as gateway, asyncio.timeout(10):
        assert (await gateway.answer("{ hello project { id } }"))["data"] == {"hello": "👋", "project": []}


async def test_a_mutation_runs_in_written_order() -> None:
    order: list[str] = []

    async def note(request: GraphQLRequest) -> None:
        if "__schema" not in request.query:
            order.append(request.query.replace("\n", "").replace(" ", ""))

    async with served(data_service(note), actions_service(note)) as gateway:
        answer = await gateway.answer(
            'mutation { a: set_name(input: {name: "a"}) { success } b: insert_flow(name: "b") { affected_rows }'
            ' c: set_name(input: {name: "taken"}) { success } d: set_name(input: {name: "d"}) { success } }'
        )
    assert order == [
        'mutation{a:set_name(input:{name:"a"}){success}}',
        'mutation{b:insert_flow(name:"b"){affected_rows}}',
        'mutation{c:set_name(input:{name:"taken"}){success}d:set_name(input:{name:"d"}){success}}',
    ]
    assert answer["data"] == {"a": {"success": True}, "b": {"affected_rows": 1}, "c": None, "d": {"success": True}}
    assert [error["path"] for error in answer["errors"]] == [["c"]]


async def test_the_action_wins_where_both_have_a_mutation(gateway: Served) -> None:
    answer = await gateway.answer('mutation { delete_flow(input: {flow_id: "f1"}) { success } }')
    assert answer == {"data": {"delete_flow": {"success": True}}}
    response = await gateway.post("mutation { delete_flow(where: {}) { affected_rows } }")
    assert response.status_code == 400


async def test_an_error_of_an_action(gateway: Served) -> None:
    response = await gateway.post('mutation {\n  x: set_name(input: {name: "taken"}) { success }\n}')
    assert response.status_code == 200
    assert response.content.startswith(b'{"errors":')
    assert response.json() == {
        "errors": [
            {
                "message": "Uniqueness violation.",
                "locations": [{"line": 2, "column": 3}],
                "path": ["x"],
                "extensions": {
                    "code": "constraint-violation",
                    "exception": {"message": "Uniqueness violation."},
                },
            }
        ],
        "data": {"x": None},
    }


async def test_a_bad_root_does_not_take_its_nullable_siblings_down(gateway: Served) -> None:
    answer = await gateway.answer(
        'query($bad: uuid!) { a: flow_by_pk(id: "f1") { name } b: flow_by_pk(id: $bad) { name }'
        ' c: flow_by_pk(id: "f2") { name } hello }',
        {"bad": "bad"},
    )
    assert answer["data"] == {"a": {"name": "one"}, "b": None, "c": {"name": "two"}, "hello": "👋"}
    (error,) = answer["errors"]
    assert error["path"] == ["b"]
    assert "invalid input" in error["message"]
    assert error["extensions"]["path"] == "$"
    assert error["extensions"]["code"] == "INVALID_INPUT"


async def test_the_same_when_the_data_service_owns_all_of_it(gateway: Served) -> None:
    answer = await gateway.answer('{ a: flow_by_pk(id: "f1") { name } b: flow_by_pk(id: "bad") { name } }')
    assert answer["data"] == {"a": {"name": "one"}, "b": None}
    assert [error["path"] for error in answer["errors"]] == [["b"]]


@pytest.mark.parametrize(("code", "calls"), [("timeout", 1), ("postgres-error", 1), ("data-exception", 3)])
async def test_what_no_field_is_to_blame_for_is_not_asked_again(code: str, calls: int) -> None:
    seen: list[str] = []

    def fail(request: GraphQLRequest) -> GraphQLResponse:
        seen.append(request.query)
        body = {"errors": [{"extensions": {"path": "$", "code": code}, "message": "m"}]}
        return GraphQLResponse(body=json.dumps(body).encode(), status=400)

    async with served(Overridden(data_service(), fail)) as gateway:
        answer = await gateway.answer('{ a: flow_by_pk(id: "f1") { name } b: flow_by_pk(id: "f2") { name } }')
    assert len(seen) == calls
    assert answer["data"] == {"a": None, "b": None}
    assert [error["path"] for error in answer["errors"]] == [["a"], ["b"]]


async def test_a_root_that_may_not_be_null_takes_the_data_with_it() -> None:
    data = data_service()
    data.schema.type_map["query_root"].fields["project"].resolve = lambda *_: 1 / 0  # type: ignore[attr-defined]
    async with served(data) as gateway:
        answer = await gateway.answer("{ project { id } hello }")
    assert answer["data"] is None
    assert [error["path"] for error in answer["errors"]] == [["project"]]


async def test_an_action_refused_before_it_ran_leaves_its_siblings_alone(gateway: Served) -> None:
    """The upstream knows its scalars better than the gateway; 400 without data means that nothing was executed."""
    actions = gateway.actions

    def parse_uuid(node: Any) -> Any:
        if not isinstance(node.value, str) or node.value == "bad":
            raise ValueError("Could not parse UUID")
        return node.value

    actions.schema.type_map["UUID"].coerce_input_literal = parse_uuid
    answer = await gateway.answer(
        'mutation { a: set_name(input: {name: "a", flow_id: "bad"}) { success }'
        ' b: set_name(input: {name: "b"}) { success } }'
    )
    assert answer["data"] == {"a": None, "b": {"success": True}}
    assert [error["path"] for error in answer["errors"]] == [["a"]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ flow { id }", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query($n: Int!) { flow(limit: $n) { id } }", "INTERNAL_SERVER_ERROR"),
        ("query A { hello } query B { hello }", "INTERNAL_SERVER_ERROR"),
        (
            "{ flow { flows { flows { flows { flows { flows { flows { flows { id } } } } } } } } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ],
)
async def test_what_is_refused_reaches_no_upstream(gateway: Served, query: str, code: str) -> None:
    response = await gateway.post(query)
    assert response.status_code == 400
    assert list(response.json()) == ["errors"]
    assert {error["extensions"]["code"] for error in response.json()["errors"]} == {code}
    assert not gateway.data.requests
    assert not gateway.actions.requests


async def test_introspection_shows_the_united_schema(gateway: Served) -> None:
    answer = await gateway.answer(get_introspection_query())
    schema = build_client_schema(answer["data"])
    assert schema.query_type is not None
    assert {"flow", "hello"} <= set(schema.query_type.fields)
    mutation = schema.mutation_type
    assert mutation is not None
    assert mutation.fields["delete_flow"].description == "Deletes one flow."
    assert not gateway.data.requests
    again = await gateway.answer("query($n: String!) { __type(name: $n) { name } hello }", {"n": "flow"})
    assert again["data"] == {"__type": {"name": "flow"}, "hello": "👋"}
    other = await gateway.answer("query($n: String!) { __type(name: $n) { name } hello }", {"n": "nope"})
    assert other["data"] == {"__type": None, "hello": "👋"}


@pytest.mark.parametrize(("query", "name"), [("{ __typename }", "Query"), ("mutation { t: __typename }", "Mutation")])
async def test_root_typename(gateway: Served, query: str, name: str) -> None:
    assert list((await gateway.answer(query))["data"].values()) == [name]


async def test_directives_on_root_fields(gateway: Served) -> None:
    query = "query($yes: Boolean!) { a: flow @include(if: $yes) { id } hello @skip(if: $yes) __typename }"
    assert (await gateway.answer(query, {"yes": True}))["data"] == {
        "a": [{"id": "f1"}, {"id": "f2"}],
        "__typename": "Query",
    }
    assert (await gateway.answer(query, {"yes": False}))["data"] == {"hello": "👋", "__typename": "Query"}


async def test_a_subscription_is_answered_with_an_error(gateway: Served) -> None:
    answer = await gateway.answer("subscription { flow { id } }")
    assert answer["data"] is None
    assert answer["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unavailable("The data service cannot be reached."), "API_ERROR"),
        (RuntimeError("secret"), "INTERNAL_SERVER_ERROR"),
    ],
)
async def test_an_upstream_that_fails_fails_only_its_fields(error: Exception, code: str) -> None:
    def fail(request: GraphQLRequest) -> GraphQLResponse:
        raise error

    async with served(Overridden(data_service(), fail)) as gateway:
        answer = await gateway.answer('{ hello flow_by_pk(id: "f1") { id } }')
        assert answer["data"] == {"hello": "👋", "flow_by_pk": None}
        assert [each["extensions"]["code"] for each in answer["errors"]] == [code]
        assert "secret" not in json.dumps(answer)
        assert "Traceback" not in json.dumps(answer)
        assert (await gateway.answer("{ flow { id } }"))["data"] is None


async def test_a_defect_of_an_upstream_is_found_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """actions.md §0.3: masked for the client, who is told under which id it was logged."""

    def fail(request: GraphQLRequest) -> GraphQLResponse:
        raise RuntimeError("secret")

    async with served(Overridden(data_service(), fail)) as gateway:
        [error] = (await gateway.answer("{ flow { id } }"))["errors"]
    [record] = [record for record in caplog.records if "error_id" in vars(record)]
    assert vars(record)["error_id"] in error["message"]
    assert record.exc_info


async def test_variables_nested_absurdly_are_an_error_and_no_more(gateway: Served) -> None:
    for levels in (500, 900, 990, 5_000):
        body = '{"query":"query($v: JSON) { echo(value: $v) }","variables":{"v":' + "[" * levels + "]" * levels + "}}"
        response = await gateway.client.post("/", content=body, headers={"content-type": "application/json"})
        assert response.status_code in (200, 400)
        assert "errors" in response.json() or levels < 1_000
