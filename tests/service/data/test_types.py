"""Columns of every kind of type: shown, named and compared, whether a value is a literal, a variable or inside one."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from server_core.wire import GraphQLRequest, parse_body
from services.data.app import DataService
from tests.support.cluster import Cluster, connected, run_script
from tests.support.settings import server_settings

HERE = Path(__file__).with_name("types")


@dataclass(frozen=True)
class Typed:
    """One line of values.yaml."""

    column: str
    scalar: str
    low: str
    high: str
    shown: str


TYPED = [Typed(*line) for line in yaml.safe_load((HERE / "values.yaml").read_text())]


@pytest.fixture(scope="session")
async def types(cluster: Cluster, pytestconfig: pytest.Config) -> AsyncIterator[DataService]:
    """The data API over the database made by types.sql."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_types_{worker}"
    dsn = await cluster.create(name)
    async with connected(dsn) as connection:
        await run_script(connection, HERE / "types.sql")
    service = DataService(server_settings(), dsn, HERE / "metadata.yaml")
    await service.start()
    yield service
    await service.stop()
    await cluster.drop(name)


async def ask(service: DataService, query: str, variables: str = "{}") -> str:
    """Return the data as text; `variables` is JSON text, read as the HTTP door reads it."""
    request = parse_body(json.dumps({"query": query, "variables": variables}).encode(), exact=True)
    assert isinstance(request, GraphQLRequest)
    response = await service.execute(request)
    return response.body.decode().removeprefix('{"data":').removesuffix("}")


async def labels(service: DataService, where: str, declared: str = "", variables: str = "{}") -> list[str]:
    answer = await ask(
        service, f"query {declared} {{ every(where: {where}, order_by: {{label: asc}}) {{ label }} }}", variables
    )
    return [row["label"] for row in json.loads(answer)["every"]]


def literal(text: str) -> str:
    """Spell JSON as a GraphQL literal: keys are names."""
    return re.sub(r'"(\w+)":', r"\1:", text)


@pytest.mark.parametrize("typed", TYPED, ids=lambda typed: f"{typed.column} {typed.high}")
async def test_values_go_in_and_out_unchanged(types: DataService, typed: Typed) -> None:
    column, scalar = typed.column, typed.scalar
    shown = await ask(types, f'{{ every_by_pk(label: "high") {{ v: {column} }} }}')
    assert shown == f'{{"every_by_pk":{{"v":{typed.shown}}}}}'
    for row, given in (("low", typed.low), ("high", typed.high)):
        for where in (f"{{{column}: {{_eq: {literal(given)}}}}}", f"{{{column}: {{_in: [{literal(given)}]}}}}"):
            assert await labels(types, where) == [row], where
        for declared, where, value in (
            (f"($v: {scalar})", f"{{{column}: {{_eq: $v}}}}", given),
            (f"($v: {scalar}!)", f"{{{column}: {{_in: [$v]}}}}", given),
            (f"($v: [{scalar}!])", f"{{{column}: {{_in: $v}}}}", f"[{given}]"),
            ("($v: every_bool_exp)", "$v", f'{{"{column}": {{"_eq": {given}}}}}'),
            (f"($v: {scalar}_comparison_exp)", f"{{{column}: $v}}", f'{{"_in": [{given}]}}'),
            (f"($v: {scalar} = {literal(given)})", f"{{{column}: {{_eq: $v}}}}", None),
        ):
            variables = "{}" if value is None else f'{{"v": {value}}}'
            assert await labels(types, where, declared, variables) == [row], (declared, value)
    assert await labels(types, f"{{{column}: {{_neq: {literal(typed.low)}}}}}") == ["high"]
    assert await labels(types, f"{{{column}: {{_nin: [{literal(typed.low)}]}}}}") == ["high"]
    assert await labels(types, f"{{{column}: {{_nin: []}}}}") == ["high", "low", "none"]
    assert await labels(types, f"{{{column}: {{_is_null: true}}}}") == ["none"]
    between = f"{{{column}: {{_gte: {literal(typed.low)}, _lte: {literal(typed.high)}}}}}"
    beyond = f"{{{column}: {{_gt: {literal(typed.low)}, _lt: {literal(typed.high)}}}}}"
    assert set(await labels(types, between)) in ({"high", "low"}, set())
    assert await labels(types, beyond) == []


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ([], []),
        ([""], []),
        (["", "Ident"], ["high"]),
        (["Ident", "", ""], ["high"]),
        (["\x1f"], []),
        (["Ident\x1fident"], []),
        (["Ident\x1f", "ident"], ["low"]),
        (["a,b", '"{', "Ident"], ["high"]),
    ],
)
async def test_lists_hold_what_was_sent(types: DataService, items: list[str], found: list[str]) -> None:
    """Also what cannot travel as one text (data-api.md §2.1)."""
    others = ["high", "low", "none"] if not items else [each for each in ("high", "low") if each not in found]
    for operator, expected in (("_in", found), ("_nin", others)):
        written = f"{{ident: {{{operator}: {json.dumps(items)}}}}}"
        declared, where = "($v: [name!])", f"{{ident: {{{operator}: $v}}}}"
        assert await labels(types, written) == expected
        assert await labels(types, where, declared, json.dumps({"v": items})) == expected


