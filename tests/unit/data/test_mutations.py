"""Mutations → scripts or refusals, without a database."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from server_core.wire import GraphQLRequest
from services.data.errors import DataError, NotSupported
from services.data.plan.inserts import MOST_VALUES
from services.data.request import LARGEST_KEPT_SCRIPT, Requests
from services.data.schema.changes import OPERATORS
from services.data.sql.changes import ASSIGNMENTS
from services.data.sql.script import Call, Script
from tests.unit.data.golden import HERE, requests, schema
from tests.unit.data.test_request import HOSTILE, Refusal

REFUSALS = [Refusal(**entry) for entry in yaml.safe_load((HERE / "refused_mutations.yaml").read_text())]


def prepare(query: str, variables: Mapping[str, Any] | None = None) -> tuple[Script, Mapping[str, Any]]:
    prepared = requests(mutations=True).prepare(GraphQLRequest(query=query, variables=variables or {}))
    assert prepared.answer.script is not None
    return prepared.answer.script, prepared.variables


def calls(query: str, *rows: Any, **variables: Any) -> list[Call]:
    """Play a script against these answers of a database, and return what it asks."""
    script, values = prepare(query, variables)
    playing, asked = script.play(values), []
    asked.append(next(playing))
    for each in rows:
        try:
            asked.append(playing.send(each))
        except StopIteration:
            break
    return asked


def refusal(query: str, variables: Mapping[str, Any] | None = None) -> DataError:
    with pytest.raises(DataError) as refused:
        prepare(query, variables)
    return refused.value


@pytest.mark.parametrize("expected", REFUSALS, ids=lambda expected: expected.query[:70])
def test_bad_mutations_are_refused_where_they_are_wrong(expected: Refusal) -> None:
    error = refusal(expected.query, expected.variables)
    assert error.code == expected.code
    assert error.path == (expected.path or error.path)
    assert expected.message in error.message
    assert error.status == 400


@pytest.mark.parametrize("query", ["mutation { delete_flow(where: {}) { affected_rows } }", "mutation { __typename }"])
def test_without_the_setting_no_mutations_exist(query: str) -> None:
    with pytest.raises(DataError) as refused:
        requests().prepare(GraphQLRequest(query=query))
    assert refused.value.entry() == {
        "extensions": {"path": "$", "code": "validation-failed"},
        "message": "no mutations exist",
    }


OPEN = [
    ("{id: {_eq: null}}", "id._eq"),
    ("{id: {_in: null}}", "id._in"),
    ("{name: {_is_null: null}}", "name._is_null"),
    ('{name: {_neq: "x", _ilike: null}}', "name._ilike"),
    ("{settings: {_contains: null}}", "settings._contains"),
    ("{settings: {_has_keys_any: null}}", "settings._has_keys_any"),
    ('{_and: [{name: {_eq: "x"}}, {id: {_eq: null}}]}', "_and[1].id._eq"),
    ('{_or: [{name: {_eq: "x"}}, {_not: {id: {_nin: null}}}]}', "_or[1]._not.id._nin"),
    ("{_not: {id: {_eq: null}}}", "_not.id._eq"),
    ("{project: {tenant: {slug: {_eq: null}}}}", "project.tenant.slug._eq"),
    ("{tasks: {_or: {upstream_edges: {key: {_eq: null}}}}}", "tasks._or[0].upstream_edges.key._eq"),
    ("{id: {_eq: $none}}", "id._eq"),
    ("{id: {_eq: $absent}}", "id._eq"),
    ("{_and: [{}, {_or: [{project: {id: {_eq: $absent}}}]}]}", "_and[1]._or[0].project.id._eq"),
    ("{settings: {_contains: {a: [$absent]}}}", "settings._contains.a[0]"),
    ('{_or: [{name: {_eq: "x"}}, {name: {_ilike: $text}}]}', "_or[1].name._ilike"),
    ("{id: $comparison}", "id"),
    ("{id: $sent}", "id._gt"),
    ("{id: {}}", "id"),
    ("{id: $empty}", "id"),
    ("{_not: $filter}", "_not"),
    ("{_and: $filters}", "_and"),
    ("{_and: $sent_filters}", "_and[1].project.name._eq"),
    ("{project: null}", "project"),
    ("{_or: null}", "_or"),
]
DECLARED = {
    "none": "uuid",
    "absent": "uuid",
    "text": "String",
    "comparison": "uuid_comparison_exp",
    "sent": "uuid_comparison_exp",
    "empty": "uuid_comparison_exp",
    "filter": "flow_bool_exp",
    "filters": "[flow_bool_exp!]",
    "sent_filters": "[flow_bool_exp!]",
}
SENT = {
    "none": None,
    "sent": {"_gt": None},
    "empty": {},
    "sent_filters": [{"name": {"_eq": "x"}}, {"project": {"name": {"_eq": None}}}],
}
FILTERED = [
    ("delete_flow(where: WHERE)", "where"),
    ("update_flow(where: WHERE, _set: {})", "where"),
    (
        "insert_flow(objects: [], on_conflict: {constraint: flow_pkey, update_columns: name, where: WHERE})",
        "on_conflict.where",
    ),
]


@pytest.mark.parametrize(("where", "place"), OPEN)
@pytest.mark.parametrize(("field", "argument"), FILTERED)
def test_a_filter_that_leaves_a_value_open_is_refused_at_any_depth(
    field: str, argument: str, where: str, place: str
) -> None:
    declared = ", ".join(f"${name}: {DECLARED[name]}" for name in re.findall(r"\$(\w+)", where))
    operation = f"mutation ({declared})" if declared else "mutation"
    error = refusal(f"{operation} {{ a: {field.replace('WHERE', where)} {{ affected_rows }} }}", SENT)
    assert error.code == "validation-failed"
    assert error.path == f"$.selectionSet.a.args.{argument}.{place}"


def test_a_nested_upsert_that_leaves_a_value_open_is_refused() -> None:
    conflict = "{constraint: task_pkey, update_columns: name, where: {name: {_eq: null}}}"
    nested = f"{{data: {{}}, on_conflict: {conflict}}}"
    error = refusal(f"mutation {{ insert_flow_one(object: {{tasks: {nested}}}) {{ id }} }}")
    assert error.path == "$.selectionSet.insert_flow_one.args.object.tasks.on_conflict.where.name._eq"


def test_a_whole_filter_in_a_variable_is_read_alike() -> None:
    query = "mutation ($w: flow_bool_exp!) { delete_flow(where: $w) { affected_rows } }"
    assert refusal(query, {"w": {"_or": [{"id": {"_eq": None}}]}}).path.endswith("where._or[0].id._eq")
    assert " WHERE " not in calls(query, w={})[0].text
    assert " WHERE " in calls(query, w={"id": {"_eq": "x"}})[0].text


@pytest.mark.parametrize(
    ("declared", "field", "place"),
    [
        ("flow_bool_exp = {}", "delete_flow(where: $v)", "where"),
        ("[flow_insert_input!] = []", "insert_flow(objects: $v)", "objects"),
        ("flow_insert_input = {}", "insert_flow(objects: [$v])", "objects[0]"),
        (
            "flow_constraint = flow_pkey",
            "insert_flow(objects: [], on_conflict: {constraint: $v})",
            "on_conflict.constraint",
        ),
        (
            "[flow_update_column!] = []",
            "insert_flow(objects: [], on_conflict: {constraint: flow_pkey, update_columns: $v})",
            "on_conflict.update_columns",
        ),
        ("flow_pk_columns_input = {id: 1}", "update_flow_by_pk(pk_columns: $v, _set: {archived: true})", "pk_columns"),
        ("uuid = 1", "delete_flow_by_pk(id: $v)", "id"),
    ],
)
def test_null_in_a_variable_with_a_default_is_no_way_around(declared: str, field: str, place: str) -> None:
    selection = "id" if "_by_pk" in field else "affected_rows"
    declared = declared.replace("1", '"00000000-0000-4000-8000-000000000001"')
    error = refusal(f"mutation ($v: {declared}) {{ {field} {{ {selection} }} }}", {"v": None})
    assert error.code == "validation-failed"
    assert error.path == f"$.selectionSet.{field.split('(')[0]}.args.{place}"


def test_null_data_in_a_variable_is_skipped() -> None:
    query = """mutation ($v: [flow_insert_input!] = []) {
        insert_project(objects: {name: "p", flows: {data: $v}}) { affected_rows } }"""
    assert len(calls(query, [[1]], v=None)) == 1


def test_what_is_selected_keeps_the_null_rule() -> None:
    calls("mutation { delete_flow(where: {}) { returning { tasks(where: {name: {_eq: null}}) { id } } } }")


HOSTILE_QUERY = """
    mutation ($v: String, $row: tenant_insert_input!, $set: flow_set_input!) {
        insert_tenant(
            objects: [{name: TEXT, slug: $v, settings: {a: [TEXT, $v]}}, {name: TEXT, slug: TEXT, settings: TEXT}, $row]
            on_conflict: {constraint: tenant_slug_key, update_columns: name, where: {name: {_neq: TEXT}}}
        ) { returning { name settings(path: "['a']") } }
        insert_project_one(object: {name: TEXT, tenant: {data: {slug: TEXT}}, flows: {data: {name: $v}}}) { name }
        update_flow(
            where: {name: {_eq: TEXT}, project: {id: {_in: [TEXT]}}}
            _set: {name: TEXT, description: $v, created: TEXT}
            _append: {settings: TEXT}
            _prepend: {environment: {a: TEXT}}
            _delete_key: {parameters: TEXT}
            _delete_at_path: {storage: [TEXT]}
        ) { affected_rows }
        update_flow_by_pk(pk_columns: {id: TEXT}, _set: $set) { id }
        delete_flow_by_pk(id: TEXT) { id }
    }
