"""Two schemas become one: who owns what, and what clients see of it (data-api.md §3.2)."""

import pytest
from graphql import OperationType, build_schema, introspection_from_schema, is_scalar_type, print_type

from services.gateway.stitch import Owner, stitch
from tests.support.upstreams import ACTIONS_SDL, DATA_SDL, shown, stitched

COLLISIONS = [
    *(f"delete_{noun}" for noun in ("agent", "agent_config", "cloud_hook", "flow", "flow_group", "flow_run")),
    *(f"delete_{noun}" for noun in ("message", "project", "task_run_artifact", "tenant")),
    "update_agent_config",
    "update_task_run_artifact",
]


def test_root_fields_are_united_under_the_gateways_names() -> None:
    schema = stitched().schema
    assert schema.query_type is not None
    assert schema.query_type.name == "Query"
    assert set(schema.query_type.fields) == {"flow", "flow_by_pk", "project", "hello", "api", "echo"}
    assert schema.mutation_type is not None
    assert schema.mutation_type.name == "Mutation"
    assert schema.subscription_type is not None
    assert schema.subscription_type.name == "Subscription"
    assert not {"query_root", "mutation_root", "subscription_root"} & set(schema.type_map)


@pytest.mark.parametrize("name", COLLISIONS)
def test_the_action_wins_a_collision_completely(name: str) -> None:
    noun = name.partition("_")[2]
    data = f"""
        schema {{ query: query_root mutation: mutation_root }}
        scalar uuid
        input exp {{ id: uuid }}
        type response {{ affected_rows: Int! }}
        type query_root {{ {noun}: String }}
        type mutation_root {{ {name}(where: exp!): response {name}_by_pk(id: uuid!): response }}
    """
    actions = f"""
        scalar UUID
        input {name}_input {{ {noun}_id: UUID! }}
        type success_payload {{ success: Boolean }}
        type Query {{ hello: String }}
        type Mutation {{ {name}(input: {name}_input!): success_payload }}
    """
    united = stitched(data, actions)
    mutation = united.schema.mutation_type
    assert mutation is not None
    assert list(mutation.fields[name].args) == ["input"]
    assert str(mutation.fields[name].type) == "success_payload"
    assert united.owner(OperationType.MUTATION, name) is Owner.ACTIONS
    assert united.owner(OperationType.MUTATION, f"{name}_by_pk") is Owner.DATA


def test_both_families_of_scalars_exist() -> None:
    types = stitched().schema.type_map
    assert all(is_scalar_type(types[name]) for name in ("uuid", "UUID", "jsonb", "JSON", "Int", "String", "Boolean"))


def test_a_type_of_the_same_name_is_the_actions() -> None:
    united = stitched(
        "type Query { a: thing } type thing { old: Int }", "type Query { b: thing } type thing { new: Int }"
    )
    assert "new: Int" in print_type(united.schema.type_map["thing"])


def test_only_the_documented_directives_are_offered() -> None:
    assert {each.name for each in stitched().schema.directives} == {"include", "skip", "deprecated"}


def test_no_subscription_type_where_no_upstream_shows_one() -> None:
    united = stitched("type Query { a: Int }", "type Query { b: Int }")
    assert united.schema.subscription_type is None
    assert united.schema.mutation_type is None


def test_introspection_and_typename_are_the_gateways() -> None:
    united = stitched()
    for name in ("__schema", "__type", "__typename"):
        assert united.owner(OperationType.QUERY, name) is Owner.GATEWAY


def test_mentions_of_a_root_type_are_renamed() -> None:
    united = stitched(
        "schema { query: query_root } type query_root { a: thing } type thing { query: query_root! }",
        "type Query { b: Int }",
    )
    assert "query: Query!" in print_type(united.schema.type_map["thing"])


def test_the_united_schema_introspects() -> None:
    again = introspection_from_schema(stitched().schema)
    assert again["__schema"]["queryType"]["name"] == "Query"


def test_a_schema_that_is_not_valid_is_refused() -> None:
    data = shown("type Query { a: thing } type thing { old: Int }")
    for member in data["__schema"]["types"]:
        if member["name"] == "thing":
            member["fields"] = []
    with pytest.raises(ValueError, match="not valid"):
        stitch(data, shown("type Query { b: Int }"))


def test_the_fixtures_are_valid() -> None:
    build_schema(DATA_SDL)
    build_schema(ACTIONS_SDL)
