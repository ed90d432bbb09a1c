"""The schema over the server's own tables is the query half of what Hasura showed (schema.graphql)."""

import pytest
from graphql import lexicographic_sort_schema, print_schema

from server_core.errors import ConfigError
from services.data.catalog.introspect import read_catalog
from services.data.catalog.metadata import read_metadata
from services.data.catalog.tracked import track
from services.data.schema.operators import AGGREGATES, OPERATORS
from services.data.sql.conditions import COMPARISONS
from services.data.sql.rows import AGGREGATE_CALLS
from tests.unit.data.golden import HERE, schema


def test_schema_is_the_one_clients_know() -> None:
    shown = print_schema(lexicographic_sort_schema(schema().graphql))
    assert shown + "\n" == (HERE / "schema.graphql").read_text()


def test_mutations_add_what_clients_know() -> None:
    shown = print_schema(lexicographic_sort_schema(schema(mutations=True).graphql)).split("\n\n")
    asked = (HERE / "schema.graphql").read_text().rstrip("\n").split("\n\n")
    added = (HERE / "schema_mutations.graphql").read_text().rstrip("\n").split("\n\n")
    assert [each for each in shown if each not in asked] == added
    assert set(asked) - set(shown) == {asked[0]}  # the list of root types
    mutations = schema(mutations=True).graphql.mutation_type
    assert mutations is not None
    assert len(mutations.fields) == 98


def test_nothing_that_does_not_work_is_shown() -> None:
    assert schema().graphql.mutation_type is None


def test_what_can_be_asked_can_be_subscribed_to() -> None:
    asked, subscribed = schema().graphql.query_type, schema().graphql.subscription_type
    assert asked is not None
    assert subscribed is not None
    assert subscribed.name == "subscription_root"
    assert subscribed.fields == asked.fields


def test_every_operator_and_aggregate_has_sql() -> None:
    assert set(COMPARISONS) | {"_is_null"} == set(OPERATORS)
    assert set(AGGREGATE_CALLS) == AGGREGATES | {"count"}


CATALOG = read_catalog((HERE / "catalog.json").read_text())


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("tables: [{table: nope}]", "metadata line 1: there is no table public.nope"),
        ("tables:\n- table: flow\n- table: flow", "metadata line 3: table public.flow is listed twice"),
        ("version: 3", "metadata line 1: neither `sources` nor `tables` is given"),
        ("tables: {}", "metadata line 1: tables must be a list"),
        ("tables:\n- {table: {schema: utility}}", "metadata line 2: a name is expected, not None"),
        ("tables: [", "metadata line 1: not valid YAML"),
        ("[]", "metadata line 1: the file must be a mapping"),
        (
            "tables:\n- table: flow\n  object_relationships:\n  - name: project\n"
            "    using: {foreign_key_constraint_on: project_id}",
            "metadata line 4: project leads to public.project, which is not tracked",
        ),
        (
            "tables:\n- table: flow\n  object_relationships:\n"
            "  - name: x\n    using: {foreign_key_constraint_on: name}",
            "metadata line 4: public.flow has no foreign key on name",
        ),
        (
            "tables:\n- table: flow\n  object_relationships:\n  - name: name\n"
            "    using: {foreign_key_constraint_on: project_id}",
            "metadata line 4: public.flow already has a field name",
        ),
        (
            "tables:\n- table: flow\n  array_relationships:\n  - name: x\n"
            "    using: {manual_configuration: {remote_table: flow, column_mapping: {id: nope}}}",
            "metadata line 4: public.flow has no column nope",
        ),
        (
            "tables:\n- table: flow\nfunctions:\n- function: nope",
            "metadata line 4: there is no function public.nope that returns rows of a table",
        ),
    ],
)
def test_metadata_that_does_not_fit_is_refused_with_the_line(metadata: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        track(CATALOG, read_metadata(metadata))
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "metadata",
    [
        "version: 3\nsources: [{name: default, kind: postgres, tables: [{table: {schema: public, name: flow}}]}]",
        "version: 2\ntables: [{table: flow}]",
        "tables: [{table: {name: flow}}]",
        "resource_version: 7\nmetadata: {version: 3, sources: [{name: default, tables: [{table: flow}]}]}",
    ],
)
def test_every_layout_of_metadata_is_read(metadata: str) -> None:
    assert [str(name) for name in track(CATALOG, read_metadata(metadata)).tables] == ["public.flow"]
