"""Mutations on the server's own tables: updates, deletes, what is read back, errors (data-api.md §2.4, §2.6)."""

import json
from typing import Any

import pytest

from server_core.wire import GraphQLRequest
from services.data.app import METADATA, DataService
from tests.service.data.writing import Writing
from tests.support.settings import server_settings

NOBODY = "00000000-0000-4000-8000-00000000dead"
# Whether at all


async def test_mutations_are_off_unless_settings_say_otherwise(database_url: str) -> None:
    service = DataService(server_settings(), database_url, METADATA)
    await service.start()
    shown = await service.execute(GraphQLRequest(query="{ __schema { mutationType { name } } }"))
    assert json.loads(shown.body) == {"data": {"__schema": {"mutationType": None}}}
    refused = await service.execute(GraphQLRequest(query="mutation { delete_log(where: {}) { affected_rows } }"))
    assert refused.status == 400
    assert json.loads(refused.body) == {
        "errors": [{"extensions": {"path": "$", "code": "validation-failed"}, "message": "no mutations exist"}]
    }
    await service.stop()


async def test_mutations_are_shown_when_they_are_served(writing: Writing) -> None:
    answer = await writing.do("{ __schema { mutationType { name fields { name } } } }")
    root = answer["__schema"]["mutationType"]
    assert root["name"] == "mutation_root"
    assert len(root["fields"]) == 98
    assert await writing.do("mutation { __typename a: __typename }") == {
        "__typename": "mutation_root",
        "a": "mutation_root",
    }


async def test_queries_still_cannot_write_and_need_no_connection_that_may(writing: Writing) -> None:
    assert await writing.do("{ tenant { id } }") == {"tenant": []}
    assert writing.pool.get_size() == 0
    [[setting]] = await writing.service.postgres.run("SELECT current_setting('default_transaction_read_only')")
    assert setting == "on"


# Update


async def test_every_operator_of_an_update(writing: Writing) -> None:
    flow_id = await writing.flow()
    before = """mutation ($id: uuid!) { update_flow_by_pk(pk_columns: {id: $id}, _set: {
        environment: {a: 1, b: {c: 2, d: 3}}, parameters: [1, 2, 3], settings: {x: 1}, run_config: {k: 1, l: 2}
        storage: ["a"], version: 5
    }) { id } }"""
    await writing.do(before, id=flow_id)
    query = """mutation ($id: uuid, $v: jsonb, $path: [String!]) {
        update_flow(
            where: {id: {_eq: $id}}
            _set: {name: "g", description: null, archived: true}
            _inc: {version: -7}
            _append: {settings: $v}
            _prepend: {storage: ["b"]}
            _delete_key: {run_config: "k"}
            _delete_elem: {parameters: -1}
            _delete_at_path: {environment: $path}
        ) {
            affected_rows
            returning { name description archived version settings storage run_config parameters environment }
        }
    }"""
    data, recorder = await writing.counted(query, id=flow_id, v={"y": None}, path=["b", "c"])
    assert data["update_flow"] == {
        "affected_rows": 1,
        "returning": [
            {
                "name": "g",
                "description": None,
                "archived": True,
                "version": -2,
                "settings": {"x": 1, "y": None},
                "storage": ["b", "a"],
                "run_config": {"l": 2},
                "parameters": [1, 2],
                "environment": {"a": 1, "b": {"d": 3}},
            }
        ],
    }
    assert len(recorder.statements) == 1


async def test_null_documents_stay_null(writing: Writing) -> None:
    flow_id = await writing.flow()
    for operator in (
        "_set: {run_config: null}",
        "_append: {run_config: {a: 1}}",
        "_prepend: {run_config: {a: 1}}",
        '_delete_key: {run_config: "a"}',
        "_delete_elem: {run_config: 0}",
        '_delete_at_path: {run_config: ["a"]}',
    ):
        data = await writing.do(
            f'mutation {{ update_flow_by_pk(pk_columns: {{id: "{flow_id}"}}, {operator}) {{ run_config }} }}'
        )
        assert data == {"update_flow_by_pk": {"run_config": None}}


