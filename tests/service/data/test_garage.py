"""Mutations on a database that has nothing to do with Prefect, from its own metadata."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from graphql import print_type

from services.data.catalog.introspect import INTROSPECTION, read_catalog
from services.data.catalog.metadata import load_metadata
from services.data.catalog.tracked import track
from services.data.schema.build import build_schema
from tests.service.data.writing import Writing, writing_on
from tests.support.cluster import connected, run_script

GARAGE = Path(__file__).with_name("garage")


@pytest.fixture
async def garage(empty_database_url: str) -> AsyncIterator[Writing]:
    """The data API with mutations over garage.sql."""
    async with connected(empty_database_url) as connection:
        await run_script(connection, GARAGE / "garage.sql")
    async with writing_on(empty_database_url, GARAGE / "metadata.yaml", pool_size=2) as started:
        yield started


async def test_only_what_postgres_accepts_is_offered(garage: Writing, generated: bool) -> None:
    async with connected(garage.dsn) as connection:
        catalog = read_catalog(await connection.fetchval(INTROSPECTION))
    types = build_schema(track(catalog, load_metadata(GARAGE / "metadata.yaml")), mutations=True).graphql.type_map

    def lines(name: str) -> list[str]:
        return [line.strip() for line in print_type(types[name]).splitlines()[1:-1]]

    assert lines("user_insert_input") == [
        "age: smallint", "balance: numeric", "born: date", "cars: car_arr_rel_insert_input", "email: String",
        "extra: jsonb", "likes: colour", "notes: json", "numbers: _int4", "order: Int",
        "passport: passport_obj_rel_insert_input", "photo: bytea", "rating: float8",
        *([] if generated else ["shouted: String"]), "tags: _text",
    ]  # fmt: skip
    assert lines("user_inc_input") == ["age: smallint", "balance: numeric", "order: Int", "rating: float8"]
    assert lines("user_append_input") == ["extra: jsonb"]
    assert lines("user_constraint") == ["user_email", "user_pkey"]
    assert "id" not in lines("user_update_column")
    assert lines("car_pk_columns_input") == ["country: bpchar!", "plate: String!"]
    assert lines("car_constraint") == ["car_pkey"]
    assert "seats: Int" in lines("car_insert_input")
    assert lines("adult_insert_input") == [
        "age: smallint",
        "cars: car_arr_rel_insert_input",
        "email: String",
        "id: bigint",
    ]
    assert lines("mailbox_insert_input") == ["email: String", "people: bigint"]
    offered = {line.split("(")[0] for line in lines("mutation_root")}
    for name in ("ages", "emails", "computed"):
        assert not {each for each in offered if each.startswith((f"insert_{name}", f"update_{name}"))}
    assert {each for each in offered if each.endswith(("_adult", "_adult_one", "_adult_by_pk"))} == {
        "insert_adult", "insert_adult_one", "update_adult", "delete_adult",
    }  # fmt: skip
    assert {each for each in offered if "mailbox" in each} == {"insert_mailbox", "insert_mailbox_one"}
    assert {each for each in offered if "computed" in each} == {"delete_computed", "delete_computed_by_pk"}
    assert "on_conflict" not in print_type(types["mutation_root"]).split("insert_adult(")[1].split(")")[0]


async def test_values_of_every_type_go_in_and_out(garage: Writing, generated: bool) -> None:
    query = """mutation ($one: user_insert_input!, $many: [user_insert_input!]!) {
        insert_user_one(object: $one) { ...all }
        insert_user(objects: $many) { returning { ...all } }
        update_user(where: {email: {_eq: "a"}}, _set: $set, _inc: {balance: "0.0001", age: 1, rating: -0.5}) {
            returning { ...all }
        }
    }
    fragment all on user { order age balance rating tags numbers likes born photo notes extra shouted email }"""
    query = query.replace("$many: [user", "$set: user_set_input, $many: [user")
    one = {
        "order": 7,
        "age": 3,
        "balance": "1234567890123456.0001",
        "rating": 1.5,
        "tags": ["a,b", 'c"d', None, "NULL", "{}", "\\", ""],
        "numbers": [1, 2],
        "likes": "deep blue",
        "born": "2020-02-29",
        "photo": "\\x00ff",
        "notes": {"b": 1, "a": [None]},
        "extra": "text",
        "email": "a",
    }
    bare = {"email": "b", "tags": "{}", "notes": None}
    plain = {"email": "c", "tags": [], "notes": []}
    data = await garage.do(query, one=one, many=[bare, plain], set={"tags": None, "likes": "red", "numbers": "{3}"})
    # What is not generated stays empty (run_script).
    shouted = dict.fromkeys("abc") if not generated else {"a": "A", "b": "B", "c": "C"}
    stored = {**one, "balance": 1234567890123456.0001, "shouted": shouted["a"]}
    assert data["insert_user_one"] == stored
    empty = dict.fromkeys(("age", "rating", "likes", "born", "photo", "extra"))
    orders = [row.pop("order") for row in data["insert_user"]["returning"]]
    assert orders == sorted(orders)
    assert data["insert_user"]["returning"] == [
        {**empty, "balance": 0, "tags": [], "numbers": [], "notes": None, "email": "b", "shouted": shouted["b"]},
        {**empty, "balance": 0, "tags": [], "numbers": [], "notes": [], "email": "c", "shouted": shouted["c"]},
    ]
    [row] = data["update_user"]["returning"]
    assert (row["tags"], row["likes"], row["numbers"], row["age"], row["rating"]) == (None, "red", [3], 4, 1.0)
    assert await garage.sql("SELECT balance::text FROM \"user\" WHERE email = 'a'") == [("1234567890123456.0002",)]


async def test_composite_keys_nest_and_are_found_again(garage: Writing) -> None:
    query = """mutation {
        insert_user_one(object: {
            email: "a"
            passport: {data: {number: "1"}}
            cars: {data: [
                {plate: "X 1", parts: {data: [{no: 1, holds: {data: [{no: 2}, {no: 3, holds: {data: {no: 4}}}]}}]}}
                {country: "FR", plate: "X 1"}
            ]}
        }) {
            email
            passport { number holder { email } }
            cars(order_by: {country: asc}) {
                country plate keeper { email } parts { no holds(order_by: {no: asc}) { no whole { no } holds { no } } }
            }
        }
        insert_Parts_Part_one(object: {no: 9, car: {data: {country: "IT", plate: "Y", keeper: {data: {email: "b"}}}}}) {
            country plate car { keeper { email cars { plate } } }
        }
        update_car_by_pk(pk_columns: {country: "IT", plate: "Y"}, _set: {country: "ES"}) {
            country parts { no country } keeper { email }
        }
        gone: update_car_by_pk(pk_columns: {country: "IT", plate: "Y"}, _set: {country: "ES"}) { country }
        delete_car_by_pk(country: "FR", plate: "X 1") { plate keeper { email cars { country } } }
    }"""
    data = await garage.do(query)
    assert data == {
        "insert_user_one": {
            "email": "a",
            "passport": {"number": "N1", "holder": {"email": "a"}},
            "cars": [
                {
                    "country": "DE",
                    "plate": "X 1",
                    "keeper": {"email": "a"},
                    "parts": [
                        {
                            "no": 1,
                            "holds": [
                                {"no": 2, "whole": {"no": 1}, "holds": []},
                                {"no": 3, "whole": {"no": 1}, "holds": [{"no": 4}]},
                            ],
                        }
                    ],
                },
                {"country": "FR", "plate": "X 1", "keeper": {"email": "a"}, "parts": []},
            ],
        },
        "insert_Parts_Part_one": {
            "country": "IT",
            "plate": "Y",
            "car": {"keeper": {"email": "b", "cars": [{"plate": "Y"}]}},
        },
        "update_car_by_pk": {"country": "ES", "parts": [{"no": 9, "country": "ES"}], "keeper": {"email": "b"}},
        "gone": None,
        "delete_car_by_pk": {"plate": "X 1", "keeper": {"email": "a", "cars": [{"country": "DE"}]}},
    }


async def test_rows_may_refer_to_each_other_in_one_insert(garage: Writing) -> None:
    for rows in ("[{no: 1, inside: 2}, {no: 2, inside: 1}]", "[{no: 3, inside: 4}, {no: 4}]"):
        data = await garage.do(f"mutation {{ insert_Parts_Part(objects: {rows}) {{ affected_rows }} }}")
        assert data == {"insert_Parts_Part": {"affected_rows": 2}}


async def test_a_key_that_graphql_cannot_name_still_finds_rows(garage: Writing) -> None:
    query = 'mutation { insert_dashed_one(object: {label: "x", by: {data: {email: "a"}}}) { label by { email } } }'
    assert await garage.do(query) == {"insert_dashed_one": {"label": "x", "by": {"email": "a"}}}
    code, *_ = await garage.refused("mutation { delete_dashed_by_pk { label } }")
    assert code == "validation-failed"


async def test_triggers_that_change_a_row_after_the_write_are_seen(garage: Writing) -> None:
    await garage.do('mutation { insert_car_one(object: {plate: "A", seats: 4}) { seats } }')
    query = (
        'mutation { update_car(where: {plate: {_eq: "A"}}, _set: {seats: 5}) { returning { seats } affected_rows } }'
    )
    data, recorder = await garage.counted(query)
    assert data == {"update_car": {"returning": [{"seats": 105}], "affected_rows": 1}}
    assert len(recorder.statements) == 2
    upsert = """mutation { insert_car(
        objects: {plate: "A", seats: 6}, on_conflict: {constraint: car_pkey, update_columns: seats}
    ) { returning { seats } } }"""
    assert await garage.do(upsert) == {"insert_car": {"returning": [{"seats": 106}]}}


async def test_triggers_that_skip_a_row_are_respected(garage: Writing) -> None:
    query = """mutation { insert_user(objects: [{email: "a"}, {email: "b"}]) { returning { id } } }"""
    first, second = [row["id"] for row in (await garage.do(query))["insert_user"]["returning"]]
    rows = [{"user_id": first, "number": "skip"}, {"user_id": second, "number": "7"}]
    query = """mutation ($rows: [passport_insert_input!]!) {
        insert_passport(objects: $rows) { affected_rows returning { number } }
    }"""
    data = await garage.do(query, rows=rows)
    assert data == {"insert_passport": {"affected_rows": 1, "returning": [{"number": "N7"}]}}
    refused = await garage.refused(query, rows=[{"user_id": first, "number": "raise"}])
    assert refused == ("unexpected", "$.selectionSet.insert_passport.args.objects", "database query error")


async def test_views_that_take_rows(garage: Writing) -> None:
    query = """mutation {
        insert_adult_one(object: {email: "a", age: 20, cars: {data: {plate: "A"}}}) { email twice cars { plate } }
        insert_mailbox(objects: [{email: "m"}, {email: "n"}]) { affected_rows returning { email } }
        update_adult(where: {}, _inc: {age: 1}) { affected_rows returning { age cars { plate } } }
    }"""
    assert await garage.do(query) == {
        "insert_adult_one": {"email": "a", "twice": 40, "cars": [{"plate": "A"}]},
        "insert_mailbox": {"affected_rows": 2, "returning": [{"email": "m"}, {"email": "n"}]},
        "update_adult": {"affected_rows": 1, "returning": [{"age": 21, "cars": [{"plate": "A"}]}]},
    }
    code, path, message = await garage.refused('mutation { insert_adult_one(object: {email: "b", age: 3}) { id } }')
    assert (code, path) == ("permission-error", "$.selectionSet.insert_adult_one.args.object")
    assert message == 'Check constraint violation. new row violates check option for view "adult"'


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ('insert_user_one(object: {email: "b", age: 0}) { id }', "permission-error", "Check constraint violation. new"),
        ('insert_car_one(object: {plate: "BAD"}) { plate }', "permission-error", "Check constraint violation. value"),
        ('insert_adult_one(object: {email: "b", age: 20, id: 5}) { id }', "constraint-error", 'into column "id"'),
        ('insert_car_one(object: {plate: "123456789"}) { plate }', "data-exception", "value too long"),
        ("update_user(where: {}, _inc: {age: 32767}) { affected_rows }", "data-exception", "smallint out of range"),
        ('insert_user_one(object: {email: "b", likes: "green"}) { id }', "data-exception", "invalid input value"),
        ("delete_user(where: {}) { affected_rows }", "constraint-violation", "Foreign key violation. update or delete"),
        (
            'insert_car(objects: [{plate: "L", late: 1}, {plate: "M", late: 1}]) { affected_rows }',
            "constraint-violation",
            'Uniqueness violation. duplicate key value violates unique constraint "car_late_key"',
        ),
    ],
)  # fmt: skip
async def test_errors(garage: Writing, query: str, code: str, message: str) -> None:
    await garage.do('mutation { insert_user_one(object: {email: "a", age: 1, cars: {data: {plate: "A"}}}) { id } }')
    refused = await garage.refused(f"mutation {{ {query} }}")
    assert refused[0] == code
    assert message in refused[2]
    counts: list[tuple[Any, ...]] = await garage.sql('SELECT (SELECT count(*) FROM "user"), (SELECT count(*) FROM car)')
    assert counts == [(1, 1)]
