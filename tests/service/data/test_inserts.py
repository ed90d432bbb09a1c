"""Inserts on the server's own tables: defaults, order, nesting, upserts (data-api.md §2.4)."""

from typing import Any

import pytest

from tests.service.data.writing import FLOW, Writing

NOBODY = "00000000-0000-4000-8000-00000000dead"
TENANTS = """mutation ($rows: [tenant_insert_input!]!) {
    insert_tenant(objects: $rows) { affected_rows returning { slug } }
}"""


# Insert


async def test_an_omitted_column_has_its_default_and_null_is_null(writing: Writing) -> None:
    query = """mutation ($rows: [message_insert_input!]!, $absent: Boolean) {
        insert_message(objects: $rows) { affected_rows returning { text read type content } }
        literal: insert_message_one(object: {tenant_id: "%s", type: null, read: $absent, content: {}}) { read type }
    }"""
    await writing.do(f'mutation {{ insert_tenant_one(object: {{id: "{NOBODY}", name: "t", slug: "t"}}) {{ id }} }}')
    rows = [
        {"tenant_id": NOBODY, "content": {"a": 1}, "text": "both", "read": True},
        {"tenant_id": NOBODY, "content": [], "text": None},
        {"tenant_id": NOBODY, "content": "json", "type": "x"},
    ]
    assert await writing.do(query % NOBODY, rows=rows) == {
        "insert_message": {
            "affected_rows": 3,
            "returning": [
                {"text": "both", "read": True, "type": None, "content": {"a": 1}},
                {"text": None, "read": False, "type": None, "content": []},
                {"text": None, "read": False, "type": "x", "content": "json"},
            ],
        },
        "literal": {"read": False, "type": None},
    }
    code, path, message = await writing.refused(
        'mutation { insert_tenant(objects: {slug: "x", name: null}) {affected_rows} }'
    )
    assert (code, path) == ("constraint-violation", "$.selectionSet.insert_tenant.args.objects")
    assert message.startswith('Not-NULL violation. null value in column "name"')


async def test_no_objects_are_no_rows_and_no_statement(writing: Writing) -> None:
    data, recorder = await writing.counted("mutation { insert_log(objects: []) { affected_rows returning { id } } }")
    assert data == {"insert_log": {"affected_rows": 0, "returning": []}}
    assert recorder.sent == []


@pytest.mark.parametrize("uniform", [True, False])
async def test_many_objects_are_one_statement_and_come_back_in_order(writing: Writing, uniform: bool) -> None:
    rows: list[dict[str, Any]] = [{"name": f"n{number}", "slug": f"s{number}"} for number in range(300)]
    for row in rows[::7]:
        row |= {} if uniform else {"settings": {"a": row["name"]}}
    data, recorder = await writing.counted(TENANTS, rows=rows)
    assert data["insert_tenant"]["affected_rows"] == 300
    assert [row["slug"] for row in data["insert_tenant"]["returning"]] == [row["slug"] for row in rows]
    assert [text.split()[0] for text in recorder.sent] == ["BEGIN", "WITH", "COMMIT"]
    assert (await writing.sql("SELECT count(*) FROM tenant WHERE settings = '{}'"))[0][0] == (300 if uniform else 257)

    for row in rows:
        row["slug"] += "again"
    related = """slug flows { id } projects_aggregate { aggregate { count } }
        some: projects_aggregate(where: {name: {_eq: "x"}}) { aggregate { count } }"""
    data, recorder = await writing.counted(TENANTS.replace("slug", related), rows=rows)
    assert [row["slug"] for row in data["insert_tenant"]["returning"]] == [row["slug"] for row in rows]
    assert [text.split()[0] for text in recorder.sent] == ["BEGIN", "INSERT", "SELECT", "COMMIT"]


async def test_thousands_of_different_objects_are_inserted(writing: Writing) -> None:
    rows: list[dict[str, Any]] = [{"name": str(number), "slug": str(number)} for number in range(9000)]
    for row in rows[::2]:
        row["settings"] = {}
        row["info"] = None
    query = TENANTS
    data, recorder = await writing.counted(query, rows=rows)
    assert data["insert_tenant"]["affected_rows"] == 9000
    assert [row["slug"] for row in data["insert_tenant"]["returning"]] == [row["slug"] for row in rows]
    assert len(recorder.statements) == 3