async def test_an_update_that_sets_nothing_does_nothing(writing: Writing) -> None:
    flow_id = await writing.flow()
    [[updated]] = await writing.sql("SELECT updated FROM flow")
    query = """mutation ($id: uuid!, $set: flow_set_input) {
        update_flow(where: {}, _set: $set, _inc: {}) { affected_rows returning { id } }
        update_flow_by_pk(pk_columns: {id: $id}, _set: {}) { id }
    }"""
    data, recorder = await writing.counted(query, id=flow_id, set={})
    assert data == {"update_flow": {"affected_rows": 0, "returning": []}, "update_flow_by_pk": None}
    assert recorder.sent == []
    assert await writing.sql("SELECT updated FROM flow") == [(updated,)]


async def test_what_no_row_has_is_null_or_nothing(writing: Writing) -> None:
    query = """mutation ($id: uuid!) {
        a: update_flow_by_pk(pk_columns: {id: $id}, _set: {name: "x"}) { id }
        b: update_flow_by_pk(pk_columns: {id: $id}, _set: {name: "x"}) { id project { id } }
        c: delete_flow_by_pk(id: $id) { id }
        d: delete_flow_by_pk(id: $id) { id tasks { id } }
        e: update_flow(where: {id: {_eq: $id}}, _set: {name: "x"}) { affected_rows returning { id } }
        f: delete_flow(where: {id: {_eq: $id}}) { affected_rows returning { id project { id } } }
    }"""
    nothing = {"affected_rows": 0, "returning": []}
    assert await writing.do(query, id=NOBODY) == {
        "a": None, "b": None, "c": None, "d": None, "e": nothing, "f": nothing,
    }  # fmt: skip


async def test_an_empty_filter_is_every_row(writing: Writing) -> None:
    await writing.do(
        'mutation { insert_tenant(objects: [{name: "a", slug: "a"}, {name: "b", slug: "b"}]) { affected_rows } }'
    )
    data = await writing.do(
        'mutation { update_tenant(where: {}, _set: {name: "z"}) { affected_rows returning { name } } }'
    )
    assert data == {"update_tenant": {"affected_rows": 2, "returning": [{"name": "z"}, {"name": "z"}]}}
    data = await writing.do("mutation { delete_tenant(where: {_and: []}) { affected_rows } }")
    assert data == {"delete_tenant": {"affected_rows": 2}}


@pytest.mark.parametrize(
    ("where", "variables"),
    [
        ("{slug: {_eq: null}}", {}),
        ("{slug: {_eq: $v}}", {}),
        ("{slug: {_eq: $v}}", {"v": None}),
        ('{_or: [{slug: {_eq: "x"}}, {_not: {projects: {name: {_eq: $v}}}}]}', {}),
    ],
)
async def test_a_filter_with_an_open_value_changes_nothing(
    writing: Writing, where: str, variables: dict[str, Any]
) -> None:
    await writing.do('mutation { insert_tenant_one(object: {name: "t", slug: "t"}) { id } }')
    declared = "($v: String) " if "$v" in where else ""
    for field in (f"delete_tenant(where: {where})", f'update_tenant(where: {where}, _set: {{name: "x"}})'):
        code, path, _ = await writing.refused(f"mutation {declared}{{ {field} {{ affected_rows }} }}", **variables)
        assert code == "validation-failed"
        assert path.endswith("._eq")
    assert await writing.sql("SELECT name FROM tenant") == [("t",)]


# Delete, and what is read after a write


async def test_deleted_rows_are_shown_as_they_were_and_their_relations_as_they_are(writing: Writing) -> None:
    await writing.flow()
    query = """mutation {
        delete_project(where: {}) {
            affected_rows
            returning {
                name created tenant { slug projects { name } } flows { name } flows_aggregate { aggregate { count } }
            }
        }
    }"""
    data, recorder = await writing.counted(query)
    [row] = data["delete_project"]["returning"]
    assert row.pop("created").endswith("+00:00")
    assert row == {
        "name": "p",
        "tenant": {"slug": "t", "projects": []},
        "flows": [],
        "flows_aggregate": {"aggregate": {"count": 0}},
    }
    assert data["delete_project"]["affected_rows"] == 1
    assert len(recorder.statements) == 2
    assert await writing.sql("SELECT count(*) FROM task") == [(0,)]


