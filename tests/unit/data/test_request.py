"""Documents and variables → statements or refusals, without a database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from server_core.wire import GraphQLRequest
from services.data.errors import DataError
from services.data.limits import Limits
from services.data.request import Requests
from services.data.sql.fragment import quote
from tests.unit.data.golden import HERE, requests, schema


def prepare(
    query: str, variables: Mapping[str, Any] | None = None, *, null_collapse: bool = True
) -> tuple[str, list[Any]]:
    prepared = requests(null_collapse=null_collapse).prepare(GraphQLRequest(query=query, variables=variables or {}))
    assert prepared.answer.statement is not None
    return prepared.text, list(prepared.parameters)


def refusal(query: str, variables: Mapping[str, Any] | None = None, *, null_collapse: bool = True) -> DataError:
    with pytest.raises(DataError) as refused:
        prepare(query, variables, null_collapse=null_collapse)
    return refused.value


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One entry of refusals.yaml."""

    query: str
    code: str
    message: str
    path: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


REFUSALS = [Refusal(**entry) for entry in yaml.safe_load((HERE / "refusals.yaml").read_text())]


@pytest.mark.parametrize("expected", REFUSALS, ids=lambda expected: expected.query[:60])
def test_bad_requests_are_refused_where_they_are_wrong(expected: Refusal) -> None:
    error = refusal(expected.query, expected.variables)
    assert error.code == expected.code
    assert error.path == (expected.path or error.path)
    assert expected.message in error.message
    assert error.status == 400


def test_a_long_alias_of_a_root_is_kept() -> None:
    alias = "a" * 100
    prepared = requests().prepare(GraphQLRequest(query=f"{{ {alias}: flow {{ id }} }}"))
    assert prepared.answer.body([b"[]"]) == b'{"data":{"%s":[]}}' % alias.encode()


@pytest.mark.parametrize(
    "where",
    [
        "{id: {_eq: null}}",
        "{id: {_in: null}}",
        "{id: {_nin: null}}",
        "{name: {_is_null: null}}",
        "{name: {_ilike: null}}",
        "{settings: {_contains: null}}",
        "{_or: [{name: {_ilike: null}}]}",
        "{project: {name: {_eq: null}}}",
        "{id: {_eq: $none}}",
    ],
)
def test_null_operators_are_errors_when_null_collapse_is_off(where: str) -> None:
    query = (
        f"query ($none: uuid) {{ flow(where: {where}) {{ id }} other: flow(where: {{id: {{_neq: $none}}}}) {{ id }} }}"
    )
    assert refusal(query, {"none": None}, null_collapse=False).code == "validation-failed"
    prepare(query, {"none": None})


def test_other_literals_give_the_same_sql() -> None:
    query = '{{ flow(where: {{id: {{_eq: "{}"}}, version: {{_in: [{}]}}}}, limit: {}) {{ id }} }}'
    first, one = prepare(query.format("a", "1, 2", 3))
    second, two = prepare(query.format("a", "4", 4))
    assert first == second
    assert one == ["a", "1\x1f2", "3"]
    assert two == ["a", "4", "4"]


@pytest.mark.parametrize(
    ("limit", "offset", "ceiling"),
    [
        *((0, 0, 2), (1, 0, 1), (0, 1, 1), (2, 0, 2), (64, 0, 64), (65, 0, 128), (60, 4, 64), (60, 5, 128)),
        (2**31 - 1, 0, 2**31),
        (2**31 - 1, 2**31 - 1, 2**32),
    ],
)
def test_the_ceiling_of_a_limit_is_the_least_power_of_two_that_holds_all_rows(
    limit: int, offset: int, ceiling: int
) -> None:
    text, parameters = prepare(f"{{ flow(limit: {limit}, offset: {offset}) {{ id }} }}")
    assert f" LIMIT {ceiling}) " in text
    assert parameters == [str(limit), str(offset)]