async def test_nested_objects_come_in_the_order_that_keys_need(writing: Writing) -> None:
    query = f"""mutation {{
        insert_flow(objects: [{FLOW}]) {{
            affected_rows
            returning {{
                name
                project {{ name tenant {{ slug }} }}
                flow_group {{ name }}
                tasks(order_by: {{slug: asc}}) {{ slug name mapped flow {{ name }} }}
                tasks_aggregate {{ aggregate {{ count }} }}
            }}
        }}
    }}"""
    data, recorder = await writing.counted(query)
    assert data["insert_flow"] == {
        "affected_rows": 6,
        "returning": [
            {
                "name": "f",
                "project": {"name": "p", "tenant": {"slug": "t"}},
                "flow_group": {"name": "g"},
                "tasks": [
                    {"slug": "one", "name": "one", "mapped": False, "flow": {"name": "f"}},
                    {"slug": "two", "name": None, "mapped": True, "flow": {"name": "f"}},
                ],
                "tasks_aggregate": {"aggregate": {"count": 2}},
            }
        ],
    }
    assert [text.split('"')[3] for text in recorder.statements[:-1] if text.startswith("INSERT")] == [
        "tenant", "project", "flow_group", "flow",
    ]  # fmt: skip
    assert len(recorder.statements) == 6


async def test_statements_grow_with_levels_and_not_with_objects(writing: Writing) -> None:
    flows = [
        {
            "name": f"f{number}",
            "flow_group": {"data": {"name": f"g{number}"}},
            "tasks": {"data": [{"slug": f"{number}-{each}"} for each in range(number)]},
        }
        for number in range(20)
    ]
    projects = [{"name": f"p{part}", "flows": {"data": flows[part::4]}} for part in range(4)]
    query = """mutation ($t: tenant_insert_input!) { insert_tenant_one(object: $t) {
        projects(order_by: {name: asc}) { flows_aggregate { aggregate { count } } } } }"""
    data, recorder = await writing.counted(query, t={"name": "t", "slug": "t", "projects": {"data": projects}})
    assert [each["flows_aggregate"]["aggregate"]["count"] for each in data["insert_tenant_one"]["projects"]] == [5] * 4
    assert len(recorder.statements) == 6
    assert await writing.sql("SELECT count(*), count(DISTINCT flow_id) FROM task") == [(190, 19)]
    wrong = (
        "SELECT count(*) FROM task t JOIN flow f ON f.id = t.flow_id WHERE f.name <> 'f' || split_part(t.slug, '-', 1)"
    )
    assert await writing.sql(wrong) == [(0,)]
    grouped = "SELECT count(*) FROM flow f JOIN flow_group g ON g.id = f.flow_group_id"
    wrong = f"{grouped} WHERE substr(f.name, 2) <> substr(g.name, 2)"
    assert await writing.sql(wrong) == [(0,)]


async def test_nothing_nested_is_skipped(writing: Writing) -> None:
    query = """mutation ($none: flow_arr_rel_insert_input) {
        insert_tenant(objects: [
            {name: "a", slug: "a", projects: {data: []}}
            {name: "b", slug: "b", projects: null, flows: $none}
        ]) { affected_rows returning { projects { id } } }
    }"""
    for variables in ({}, {"none": None}):
        data = await writing.do(query, **variables)
        assert data == {"insert_tenant": {"affected_rows": 2, "returning": [{"projects": []}, {"projects": []}]}}
        await writing.do("mutation { delete_tenant(where: {}) { affected_rows } }")


# Upsert


async def test_a_conflict_is_ignored_without_columns_to_update(writing: Writing) -> None:
    query = """mutation {
        insert_tenant(
            objects: [{name: "A", slug: "a"}, {name: "B", slug: "b"}]
            on_conflict: {constraint: tenant_slug_key%s}
        ) { affected_rows returning { name } }
    }"""
    await writing.do('mutation { insert_tenant_one(object: {name: "old", slug: "a"}) { id } }')
    data = await writing.do(query % "")
    assert data == {"insert_tenant": {"affected_rows": 1, "returning": [{"name": "B"}]}}
    data = await writing.do(query % ", update_columns: []")
    assert data == {"insert_tenant": {"affected_rows": 0, "returning": []}}
    one = """mutation {
        insert_tenant_one(object: {name: "A", slug: "a"}, on_conflict: {constraint: tenant_slug_key}) { id %s}
    }"""
    assert await writing.do(one % "") == {"insert_tenant_one": None}
    assert await writing.do(one % "projects { id } ") == {"insert_tenant_one": None}