async def test_rows_without_a_key_are_written_too(writing: Writing) -> None:
    _, run_id = await writing.run()
    query = """mutation ($rows: [log_insert_input!]!) {
        insert_log(objects: $rows) { affected_rows returning { message info level } }
        one: insert_log_one(object: {message: "last"}) { message timestamp }
        update_log(where: {message: {_eq: "b"}}, _set: {level: "DEBUG"}, _append: {info: {x: 2}}) {
            returning { level info }
        }
        delete_log(where: {message: {_neq: "last"}}) { affected_rows }
    }"""
    rows = [{"message": "a", "flow_run_id": run_id}, {"message": "b", "info": {"y": 1}}]
    data = await writing.do(query, rows=rows)
    assert [row["message"] for row in data["insert_log"]["returning"]] == ["a", "b"]
    assert data["one"]["message"] == "last"
    assert data["update_log"]["returning"] == [{"level": "DEBUG", "info": {"x": 2, "y": 1}}]
    assert data["delete_log"] == {"affected_rows": 2}
    nested = """mutation ($id: uuid!) {
        insert_utility_traversal_one(object: {depth: 1, task_id: $id}) { depth task { slug } }
    }"""
    [[task_id]] = await writing.sql("SELECT id::text FROM task WHERE slug = 'one'")
    assert await writing.do(nested, id=task_id) == {
        "insert_utility_traversal_one": {"depth": 1, "task": {"slug": "one"}}
    }


async def test_the_work_of_triggers_is_seen(writing: Writing) -> None:
    flow_id, run_id = await writing.run()
    query = """mutation ($id: uuid!) {
        insert_flow_run_state_one(object: {
            flow_run_id: $id, state: "Running", timestamp: "2020-01-01T00:00:00+00:00", version: 1
            serialized_state: {type: "Running"}
        }) { state version flow_run { state version start_time serialized_state } }
    }"""
    assert await writing.do(query, id=run_id) == {
        "insert_flow_run_state_one": {
            "state": "Running",
            "version": 1,
            "flow_run": {
                "state": "Running",
                "version": 1,
                "start_time": "2020-01-01T00:00:00+00:00",
                "serialized_state": {"type": "Running"},
            },
        }
    }
    query = """mutation ($id: uuid!) {
        insert_flow_run(objects: {
            flow_id: $id, name: "r", states: {data: [{state: "Scheduled", serialized_state: {}, version: 1}]}
        }) { affected_rows returning { name state version task_runs { state task { slug } } } }
    }"""
    data = await writing.do(query, id=flow_id)
    assert data["insert_flow_run"]["affected_rows"] == 2
    [row] = data["insert_flow_run"]["returning"]
    assert (row["name"], row["state"], row["version"]) == ("r", "Scheduled", 1)
    assert {each["state"] for each in row["task_runs"]} == {"Pending"}
    assert {each["task"]["slug"] for each in row["task_runs"]} <= {"one", "two"}
    assert row["task_runs"]


async def test_a_row_is_read_again_only_if_that_can_matter(writing: Writing) -> None:
    flow_id, _ = await writing.run()
    [[updated]] = await writing.sql("SELECT updated FROM flow")
    for query, count in (
        ('update_flow_by_pk(pk_columns: {id: "ID"}, _set: {name: "x"}) { id updated }', 1),
        ('update_flow_by_pk(pk_columns: {id: "ID"}, _set: {name: "x"}) { id updated project { id } }', 2),
        ('update_flow(where: {}, _set: {name: "x"}) { affected_rows }', 1),
        ('insert_flow_run(objects: {flow_id: "ID"}) { affected_rows }', 1),
        ('insert_flow_run(objects: {flow_id: "ID"}) { returning { state } }', 2),
        ('insert_flow_run(objects: {flow_id: "ID"}) { returning { state task_runs { id } } }', 2),
        ('insert_task(objects: {flow_id: "ID", slug: "z"}) { returning { id slug } }', 1),
    ):
        data, recorder = await writing.counted(f"mutation {{ {query.replace('ID', flow_id)} }}")
        assert len(recorder.statements) == count, query
        if "updated" in query:
            assert data["update_flow_by_pk"]["updated"] > updated.isoformat()


