"""Documents that are larger than settings allow are refused before they are validated."""

import pytest
from graphql import get_introspection_query, parse

from server_core.config import DataSettings, GatewaySettings
from server_core.wire import GraphQLRequest
from services.data.errors import ValidationFailed
from services.data.limits import Limits
from services.data.plan.values import JOINT
from services.data.request import Requests
from tests.unit.data.golden import schema


def refusal(query: str, limits: Limits) -> ValidationFailed:
    with pytest.raises(ValidationFailed) as refused:
        Requests(schema(), limits=limits).prepare(GraphQLRequest(query=query))
    return refused.value


def test_depth_is_counted_from_the_root_through_fragments() -> None:
    deep = "query q { flow { project { ...p } } } fragment p on project { ... on project { flows { id } } }"
    Limits(depth=3).check_selections(parse(deep))
    error = refusal(deep, Limits(depth=2))
    assert (error.code, error.message) == ("validation-failed", "'q' exceeds maximum operation depth of 2")


def test_fields_are_counted_where_fragments_are_spread() -> None:
    query = "{ a: flow { ...f } b: flow { ...f } } fragment f on flow { id name }"
    Limits(nodes=6).check_selections(parse(query))
    error = refusal(query, Limits(nodes=5))
    assert (error.code, error.message) == ("validation-failed", "'' exceeds maximum number of fields of 5")


def test_fragments_that_multiply_are_refused_without_being_spread() -> None:
    levels = [f"fragment f{n} on flow {{ a{n}: project {{ flows {{ ...f{n + 1} }} }} ...f{n + 1} }}" for n in range(60)]
    query = "{ flow { ...f0 } } " + " ".join(levels) + " fragment f60 on flow { id }"
    assert "maximum number of fields" in refusal(query, Limits(depth=1000)).message


def test_a_fragment_that_spreads_itself_is_left_to_validation() -> None:
    assert "itself" in refusal("{ flow { ...f } } fragment f on flow { project { flows { ...f } } }", Limits()).message


def test_a_long_document_is_refused_by_its_bytes() -> None:
    query = "{ flow { id } } # ☃☃☃☃"
    Limits(document=30).check_text(query)
    error = refusal(query, Limits(document=len(query.encode()) - 1))
    assert (error.code, error.path) == ("validation-failed", "$.query")
    assert error.message == "the query is longer than 29 bytes"


def test_introspection_is_no_matter_of_depth() -> None:
    Limits(depth=1).check_selections(parse(get_introspection_query()))


def test_aliases_are_counted_as_written() -> None:
    query = "{ a: flow { b: id } ...f } fragment f on query_root { c: flow { id } }"
    Limits(aliases=3).check_selections(parse(query))
    error = refusal(query, Limits(aliases=2))
    assert (error.code, error.message) == ("validation-failed", "The document has more than 2 aliases.")


def test_the_schema_may_be_asked_for_a_few_times() -> None:
    def asking(times: int) -> str:
        return "{ " + " ".join(f"a{number}: __schema {{ __typename }}" for number in range(times)) + " }"

    Limits().check_selections(parse(asking(20)))
    assert "asks for the schema" in refusal(asking(21), Limits()).message


def test_a_field_repeated_often_is_no_more_than_so_many_fields() -> None:
    query = "{ " + "flow { id } " * 1_000 + "}"
    assert Requests(schema()).prepare(GraphQLRequest(query=query)).answer.order == ("flow",)


def test_a_document_that_the_gateway_admits_is_not_too_long() -> None:
    assert Limits().tokens >= GatewaySettings().token_limit
    assert Limits().aliases >= GatewaySettings().alias_limit
    assert Limits().document >= GatewaySettings().body_limit_bytes
    data = DataSettings()
    assert (data.token_limit, data.alias_limit) == (Limits().tokens, Limits().aliases)
    assert data.document_limit_bytes == Limits().document


def test_a_list_of_many_ids_is_admitted() -> None:
    ids = ", ".join(f'"{number:036}"' for number in range(20_000))
    prepared = Requests(schema()).prepare(
        GraphQLRequest(query=f"{{ task_run(where: {{id: {{_in: [{ids}]}}}}) {{ id }} }}")
    )
    [ids_sent] = prepared.parameters
    assert isinstance(ids_sent, str)
    assert len(ids_sent.split(JOINT)) == 20_000
