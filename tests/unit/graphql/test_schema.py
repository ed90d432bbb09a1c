"""The schema of the action service: what is served, what is committed and what the contract states are one, but for
what extensions.graphql lists."""

from pathlib import Path

import pytest
from graphql import (
    GraphQLSchema,
    build_schema,
    extend_schema,
    lexicographic_sort_schema,
    parse,
    print_schema,
    print_type,
    validate_schema,
)

from services.graphql import schema as served

COMMITTED = Path(served.__file__).parent.parent / "schema.graphql"
CONTRACT = Path(__file__).with_name("contract.graphql")
EXTENSIONS = Path(__file__).with_name("extensions.graphql")


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return served.build_schema()._schema


def normalised(schema: GraphQLSchema) -> list[str]:
    return print_schema(lexicographic_sort_schema(schema)).splitlines()


def test_the_committed_schema_is_current() -> None:
    """Write it anew with `python -m services.graphql.schema > services/graphql/schema.graphql`."""
    assert COMMITTED.read_text() == served.sdl()


def test_the_schema_is_the_contract_and_our_extensions(schema: GraphQLSchema) -> None:
    """All of actions.md §1 with equal names and types; an extension adds, it cannot define anew what the contract has.

    extend_schema refuses that, and the rest must be equal to the letter.
    """
    contract = build_schema(CONTRACT.read_text())
    assert normalised(schema) == normalised(extend_schema(contract, parse(EXTENSIONS.read_text())))


def test_extensions_add_nothing_to_inputs_and_payloads_of_the_contract() -> None:
    """A type of the contract stays as it is: only the roots get more fields."""
    contract = build_schema(CONTRACT.read_text())
    extended = extend_schema(contract, parse(EXTENSIONS.read_text()))
    for name, before in contract.type_map.items():
        if name not in ("Query", "Mutation"):
            assert print_type(extended.type_map[name]) == print_type(before)


def test_the_schema_is_valid(schema: GraphQLSchema) -> None:
    assert validate_schema(schema) == []


def test_every_root_field_is_nullable(schema: GraphQLSchema) -> None:
    """So that the siblings of a failed field still answer (actions.md §0.3)."""
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    for root in (schema.query_type, schema.mutation_type):
        assert [name for name, field in root.fields.items() if str(field.type).endswith("!")] == []