async def test_several_lists_and_aliases_of_one_write(writing: Writing) -> None:
    query = """mutation {
        t: insert_tenant(objects: [{name: "a", slug: "a", settings: {k: [1]}}]) {
            n: affected_rows m: affected_rows kind: __typename
            names: returning { name k: settings(path: "k[0]") }
            ...more
        }
    }
    fragment more on tenant_mutation_response { returning { __typename again: slug projects { __typename } } }"""
    assert await writing.do(query) == {
        "t": {
            "n": 1,
            "m": 1,
            "kind": "tenant_mutation_response",
            "names": [{"name": "a", "k": 1}],
            "returning": [{"__typename": "tenant", "again": "a", "projects": []}],
        }
    }


# All or nothing


async def test_fields_run_in_order_and_see_each_other(writing: Writing) -> None:
    query = """mutation {
        a: insert_tenant_one(object: {name: "a", slug: "a"}) { name }
        b: update_tenant(where: {slug: {_eq: "a"}}, _set: {name: "b"}) { returning { name } }
        c: insert_project_one(object: {name: "p", tenant: {data: {name: "c", slug: "c"}}}) { tenant { name } }
        d: delete_tenant(where: {slug: {_in: ["a", "c"]}}) { affected_rows }
    }"""
    data, recorder = await writing.counted(query)
    assert data == {
        "a": {"name": "a"},
        "b": {"returning": [{"name": "b"}]},
        "c": {"tenant": {"name": "c"}},
        "d": {"affected_rows": 2},
    }
    assert [text.split()[0] for text in recorder.sent if text.split()[0] in ("BEGIN", "COMMIT")] == ["BEGIN", "COMMIT"]


async def test_a_later_failure_undoes_everything(writing: Writing) -> None:
    await writing.do('mutation { insert_tenant_one(object: {name: "t", slug: "t"}) { id } }')
    for last in (
        'c: insert_tenant_one(object: {name: "x", slug: "t"}) { id }',
        'c: insert_project_one(object: {name: "p", tenant_id: "nope"}) { id }',
        """c: insert_project_one(object: {
            name: "p", tenant: {data: {name: "t", slug: "t"}, on_conflict: {constraint: tenant_slug_key}}
        }) { id }""",
        'c: update_tenant(where: {}, _set: {slug: "same"}) { affected_rows }',
        'c: update_tenant(where: {name: {_regex: "("}}, _set: {name: "x"}) { affected_rows }',
        "c: delete_tenant(where: {}) { returning { projects(limit: -1) { id } } }",
    ):
        code, *_ = await writing.refused(f"""mutation {{
            a: insert_tenant_one(object: {{name: "a", slug: "a"}}) {{ id }}
            b: update_tenant(where: {{}}, _set: {{name: "b"}}) {{ affected_rows }}
            {last}
        }}""")
        assert code in ("constraint-violation", "data-exception", "not-supported", "validation-failed")
        assert await writing.sql("SELECT name, slug FROM tenant") == [("t", "t")]


@pytest.mark.parametrize(
    ("query", "code", "path", "message"),
    [
        (
            'insert_tenant(objects: {name: "x", slug: "t"}) { affected_rows }',
            "constraint-violation",
            "$.selectionSet.insert_tenant.args.objects",
            'Uniqueness violation. duplicate key value violates unique constraint "tenant_slug_key"',
        ),
        (
            'x: insert_tenant_one(object: {name: "x", slug: "t"}) { id }',
            "constraint-violation",
            "$.selectionSet.x.args.object",
            "Uniqueness violation.",
        ),
        (
            f'insert_project_one(object: {{name: "x", tenant_id: "{NOBODY}"}}) {{ id }}',
            "constraint-violation",
            "$.selectionSet.insert_project_one.args.object",
            'Foreign key violation. insert or update on table "project" violates foreign key constraint',
        ),
        (
            "update_tenant(where: {}, _set: {name: null}) { affected_rows }",
            "constraint-violation",
            "$",
            'Not-NULL violation. null value in column "name" ',
        ),
        (
            'insert_project(objects: {tenant_id: "x"}) { affected_rows }',
            "data-exception",
            "$.selectionSet.insert_project.args.objects",
            "uuid",
        ),
        ('update_tenant(where: {}, _set: {created: "never"}) { affected_rows }', "data-exception", "$", "never"),
        ("update_tenant(where: {}, _delete_elem: {settings: 1}) { affected_rows }", "data-exception", "$", "integer"),
        ('delete_tenant_by_pk(id: "x") { id }', "data-exception", "$", "uuid"),
    ],
)  # fmt: skip
async def test_errors(writing: Writing, query: str, code: str, path: str, message: str) -> None:
    await writing.do('mutation { insert_tenant_one(object: {name: "t", slug: "t"}) { id } }')
    refused = await writing.refused(f"mutation {{ {query} }}")
    assert refused[:2] == (code, path)
    assert message in refused[2]
    assert await writing.sql("SELECT name, slug FROM tenant") == [("t", "t")]