"""


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_in_the_parameters(text: str) -> None:
    def asked(text: str) -> list[Call]:
        query = HOSTILE_QUERY.replace("TEXT", json.dumps(text))
        key, count = [["k"]], [[0, None]]
        return calls(
            query, count, key, key, [[1]], [[None]], count, count, count, v=text, row={"name": text}, set={"name": text}
        )

    statements, harmless = asked(text), asked("x")
    assert [each.text for each in statements] == [each.text for each in harmless]
    assert len(statements) == 8
    for call in statements:
        values = [value for each in call.parameters for value in (each if isinstance(each, list) else [each])]
        assert values == ["k"] or any(text in (value or "") or json.dumps(text) in (value or "") for value in values)


def test_the_text_does_not_depend_on_the_number_of_rows() -> None:
    query = "mutation ($rows: [log_insert_input!]!) { insert_log(objects: $rows) { affected_rows } }"
    [few] = calls(query, rows=[{"name": str(number), "message": None} for number in range(2)])
    [many] = calls(query, rows=[{"name": str(number), "message": None} for number in range(1000)])
    assert few.text == many.text
    assert many.parameters[0] == [str(number) for number in range(1000)]


def test_different_rows_are_one_statement_up_to_the_limit_of_parameters() -> None:
    query = "mutation ($rows: [log_insert_input!]!) { insert_log(objects: $rows) { affected_rows returning { name } } }"
    columns = ("name", "message", "level", "info", "timestamp", "flow_run_id", "task_run_id", "tenant_id")
    rows, fitting = [{column: "a"} for column in columns], MOST_VALUES // len(columns)
    assert len(calls(query, [[2, b"[]"]], rows=rows * 10)) == 1
    asked = calls(query, [["image"]], [["image"]], [[b"[]"]], rows=rows * (2 * fitting // len(rows)))
    assert [len(each.parameters) for each in asked] == [fitting, fitting, 1]


def test_long_scripts_are_not_kept() -> None:
    prepared = Requests(schema(mutations=True))
    query = "mutation ($rows: [log_insert_input!]!) { insert_log(objects: $rows) { affected_rows } }"

    def answer(count: int) -> Any:
        return prepared.prepare(GraphQLRequest(query=query, variables={"rows": [{"name": "x"}] * count})).answer

    assert answer(3) is answer(3)
    assert answer(LARGEST_KEPT_SCRIPT + 1) is not answer(LARGEST_KEPT_SCRIPT + 1)


def test_a_row_that_others_need_must_be_there() -> None:
    query = """mutation { insert_project(objects: {flows: {data: {}}}, on_conflict: {constraint: project_pkey}) {
        affected_rows } }"""
    script, values = prepare(query)
    playing = script.play(values)
    next(playing)
    with pytest.raises(NotSupported) as refused:
        playing.send([])
    assert refused.value.path == "$.selectionSet.insert_project.args.objects"
    assert 'since insert to table "project" affects zero rows' in refused.value.message


def test_nothing_to_do_is_done_without_a_database() -> None:
    query = """mutation {
        insert_flow(objects: []) { affected_rows returning { id } __typename }
        update_flow(where: {}, _set: {}) { n: affected_rows }
        update_flow_by_pk(pk_columns: {id: "x"}, _inc: {}) { id }
    }"""
    script, values = prepare(query)
    with pytest.raises(StopIteration) as end:
        next(script.play(values))
    assert end.value.value == {
        "insert_flow": b'{"affected_rows":0,"returning":[],"__typename":"flow_mutation_response"}',
        "update_flow": b'{"n":0}',
        "update_flow_by_pk": b"null",
    }


def test_every_operator_has_sql() -> None:
    assert set(ASSIGNMENTS) == set(OPERATORS)