@pytest.mark.parametrize("items", [["a"], ["a", ""], ["00000000-0000-4000-8000-000000000001", "☃"], ["\x1f"], [""]])
async def test_items_that_are_no_values_are_named(types: DataService, items: list[str]) -> None:
    """Postgres says what is wrong with the first of them (data-api.md §2.6)."""
    wrong = next(item for item in items if len(item) < 36)
    for declared, operand in (("", json.dumps(items)), ("($v: [uuid!])", "$v")):
        query = f"query {declared} {{ every(where: {{id: {{_in: {operand}}}}}) {{ label }} }}"
        [error] = json.loads(await ask(types, query, json.dumps({"v": items})) + "}")["errors"]
        assert error["message"] == f'invalid input syntax for type uuid: "{wrong}"'
        assert error["extensions"] == {"path": "$", "code": "data-exception"}


async def test_everything_is_json(types: DataService, generated: bool) -> None:
    query = '{ __type(name: "every") { fields { name type { name ofType { name } } } } }'
    fields = json.loads(await ask(types, query))["__type"]["fields"]
    assert len(fields) == 49
    scalars = {field["name"]: field["type"]["name"] or field["type"]["ofType"]["name"] for field in fields}
    assert {typed.column: typed.scalar for typed in TYPED}.items() <= scalars.items()
    assert scalars["single"] == "Float"
    every = " ".join(scalars)
    rows: list[dict[str, Any]] = json.loads(await ask(types, f"{{ every(order_by: {{label: asc}}) {{ {every} }} }}"))[
        "every"
    ]
    high, low, none = rows
    assert high["single"] == "Infinity"
    assert high["loose"] == [1e2, None]
    assert low["moment"] == "0044-03-15T12:00:00 BC"
    assert low["instant"] == low["day"] == "-infinity"
    assert low["twice"] == (-4294967296 if generated else None)
    assert {name for name, value in none.items() if value is not None} == {"label", "serial"}


async def test_what_cannot_be_compared_offers_no_comparison(types: DataService) -> None:
    for scalar in ("json", "point"):
        query = f'{{ __type(name: "{scalar}_comparison_exp") {{ inputFields {{ name }} }} }}'
        assert json.loads(await ask(types, query))["__type"]["inputFields"] == [{"name": "_is_null"}]
    assert await labels(types, "{loose: {_is_null: false}, place: {_is_null: false}}") == ["high", "low"]


async def test_text_of_every_kind_matches_patterns(types: DataService) -> None:
    for column, pattern in (("words", "quote%"), ("short", "é"), ("padded", "ab_d"), ("ident", "I%")):
        assert await labels(types, f'{{{column}: {{_like: "{pattern}"}}}}') == ["high"]
        assert await labels(types, f'{{{column}: {{_nlike: "{pattern}"}}}}') == ["low"]
    assert await labels(types, '{words: {_similar: "(quote|x)%"}}') == ["high"]
    assert await labels(types, '{words: {_iregex: "^QUOTE", _nregex: "^QUOTE"}}') == ["high"]


async def test_aggregates_keep_every_digit(types: DataService) -> None:
    query = """{ every_aggregate { aggregate { sum { large small single } max { exact mood moment money }
    }    } high: every_aggregate(where: {label: {_eq: "high"}}) { aggregate { avg { double } } }
    low: every_aggregate(where: {label: {_eq: "low"}}) { aggregate {
        sum { exact large } avg { exact large } min { exact instant }
    } } }"""
    # Over both rows Postgres 11 says "value out of range: overflow", since it squares what it averages.
    digits = "-1234567890123456789012345678901234567890.0123456789"
    answer = await ask(types, query)
    assert json.loads(answer)["high"] == {"aggregate": {"avg": {"double": "NaN"}}}
    assert json.loads(answer)["every_aggregate"]["aggregate"] == {
        "sum": {"large": -1, "small": -1, "single": "Infinity"},
        "max": {"exact": "NaN", "mood": "happy", "moment": "infinity", "money": "$12.50"},
    }
    assert answer.count(digits) == 3
    assert answer.count("-9223372036854775808") == 2


async def test_values_out_of_the_range_of_a_type_are_errors(types: DataService) -> None:
    for column, value in (
        ("small", "32768"),
        ("large", "9223372036854775808"),
        ("exact", '"1e999999"'),
        ("single", "1e60"),
    ):
        for where, declared, variables in (
            (f"{{{column}: {{_eq: {value}}}}}", "", "{}"),
            (f"{{{column}: $v}}", "($v: COLUMN_comparison_exp)", f'{{"v": {{"_eq": {value}}}}}'),
        ):
            scalar = {"small": "smallint", "large": "bigint", "exact": "numeric", "single": "Float"}[column]
            query = f"query {declared.replace('COLUMN', scalar)} {{ every(where: {where}) {{ label }} }}"
            [error] = json.loads(await ask(types, query, variables) + "}")["errors"]
            assert error["extensions"]["code"] == "data-exception"


async def test_the_constraints_of_a_domain_do_not_limit_what_it_is_compared_with(types: DataService) -> None:
    assert await labels(types, "{domain_number: {_gt: -1}, domain_of_domain: {_lt: 100}}") == ["high", "low"]