async def test_what_cannot_be_sent_is_refused_before_anything_is_written(writing: Writing) -> None:
    query = "mutation ($n: String!) { insert_tenant_one(object: {name: $n, slug: $n}) { id } }"
    code, path, _ = await writing.refused(query, n="\ud800")
    assert (code, path) == ("data-exception", "$.selectionSet.insert_tenant_one.args.object")
    code, path, _ = await writing.refused(query, n="a\0b")
    assert (code, path) == ("data-exception", "$.selectionSet.insert_tenant_one.args.object")
    query = """mutation ($w: tenant_bool_exp!) {
        insert_tenant_one(object: {name: "a", slug: "a"}) { id }
        delete_tenant(where: $w) { affected_rows }
    }"""
    many = {"_or": [{"name": {"_eq": str(number)}} for number in range(33_000)]}
    code, _, message = await writing.refused(query, w=many)
    assert (code, message) == ("validation-failed", "the query holds more than 32767 values")
    assert await writing.sql("SELECT count(*) FROM tenant") == [(0,)]


HOSTILE = [
    "'; DROP TABLE tenant; --",
    '"; DROP TABLE tenant; --',
    "$1 {0} %s :x",
    "\\'; SELECT 1; --",
    "{a,b}",
    '("a",,"b")',
    '{"a": 1}',
    "NULL",
    "DEFAULT",
    "é ☃ 𝄞",
    "",
    "a\nb\t\\n",
]


async def test_hostile_text_is_only_text(writing: Writing) -> None:
    variable = """mutation ($v: String!, $row: tenant_insert_input!, $doc: jsonb) {
        a: insert_tenant_one(object: $row) { name slug settings projects { name } }
        b: insert_tenant_one(object: {name: $v, slug: "other", settings: {v: [$v]}, projects: {data: {name: $v}}}) {
            name settings projects { name }
        }
        c: update_tenant(where: {name: {_eq: $v}, slug: {_neq: "other"}}, _set: {name: $v}, _append: {settings: $doc}) {
            returning { name settings }
        }
        d: update_tenant(where: {slug: {_in: [$v]}}, _delete_key: {settings: $v}) { returning { name settings } }
        e: insert_tenant(
            objects: [{name: "x", slug: $v}, {name: "y", slug: $v, info: $doc}]
            on_conflict: {constraint: tenant_slug_key, where: {name: {_eq: $v}}}
        ) { affected_rows }
        f: delete_tenant(where: {name: {_eq: $v}}) { returning { name projects { name } } }
    }"""
    for text in HOSTILE:
        doc = {text: text}
        data = await writing.do(variable, v=text, row={"name": text, "slug": text, "settings": {"v": text}}, doc=doc)
        assert data["a"] == {"name": text, "slug": text, "settings": {"v": text}, "projects": []}
        assert data["b"] == {"name": text, "settings": {"v": [text]}, "projects": [{"name": text}]}
        assert data["c"]["returning"] == [{"name": text, "settings": {"v": text, **doc}}]
        assert data["d"]["returning"] == [{"name": text, "settings": {"v": text}}]
        assert data["e"] == {"affected_rows": 0}
        assert data["f"]["returning"] == [{"name": text, "projects": []}] * 2
        written = json.dumps(text, ensure_ascii=False)
        data = await writing.do(f"""mutation {{
            a: insert_tenant(
                objects: [{{name: {written}, slug: {written}}}, {{name: {written}, slug: "b", settings: {written}}}]
            ) {{ returning {{ name settings }} }}
            b: delete_tenant(where: {{name: {{_eq: {written}}}}}) {{ affected_rows }}
        }}""")
        assert data["a"]["returning"] == [{"name": text, "settings": {}}, {"name": text, "settings": text}]
        assert data["b"] == {"affected_rows": 2}
    assert await writing.sql("SELECT count(*) FROM tenant") == [(0,)]
