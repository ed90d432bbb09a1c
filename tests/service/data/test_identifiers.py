"""Names that are meant to hurt: of tables, columns, constraints, schemas, enums and functions."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from server_core.errors import ConfigError
from server_core.wire import GraphQLRequest
from services.data.app import DataService
from tests.support.cluster import connected
from tests.support.settings import server_settings

NAMES = [
    'a "quoted" one',
    "it's",
    "$1",
    "$$body$$",
    "%s %(x)s",
    "{hole}",
    "a\\b",
    "line\nbreak",
    "ünï☃",
    "semi;colon",
    "--",
    "/*",
    " ",
    "\t",
    "1st",
    "__typename",
    "SELECT",
    "x" * 63,
]

Serve = Callable[..., Awaitable[DataService]]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.fixture
async def serve(empty_database_url: str, tmp_path: Path) -> AsyncIterator[Serve]:
    """Make a database by SQL and serve tables of it."""
    started: list[DataService] = []

    async def make(text: str, tables: list[dict[str, Any]], *functions: str) -> DataService:
        async with connected(empty_database_url) as connection:
            await connection.execute(text)
        metadata = tmp_path / "metadata.yaml"
        await asyncio.to_thread(
            metadata.write_text,
            yaml.safe_dump(
                {"tables": tables, "functions": [{"function": name} for name in functions]}, sort_keys=False
            ),
        )
        service = DataService(server_settings(), empty_database_url, metadata)
        await service.start()
        started.append(service)
        return service

    yield make
    for service in started:
        await service.stop()


async def ask(service: DataService, query: str) -> Any:
    body = json.loads((await service.execute(GraphQLRequest(query=query))).body)
    return body.get("data") or body["errors"][0]


async def test_columns_that_cannot_be_spelled_are_joined_by_but_not_shown(serve: Serve) -> None:
    columns = ", ".join(f"{quoted(name)} integer" for name in NAMES)
    keys = "".join(f", FOREIGN KEY ({quoted(name)}) REFERENCES up (id)" for name in NAMES)
    ones = ", ".join("1" for _ in NAMES)
    service = await serve(
        f"CREATE TABLE up (id integer PRIMARY KEY); INSERT INTO up VALUES (1);"
        f"CREATE TABLE low (id integer, {columns}, PRIMARY KEY (id, {quoted(NAMES[0])}){keys});"
        f"INSERT INTO low VALUES (7, {ones})",
        [
            {
                "table": "low",
                "object_relationships": [
                    {"name": f"by{number}", "using": {"foreign_key_constraint_on": name}}
                    for number, name in enumerate(NAMES)
                ],
            },
            {
                "table": "up",
                "array_relationships": [
                    {
                        "name": f"by{number}",
                        "using": {"manual_configuration": {"remote_table": "low", "column_mapping": {"id": name}}},
                    }
                    for number, name in enumerate(NAMES)
                ],
            },
        ],
    )
    selected = " ".join(f"by{number} {{ id }}" for number, _ in enumerate(NAMES))
    where = ", ".join(f"by{number}: {{ id: {{ _eq: 1 }} }}" for number, _ in enumerate(NAMES))
    assert await ask(
        service, f"{{ low(where: {{ {where} }}, order_by: {{by3: {{id: asc}}}}) {{ id {selected} }} }}"
    ) == {"low": [{"id": 7, **{f"by{number}": {"id": 1} for number, _ in enumerate(NAMES)}}]}
    assert await ask(service, f"{{ up {{ {selected} by1_aggregate {{ aggregate {{ count }} }} }} }}") == {
        "up": [
            {
                **{f"by{number}": [{"id": 7}] for number, _ in enumerate(NAMES)},
                "by1_aggregate": {"aggregate": {"count": 1}},
            }
        ]
    }
    shown = await ask(service, '{ __type(name: "low") { fields { name } } }')
    names = {field["name"] for field in shown["__type"]["fields"]}
    assert names == {"id", "SELECT", "x" * 63, *(f"by{number}" for number, _ in enumerate(NAMES))}
    assert (await ask(service, "{ low_by_pk(id: 7) { id } }"))["extensions"]["code"] == "validation-failed"


@pytest.mark.parametrize("name", NAMES[:15])
async def test_a_table_that_cannot_be_spelled_is_refused_with_the_line(serve: Serve, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^metadata\.yaml line 2: "):
        await serve(f"CREATE TABLE {quoted(name)} (id integer)", [{"table": name}])


@pytest.mark.parametrize("name", ["date", "order_by", "Int", "a_bool_exp", "query_root"])
async def test_a_table_that_is_named_like_something_else_is_refused(serve: Serve, name: str) -> None:
    with pytest.raises(ConfigError, match=r"^metadata\.yaml line 3: "):
        await serve(
            f"CREATE TABLE a (id integer, day date); CREATE TABLE {quoted(name)} (id integer)",
            [{"table": "a"}, {"table": name}],
        )


async def test_labels_of_an_enum_are_only_text(serve: Serve) -> None:
    labels = ", ".join("'" + name.replace("'", "''") + "'" for name in NAMES)
    rows = ", ".join("('" + name.replace("'", "''") + "')" for name in NAMES)
    service = await serve(
        f'CREATE TYPE "Odd ""type" AS ENUM ({labels}); CREATE TABLE a (x "Odd ""type" PRIMARY KEY);'
        f"INSERT INTO a VALUES {rows}",
        [{"table": "a"}],
    )
    for name in NAMES:
        text = json.dumps(name, ensure_ascii=False)
        assert await ask(service, f"{{ a(where: {{x: {{_in: [{text}]}}}}) {{ x }} }}") == {"a": [{"x": name}]}


async def test_a_composite_column_may_be_a_row_of_a_tracked_table(serve: Serve) -> None:
    service = await serve(
        "CREATE TABLE a (id integer PRIMARY KEY, x text); CREATE TABLE b (id integer, was a, were a[]);"
        "INSERT INTO b VALUES (1, '(2,z)', ARRAY['(3,y)']::a[])",
        [{"table": "a"}, {"table": "b"}],
    )
    query = '{ b(where: {was: {_eq: "(2,z)"}}) { was were } }'
    assert await ask(service, query) == {"b": [{"was": {"id": 2, "x": "z"}, "were": [{"id": 3, "x": "y"}]}]}


async def test_an_argument_that_cannot_be_spelled_keeps_its_default_or_is_refused(serve: Serve) -> None:
    made = "CREATE TABLE a (id integer PRIMARY KEY); INSERT INTO a VALUES (1), (2);"
    function = """CREATE FUNCTION {name}(x integer, "my arg" integer{default}) RETURNS SETOF a LANGUAGE sql STABLE
        AS 'SELECT * FROM a WHERE id = x + "my arg"';"""
    service = await serve(made + function.format(name="f", default=" DEFAULT 1"), [{"table": "a"}], "f")
    assert await ask(service, "{ f(args: {x: 1}) { id } }") == {"f": [{"id": 2}]}
    with pytest.raises(ConfigError, match=r"^metadata\.yaml line \d+: argument my arg"):
        await serve(function.format(name="g", default=""), [{"table": "a"}], "g")


async def test_a_function_that_cannot_be_shown_is_refused_with_the_line(serve: Serve) -> None:
    made = """CREATE TABLE a (id integer); CREATE TABLE f (id integer);
        CREATE FUNCTION {name}() RETURNS SETOF a LANGUAGE sql STABLE AS 'SELECT * FROM a';"""
    with pytest.raises(ConfigError, match=r"^metadata\.yaml line \d+: function public\.my f has a name"):
        await serve(made.format(name='"my f"'), [{"table": "a"}], "my f")
    with pytest.raises(ConfigError, match=r"^metadata\.yaml line \d+: two tracked tables or functions .* the field f$"):
        await serve("DROP TABLE a, f CASCADE;" + made.format(name="f"), [{"table": "a"}, {"table": "f"}], "f")


async def test_a_function_of_several_forms_is_refused(serve: Serve) -> None:
    function = "CREATE FUNCTION f({}) RETURNS SETOF a LANGUAGE sql STABLE AS 'SELECT * FROM a';"
    with pytest.raises(ConfigError, match=r"line 4: there are several functions public\.f"):
        await serve(
            "CREATE TABLE a (id integer);" + function.format("") + function.format("x integer"), [{"table": "a"}], "f"
        )