def test_limits_under_one_ceiling_have_one_text() -> None:
    known = Requests(schema())
    query = "query ($n: Int, $m: Int) { flow(limit: $n) { id flow_runs(limit: $m) { id } } }"
    texts = {
        (n, m): known.prepare(GraphQLRequest(query=query, variables={"n": n, "m": m})).text
        for n in (3, 4, 5, 8)
        for m in (1, 2)
    }
    assert len(set(texts.values())) == 4
    assert texts[3, 1] is texts[4, 1]
    for n in range(60):  # the texts of one statement are few, whatever is asked
        text = known.prepare(GraphQLRequest(query=query, variables={"n": 2**30 >> n % 31, "m": 2 ** (n % 29)})).text
        assert f" LIMIT {2**30 >> n % 31}) " in text
    assert known.prepare(GraphQLRequest(query=query, variables={"n": 3, "m": 1})).text == texts[3, 1]


def test_equal_literals_give_the_same_sql_as_different_ones() -> None:
    query = '{{ flow(where: {{name: {{_eq: "{}"}}, core_version: {{_eq: "{}"}}}}) {{ id }} }}'
    assert prepare(query.format("a", "a"))[0] == prepare(query.format("a", "b"))[0]


def test_literals_that_happen_to_be_equal_do_not_decide_how_counts_share_a_scan() -> None:
    count = 'flow_run_aggregate(where: {{state: {{_eq: "{}"}}, name: {{_eq: "n"}}}}) {{ aggregate {{ count }} }}'
    query = "{{ a: " + count + " b: " + count + " }}"
    equal, different = prepare(query.format("x", "x")), prepare(query.format("x", "y"))
    assert equal[0] == different[0]
    assert different[0].count("FILTER") == 2


def test_one_plan_serves_all_values_of_a_shape() -> None:
    prepared = Requests(schema())
    query = """
        query ($w: flow_bool_exp, $n: Int, $deep: Boolean!) {
            flow(where: $w, limit: $n) { id name @include(if: $deep) }
        }
    """

    def answer(**variables: Any) -> Any:
        return prepared.prepare(GraphQLRequest(query=query, variables=variables)).answer

    first = answer(w={"name": {"_eq": "x"}}, n=1, deep=True)
    assert answer(w={"name": {"_eq": "y"}}, n=7, deep=True) is first
    assert answer(w={"name": {"_eq": None}}, n=7, deep=True) is not first
    assert answer(w={"name": {"_eq": "y"}}, deep=True) is not first
    assert answer(w={"name": {"_eq": "y"}}, n=7, deep=False) is not first
    assert answer(w={"name": {"_neq": "y"}}, n=7, deep=True) is not first


def test_keys_of_an_ordering_keep_their_order_in_variables_and_defaults() -> None:
    query = "query ($o: [flow_order_by!] = {version: desc, name: asc}) { flow(order_by: $o) { id } }"
    assert prepare(query)[0].endswith('ORDER BY "t1"."version" DESC, "t1"."name") r')
    assert prepare(query, {"o": {"name": "desc", "version": "asc"}})[0].endswith(
        'ORDER BY "t1"."name" DESC, "t1"."version") r'
    )


@pytest.mark.parametrize(
    "query",
    [
        "{ flow(where: " + "{_not: " * 2000 + "{}" + "}" * 2000 + ") { id } }",
        "{ flow { " + "project { flows { " * 500 + "id" + " } }" * 500 + " } }",
    ],
)
def test_a_query_of_many_levels_is_refused(query: str) -> None:
    assert refusal(query).code == "validation-failed"


def test_a_document_of_many_tokens_is_refused() -> None:
    strict = Requests(schema(), limits=Limits(tokens=50))
    strict.prepare(GraphQLRequest(query="{ flow { " + "id " * 45 + "} }"))
    with pytest.raises(DataError) as refused:
        strict.prepare(GraphQLRequest(query="{ flow { " + "id " * 46 + "} }"))
    error = refused.value
    assert (error.code, error.path) == ("validation-failed", "$.query")


