"""Random mutations, compared with a plain Python evaluation over the same rows."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.service.data.writing import Writing, writing_on
from tests.support.cluster import connected

SCHEMA = """
CREATE TABLE thing (
    id serial PRIMARY KEY,
    key text UNIQUE,
    n integer DEFAULT 7,
    label text,
    doc jsonb DEFAULT '{"d": 1}',
    parent integer REFERENCES thing (id) ON DELETE CASCADE
);
"""
METADATA = """
tables:
- table: thing
  object_relationships:
  - {name: up, using: {foreign_key_constraint_on: parent}}
  array_relationships:
  - {name: down, using: {foreign_key_constraint_on: {table: thing, column: parent}}}
"""
SHOWN = "key n label doc"
DEFAULTS: dict[str, Any] = {"key": None, "n": 7, "label": None, "doc": {"d": 1}}

texts = st.one_of(st.sampled_from(["a", "b", "'", '"', "\\", "{}", "NULL", "é", ""]), st.text(max_size=5)).filter(
    lambda text: "\0" not in text and text.isprintable()
)
documents = st.recursive(
    st.one_of(st.booleans(), st.integers(-5, 5), texts), lambda inner: st.dictionaries(texts, inner, max_size=3)
)
objects = st.fixed_dictionaries(
    {},
    optional={
        "n": st.none() | st.integers(-100, 100),
        "label": st.none() | texts,
        "doc": st.none() | st.dictionaries(texts, documents, max_size=3),
    },
)


@dataclass(frozen=True)
class Op:
    """A mutation of random kind; `labels` choose the rows of an update or delete."""

    kind: str
    rows: list[dict[str, Any]]
    labels: list[str]
    change: dict[str, Any]


operations = st.builds(
    Op,
    st.sampled_from(["insert", "insert", "nest", "upsert", "update", "inc", "append", "delete"]),
    st.lists(objects, max_size=5),
    st.lists(texts, max_size=3),
    objects,
)


@pytest.fixture
async def things(empty_database_url: str, tmp_path: Any) -> AsyncIterator[Writing]:
    """The data API over things."""
    async with connected(empty_database_url) as connection:
        await connection.execute(SCHEMA)
    (tmp_path / "metadata.yaml").write_text(METADATA)
    async with writing_on(empty_database_url, tmp_path / "metadata.yaml", pool_size=1) as started:
        yield started


@seed(1)
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(operations, min_size=1, max_size=6))
async def test_rows_are_what_a_plain_evaluation_says(things: Writing, sequence: list[Op]) -> None:
    await things.do("mutation { delete_thing(where: {}) { affected_rows } }")
    model: list[dict[str, Any]] = []
    for number, op in enumerate(sequence):
        await _applied(things, model, op, number)
        found = await things.do(f"{{ thing(order_by: {{id: asc}}) {{ {SHOWN} }} }}")
        assert found["thing"] == model


async def _applied(things: Writing, model: list[dict[str, Any]], op: Op, number: int) -> None:
    """Do it to both, and compare what is answered."""
    rows = [{**row, "key": f"{number}.{index}"} for index, row in enumerate(op.rows)]
    made = [{**DEFAULTS, **row} for row in rows]
    chosen = [row for row in model if row["label"] in op.labels]
    where = {"where": {"label": {"_in": op.labels}}}
    declared, argument = "$where: thing_bool_exp!", "where: $where"
    match op.kind:
        case "insert":
            answer = await things.do(
                f"mutation ($rows: [thing_insert_input!]!) {{ done: insert_thing(objects: $rows) {{ {_RESPONSE} }} }}",
                rows=rows,
            )
            model += made
            assert answer["done"] == {"affected_rows": len(made), "returning": made}
        case "nest":
            parent: dict[str, Any] = {**op.change, "key": f"{number}.up"}
            answer = await things.do(
                f"""mutation ($row: thing_insert_input!) {{
                    done: insert_thing_one(object: $row) {{ {SHOWN} down(order_by: {{id: asc}}) {{ {SHOWN} }} }}
                }}""",
                row={**parent, "down": {"data": rows}},
            )
            model += [{**DEFAULTS, **parent}, *made]
            assert answer["done"] == {**DEFAULTS, **parent, "down": made}
        case "upsert":
            again = [{**row, "key": old["key"]} for row, old in zip(op.rows, model, strict=False)] + rows
            answer = await things.do(
                f"""mutation ($rows: [thing_insert_input!]!) {{ done: insert_thing(
                    objects: $rows, on_conflict: {{constraint: thing_key_key, update_columns: [n, label]}}
                ) {{ {_RESPONSE} }} }}""",
                rows=again,
            )
            for row, old in zip(op.rows, model, strict=False):
                old.update({name: {**DEFAULTS, **row}[name] for name in ("n", "label")})
            expected = [*model[: len(again) - len(rows)], *made]
            model += made
            assert answer["done"] == {"affected_rows": len(expected), "returning": expected}
        case "update" | "inc" | "append":
            if op.kind == "update":
                operator, type, change = "_set", "set", dict(op.change)
            elif op.kind == "inc":
                operator, type, change = "_inc", "inc", {"n": number}
            else:
                operator, type, change = "_append", "append", {"doc": op.change.get("doc") or {}}
            answer = await things.do(
                f"""mutation ({declared}, $change: thing_{type}_input) {{
                    done: update_thing({argument}, {operator}: $change) {{ {_RESPONSE} }}
                }}""",
                change=change,
                **where,
            )
            for row in chosen if change else []:
                row.update({name: _changed(row[name], operator, value) for name, value in change.items()})
            _assert_same(answer["done"], chosen if change else [])
        case "delete":
            answer = await things.do(
                f"mutation ({declared}) {{ done: delete_thing({argument}) {{ {_RESPONSE} }} }}", **where
            )
            _assert_same(answer["done"], chosen, at_most=True)
            kept = await things.do(f"{{ thing(order_by: {{id: asc}}) {{ {SHOWN} }} }}")
            orphans = [row for row in model if row not in chosen and row not in kept["thing"]]
            assert all(row["key"].split(".")[0] in {each["key"].split(".")[0] for each in chosen} for row in orphans)
            model[:] = [row for row in model if row not in chosen and row not in orphans]


_RESPONSE = f"affected_rows returning {{ {SHOWN} }}"


def _changed(old: Any, operator: str, value: Any) -> Any:
    if operator == "_set":
        return value
    if old is None:
        return None
    return old + value if operator == "_inc" else {**old, **value}


def _assert_same(answer: Any, expected: list[dict[str, Any]], *, at_most: bool = False) -> None:
    """Compare rows whose order is not promised; rows that a cascade takes first are not counted."""
    by_key = sorted(answer["returning"], key=lambda row: str(row["key"]))
    wanted = sorted(expected, key=lambda row: str(row["key"]))
    assert answer["affected_rows"] == len(by_key)
    if at_most:
        assert [row for row in by_key if row not in wanted] == []
    else:
        assert by_key == wanted
