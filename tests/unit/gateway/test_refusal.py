"""The shape of refusals (data-api.md §3.3)."""

import json

import pytest

from services.gateway.document import Documents
from services.gateway.refusal import Refusal
from tests.support.upstreams import stitched


def refusal_of(text: str, *, introspection: bool = True) -> Refusal:
    """Return how a document is refused."""
    with pytest.raises(Refusal) as caught:
        Documents(stitched=stitched(), depth_limit=7, introspection=introspection).plan(text, None)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "{ nothing }",
        "{ flow { id nothing } }",
        "{ flow(nothing: 1) { id } }",
        "query($n: nothing) { flow(limit: $n) { id } }",
        'mutation { set_name(input: { name: "a", nothing: 1 }) { success } }',
    ],
)
def test_what_is_not_in_the_schema_names_the_client(text: str) -> None:
    """The text stays as it was, the versions follow it; clients that tell none get just the text."""
    refusal = refusal_of(text)
    named = json.loads(refusal.to_client("1.4.1", "0.1.0").response().body)["errors"]
    plain = json.loads(refusal.to_client("", "0.1.0").response().body)["errors"]
    told = next(error for error in named if "client_version" in error["extensions"])
    assert told["message"].endswith(" (The client is Prefect 1.4.1, this server is 0.1.0.)")
    assert told["extensions"] == {
        "code": "GRAPHQL_VALIDATION_FAILED",
        "client_version": "1.4.1",
        "server_version": "0.1.0",
    }
    assert told["message"].partition(" (The client")[0] in [error["message"] for error in plain]
    assert all(error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"} for error in plain)


@pytest.mark.parametrize("text", ["{ hello", "query($n: Int) { hello }", "{ flow }"])
def test_other_mistakes_are_not_about_versions(text: str) -> None:
    refusal = refusal_of(text)
    assert refusal.to_client("1.4.1", "0.1.0") is refusal


def test_a_version_may_be_anything() -> None:
    [error] = refusal_of("{ nothing }").to_client("\xe9" * 10_000, "0.1.0").entries
    assert len(error["message"]) < 300


@pytest.mark.parametrize("text", ["{ __schema { types { name } } }", '{ a: __type(name: "flow") { name } hello }'])
def test_introspection_can_be_off(text: str) -> None:
    """A validation error of the documented shape; `__typename` is always answered."""
    error = refusal_of(text, introspection=False).entries[0]
    assert "introspection has been disabled" in error["message"].lower()
    assert error["locations"]
    assert error["extensions"] == {"code": "GRAPHQL_VALIDATION_FAILED"}
    allowed = Documents(stitched=stitched(), depth_limit=7, introspection=False)
    assert allowed.plan("{ __typename flow { __typename } }", None).steps


def test_a_refusal_that_clients_read_as_unauthenticated() -> None:
    """client-operations.md §1.3: it must be a 200 whose errors say UNAUTHENTICATED; a 401 is a raw HTTPError there."""
    response = Refusal.plain("Sign in first.", code="UNAUTHENTICATED", status=200).response()
    assert response.status == 200
    assert json.loads(response.body) == {
        "errors": [{"message": "Sign in first.", "extensions": {"code": "UNAUTHENTICATED"}}]
    }
