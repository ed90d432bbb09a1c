"""services.graphql.documents: what is remembered of a document, and that remembering hides no error."""

from uuid import uuid4

import pytest
from graphql import build_schema, print_ast

from services.graphql.documents import LONGEST_CACHED, DocumentRejected, Documents
from services.graphql.schema import build_schema as build_service_schema

SCHEMA = build_schema("type Query { f(a: Int, s: String, b: Boolean, l: [Float]): String }")


def test_a_text_without_literals_is_parsed_once() -> None:
    documents = Documents(SCHEMA)
    assert documents.read("query ($a: Int) { f(a: $a) }") is documents.read("query ($a: Int) { f(a: $a) }")


def test_a_known_shape_keeps_its_own_literals_and_checks_them() -> None:
    documents = Documents(SCHEMA)
    for number in (1, 2):
        assert f"a: {number}" in print_ast(documents.read(f"{{ f(a: {number}) }}"))
    with pytest.raises(DocumentRejected) as caught:
        documents.read(f"{{ f(a: {2**40}) }}")
    assert caught.value.code == "GRAPHQL_VALIDATION_FAILED"


def test_a_known_shape_does_not_hide_a_conflict() -> None:
    documents = Documents(SCHEMA)
    documents.read("{ f(a: 1) f(a: 1) }")
    with pytest.raises(DocumentRejected, match="VALIDATION"):
        documents.read("{ f(a: 1) f(a: 2) }")


@pytest.mark.parametrize("text", ["{", "", '{ f(s: "', "query {} }", "{" * 100_000, "{ f(a: " + "[" * 100_000])
def test_not_graphql(text: str) -> None:
    with pytest.raises(DocumentRejected, match="PARSE"):
        Documents(SCHEMA).read(text)


def test_a_known_shape_does_not_hide_what_a_scalar_refuses() -> None:
    schema = build_service_schema()._schema
    documents = Documents(schema)
    text = 'mutation {{ archive_flow(input: {{flow_id: "{}"}}) {{ success }} }}'
    documents.read(text.format(uuid4()))
    with pytest.raises(DocumentRejected, match="VALIDATION"):
        documents.read(text.format("no id"))


def test_a_field_repeated_a_thousand_times_is_valid() -> None:
    """graphql-core's own rule gives up on it."""
    Documents(SCHEMA).read("{ " + "f " * 1000 + "}")


def test_a_rejected_document_is_rejected_again() -> None:
    documents = Documents(SCHEMA)
    for _ in range(2):
        with pytest.raises(DocumentRejected):
            documents.read("{ g }")


def test_bounded() -> None:
    documents = Documents(SCHEMA, characters=200)
    for number in range(100, 140):
        documents.read(f"{{ a{number}: f }}")
        documents.read(f"{{ a{number}: f(a: 1) }}")
    assert len(documents._texts) == 200 // len("{ a100: f }")
    assert documents._shapes.characters <= 200
    newest = documents.read("{ a139: f }")
    assert newest is documents.read("{ a139: f }")
    documents.read("{ f }" + " " * LONGEST_CACHED)
    assert newest is documents.read("{ a139: f }")
