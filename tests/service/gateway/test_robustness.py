"""Whatever comes in, the pure rooms answer with a value or a refusal; nothing else escapes.

No database is needed: it is here for its length, some seconds of invented input.
"""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server_core.wire import GraphQLRequest, GraphQLResponse
from services.gateway.answer import read
from services.gateway.body import inflate, read_body
from services.gateway.document import Documents
from services.gateway.merge import merge
from services.gateway.refusal import Refusal
from services.gateway.split import RootField
from services.gateway.stitch import Owner
from services.gateway.variables import check
from tests.support.upstreams import stitched

DOCUMENTS = Documents(stitched=stitched(), depth_limit=7)
WORDS = [*'{}()[]:$!=@|&"#,', "...", "query", "mutation", "fragment", "on", "flow", "flow_by_pk", "hello", "echo"]
WORDS += ["id", "name", "where", "_and", "value", "Query", "JSON", "Int", "$a", "$a", "true", "null", "1", '"x"', "F"]
WORDS += ["include", "if", "__typename", "__schema", "limit", "project", "set_name", "input", '"""', "\\u00", "\n"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def refused_or_planned(text: str, variables: dict[str, Any]) -> None:
    """Plan a document and check values against it."""
    refusal = None
    try:
        check(DOCUMENTS.plan(text, None).variables, variables)
    except Refusal as caught:
        refusal = caught
    if refusal is not None:
        assert refusal.status == 400
        assert json.loads(refusal.response().body)["errors"]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(WORDS), max_size=40), st.dictionaries(st.sampled_from("ab"), values))
def test_documents_of_plausible_words(words: list[str], variables: dict[str, Any]) -> None:
    refused_or_planned(" ".join(words), variables)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(codec=None)), values)
def test_documents_of_any_text(text: str, value: object) -> None:
    refused_or_planned(text, {"a": value})
    refused_or_planned(f"query($a: flow_bool_exp) {{ flow(where: $a) {{ id }} }} #{text}", {"a": value})


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | values.map(lambda value: json.dumps(value).encode()))
def test_bodies_of_any_bytes(body: bytes) -> None:
    for encoding in ("", "gzip", "deflate"):
        found: object
        try:
            found = read_body(inflate(body, encoding, 1_000), {})
        except Refusal as refusal:
            found = refusal.status
        assert isinstance(found, GraphQLRequest | list) or found in (400, 413)


def root(key: str) -> RootField:
    """Return a nullable root field."""
    return RootField(key=key, name=key, owner=Owner.DATA, nullable=True, line=1, column=1)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from("abcdef"), values), st.sampled_from([None, 0, 2]))
def test_answers_keep_their_values(data: dict[str, Any], indent: int | None) -> None:
    fields = [root(key) for key in "fedcba"]
    answer = read(fields, GraphQLResponse(body=json.dumps({"data": data}, indent=indent).encode()), "data")
    merged = json.loads(merge(fields, [answer]))
    assert merged == {"data": data}
    assert list(merged["data"]) == sorted(data, reverse=True)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.binary(max_size=100) | values.map(lambda value: json.dumps({"errors": value, "data": value}).encode()))
def test_answers_of_any_bytes(body: bytes) -> None:
    fields = [root("a"), root("b")]
    document = json.loads(merge(fields, [read(fields, GraphQLResponse(body=body, status=502), "data")]))
    assert "data" in document
    assert document.get("errors") != []
