"""The schema of the action service: what is served, what is committed and what the contract states are one."""

from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, lexicographic_sort_schema, print_schema, validate_schema

from services.graphql import schema as served

COMMITTED = Path(served.__file__).parent.parent / "schema.graphql"
CONTRACT = Path(__file__).with_name("contract.graphql")


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return served.build_schema()._schema


def normalised(schema: GraphQLSchema) -> list[str]:
    return print_schema(lexicographic_sort_schema(schema)).splitlines()


def test_the_committed_schema_is_current() -> None:
    """Write it anew with `python -m services.graphql.schema > services/graphql/schema.graphql`."""
    assert COMMITTED.read_text() == served.sdl()


def test_the_schema_is_exactly_the_contract(schema: GraphQLSchema) -> None:
    assert normalised(schema) == normalised(build_schema(CONTRACT.read_text()))


def test_the_schema_is_valid(schema: GraphQLSchema) -> None:
    assert validate_schema(schema) == []


def test_every_root_field_is_nullable(schema: GraphQLSchema) -> None:
    """So that the siblings of a failed field still answer (actions.md §0.3)."""
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    for root in (schema.query_type, schema.mutation_type):
        assert [name for name, field in root.fields.items() if str(field.type).endswith("!")] == []