def test_a_variable_of_many_levels_is_refused() -> None:
    where: dict[str, Any] = {}
    for _ in range(900):
        where = {"_not": where}
    error = refusal("query ($w: flow_bool_exp) { flow(where: $w) { id } }", {"w": where})
    assert error.code == "validation-failed"


HOSTILE = [
    "'; DROP TABLE flow; --",
    '"; DROP TABLE flow; --',
    "$1",
    "\\'; SELECT 1; --",
    "{x}",
    "}{",
    "%s %(x)s",
    "\u0000",
    "'||(SELECT version())||'",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_the_parameters(text: str) -> None:
    written = json.dumps(text)
    query = (
        "query ($v: String) { flow("
        f"where: {{name: {{_eq: {written}, _in: [{written}], _ilike: $v, _regex: {written}}}, id: {{_eq: {written}}}, "
        f"created: {{_gt: {written}}}, settings: {{_contains: {{a: {written}}}, _has_key: {written}, "
        f"_has_keys_any: [{written}]}}}}) {{ id settings(path: \"['a']\") }} "
        f"utility_upstream_tasks(args: {{start_task_ids: {written}}}) {{ depth }} flow_by_pk(id: {written}) {{ id }} }}"
    )
    harmless = query.replace(written, '"x"')
    statement, parameters = prepare(query, {"v": text})
    assert statement == prepare(harmless, {"v": "x"})[0]
    assert text in parameters


def test_names_are_quoted() -> None:
    assert quote('a"b') == '"a""b"'


@pytest.mark.parametrize(
    ("query", "variables", "one_by_one"),
    [
        ("{ flow { id } }", {}, True),
        ("{ flow(limit: 9999) { id } }", {}, False),
        ("{ flow(limit: 10000) { id } }", {}, True),
        ("query ($n: Int) { flow(limit: $n) { id } }", {"n": 9999}, False),
        ("query ($n: Int) { flow(limit: $n) { id } }", {"n": 10000}, True),
        ("query ($n: Int) { flow(limit: $n, offset: 10000) { id } }", {"n": 1}, False),
        ("query ($n: Int = 10000) { flow(limit: $n) { id } }", {}, True),
        ('{ flow(where: {id: {_in: ["a\\u001f", "b"]}}, limit: 10000) { id } }', {}, True),
        ('{ flow(where: {id: {_in: ["a", "b"]}, version: {_gt: 1}}, offset: 1, limit: 10000) { id } }', {}, True),
        ("query ($n: Int) { flow(where: {version: {_eq: $n}}, limit: $n) { id } }", {"n": 10000}, True),
        ("{ flow(limit: 10000) { id } tenant { id } }", {}, False),
        ('{ flow_by_pk(id: "10000") { id } }', {}, False),
        ("{ flow_aggregate(limit: 10000) { nodes { id } } }", {}, False),
    ],
)
def test_long_lists_come_row_by_row(query: str, variables: Mapping[str, Any], one_by_one: bool) -> None:
    prepared = requests().prepare(GraphQLRequest(query=query, variables=variables))
    assert prepared.many is one_by_one
    assert prepared.text.startswith("SELECT row_to_json(r.*) FROM (") or not one_by_one


def test_all_that_a_high_limit_changes_is_how_rows_are_handed_out() -> None:
    query = "query ($n: Int) { flow(where: {version: {_eq: $n}}, order_by: {name: asc}, limit: $n) { id } }"
    prepare = Requests(schema()).prepare
    short, long = (prepare(GraphQLRequest(query=query, variables={"n": limit})) for limit in (9999, 10000))
    assert short.answer is long.answer
    assert short.text == long.text.replace("row_to_json(r.*)", "coalesce(json_agg(r.*), '[]')", 1)
    assert (short.parameters, long.parameters) == (["9999"] * 2, ["10000"] * 2)
    assert short.response([[b"[1, \n 2]"]]) == long.response([[b"1"], [b"2"]]) == b'{"data":{"flow":[1, \n 2]}}'
