"""The quick test never says yes to what coercing refuses, and does to what clients send (data-api.md §3.3)."""

import random
from typing import Any

import pytest
from graphql import (
    GraphQLInputType,
    GraphQLSchema,
    Undefined,
    build_client_schema,
    build_schema,
    parse_type,
    type_from_ast,
)
from graphql import introspection_from_schema as introspected
from graphql.utilities import coerce_input_value

from services.gateway.fitting import DEEPEST, Fitting

SDL = """
scalar JSON
scalar UUID
enum order { asc desc }
input line { run: UUID!, at: String!, level: order, info: JSON, number: Int = 3, tags: [String!],
             must: Boolean! = true }
input filter { and: [filter!], or: filter, name: String, count: Int, ratio: Float, key: ID, lists: [[Int!]] }
input one @oneOf { a: Int, b: String }
type Query { f: Int }
"""
SCHEMA = build_client_schema(introspected(build_schema(SDL)))
TYPES = (
    *("Int", "Int!", "String!", "Boolean", "Float!", "ID!", "UUID", "JSON!", "order!", "[String!]!", "[[Int!]]"),
    *("line!", "[line!]!", "filter", "[filter]", "one!", "[one]"),
)
NAMES = [
    *("run", "at", "level", "info", "number", "tags", "must", "and", "or", "name", "count", "ratio", "key", "lists"),
    *("a", "b", "unknown"),
]
SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -(2**31), 2**31 - 1, 2**31, -(2**31) - 1, 10**30, 1.0, 1.5, float("nan"), float("inf")),
    *("", "x", "asc", "ASC", "7f", "1"),
)


def typed(text: str, schema: GraphQLSchema = SCHEMA) -> GraphQLInputType:
    """Return the type that a text names."""
    found = type_from_ast(schema, parse_type(text))
    assert found is not None
    return found  # type: ignore[return-value]


def invented(dice: random.Random, depth: int = 3) -> Any:
    """Invent a JSON value."""
    kind = dice.random()
    if depth and kind < 0.35:
        return {name: invented(dice, depth - 1) for name in dice.sample(NAMES, dice.randint(0, 4))}
    if depth and kind < 0.55:
        return [invented(dice, depth - 1) for _ in range(dice.randint(0, 3))]
    return dice.choice(SCALARS)


def likely(dice: random.Random) -> Any:
    """Invent a value that is nearly one of the schema's."""
    line = {"run": "7f", "at": "now", "level": "asc", "info": {"x": [1]}, "number": 1, "tags": ["a"], "must": True}
    kept = {name: value for name, value in line.items() if dice.random() < 0.9}
    if dice.random() < 0.4:
        kept[dice.choice(NAMES)] = invented(dice, 2)
    return kept if dice.random() < 0.5 else [kept, line]


def test_what_fits_can_be_coerced() -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    fitting = Fitting()
    tests = [(text, typed(text), fitting.test(typed(text))) for text in TYPES]
    agreed = 0
    for _ in range(3_000):
        value = invented(dice) if dice.random() < 0.5 else likely(dice)
        for text, type_, fits in tests:
            if fits(value, DEEPEST):
                agreed += 1
                assert coerce_input_value(value, type_) is not Undefined, f"seed {seed}: {value!r} is no {text}"
    assert agreed > 3_000, f"seed {seed}: hardly anything fits"


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("Int", None),
        ("Int!", 2**31 - 1),
        ("UUID!", "7f000000-0000-0000-0000-000000000000"),
        ("JSON", {"any": ["thing", {"at": None}]}),
        ("[UUID!]!", ["7f", "80"] * 50),
        ("[line!]!", [{"run": "7f", "at": "now", "info": None, "level": "asc", "tags": []}] * 100),
        ("filter!", {"and": [{"or": {"name": "x"}}, {"count": 3, "lists": [[1], None]}], "key": "k"}),
    ],
)
def test_what_clients_send_fits(type_: str, value: object) -> None:
    assert Fitting().test(typed(type_))(value, DEEPEST)


def test_what_is_nested_deeply_is_left_to_others() -> None:
    value: dict[str, Any] = {}
    for _ in range(100_000):
        value = {"or": value}
    assert not Fitting().test(typed("filter"))(value, DEEPEST)


def test_scalars_with_a_parser_of_their_own_are_left_to_it() -> None:
    schema = build_schema(SDL)
    schema.type_map["UUID"].coerce_input_value = int  # type: ignore[attr-defined]
    assert not Fitting().test(typed("UUID!", schema))("7f", DEEPEST)