async def test_a_conflict_updates_the_columns_named_where_the_condition_holds(writing: Writing) -> None:
    query = """mutation ($where: tenant_bool_exp) {
        insert_tenant(
            objects: [{name: "A", slug: "a", settings: {n: 1}}, {name: "B", slug: "b"}]
            on_conflict: {constraint: tenant_slug_key, update_columns: [name], where: $where}
        ) { affected_rows returning { slug name settings projects { name } } }
    }"""
    await writing.do("""mutation {
        insert_tenant(objects: [{name: "x", slug: "a", projects: {data: {name: "p"}}}, {name: "y", slug: "b"}]) {
            affected_rows
        }
    }""")
    a = {"slug": "a", "name": "A", "settings": {}, "projects": [{"name": "p"}]}
    b = {"slug": "b", "name": "B", "settings": {}, "projects": []}
    data = await writing.do(query, where={"projects": {"name": {"_eq": "p"}}})
    assert data == {"insert_tenant": {"affected_rows": 1, "returning": [a]}}
    data = await writing.do(query, where=None)
    assert data == {"insert_tenant": {"affected_rows": 2, "returning": [a, b]}}
    data = await writing.do(query)
    assert data == {"insert_tenant": {"affected_rows": 2, "returning": [a, b]}}
    assert await writing.sql("SELECT slug, name FROM tenant ORDER BY slug") == [("a", "A"), ("b", "B")]


async def test_nested_upserts_find_what_is_there(writing: Writing) -> None:
    query = """mutation ($flows: [flow_insert_input!]!) {
        insert_flow(objects: $flows) {
            affected_rows returning { name project { name } tasks_aggregate { aggregate { count } } }
        }
    }"""
    tenant = {
        "data": {"name": "t", "slug": "t"},
        "on_conflict": {"constraint": "tenant_slug_key", "update_columns": ["slug"]},
    }
    project = {
        "data": {"name": "p", "tenant": tenant},
        "on_conflict": {"constraint": "project_tenant_id_name_key", "update_columns": ["name"]},
    }
    tasks = {"data": [{"slug": "x"}, {"slug": "x"}], "on_conflict": {"constraint": "task_flow_id_slug_key"}}
    flows = [
        {"name": name, "project": project, "flow_group": {"data": {"name": name}}, "tasks": tasks}
        for name in ("f", "g")
    ]
    data = await writing.do(query, flows=flows)
    shown = [{"name": n, "project": {"name": "p"}, "tasks_aggregate": {"aggregate": {"count": 1}}} for n in ("f", "g")]
    assert data["insert_flow"]["returning"] == shown
    assert data["insert_flow"]["affected_rows"] == 2 + 2 + 2 + 2 + 2
    for table in ("tenant", "project"):
        assert await writing.sql(f"SELECT count(*) FROM {table}") == [(1,)]


async def test_what_others_need_may_not_be_ignored(writing: Writing) -> None:
    await writing.do('mutation { insert_tenant_one(object: {name: "t", slug: "t"}) { id } }')
    tenant = '{data: {name: "t", slug: "t"}, on_conflict: {constraint: tenant_slug_key}}'
    refused = await writing.refused(
        f'mutation {{ insert_project(objects: {{name: "p", tenant: {tenant}}}) {{ affected_rows }} }}'
    )
    assert refused == (
        "not-supported",
        "$.selectionSet.insert_project.args.objects",
        'cannot proceed to insert object relation "tenant" since insert to table "tenant" affects zero rows',
    )
    rows = '[{name: "new", slug: "new"}, {name: "t", slug: "t", projects: {data: {name: "p"}}}]'
    query = """mutation {
        insert_tenant(objects: ROWS, on_conflict: {constraint: tenant_slug_key}) { affected_rows returning { slug } }
    }"""
    refused = await writing.refused(query.replace("ROWS", rows))
    assert refused[2] == 'cannot proceed to insert array relations since insert to table "tenant" affects zero rows'
    assert await writing.sql("SELECT slug FROM tenant") == [("t",)]
    rows = '[{name: "t", slug: "t"}, {name: "new", slug: "new", projects: {data: {name: "p"}}}]'
    data = await writing.do(query.replace("ROWS", rows))
    assert data == {"insert_tenant": {"affected_rows": 2, "returning": [{"slug": "new"}]}}


async def test_one_row_twice_in_an_upsert_is_the_client_s_mistake(writing: Writing) -> None:
    code, path, _ = await writing.refused("""mutation {
        insert_tenant(
            objects: [{name: "a", slug: "a"}, {name: "b", slug: "a"}]
            on_conflict: {constraint: tenant_slug_key, update_columns: name}
        ) { affected_rows }
    }""")
    assert (code, path) == ("constraint-error", "$.selectionSet.insert_tenant.args.objects")
