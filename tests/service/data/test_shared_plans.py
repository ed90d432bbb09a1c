"""Documents that share a plan are answered and refused as if each were planned alone (data-api.md §2).

No database is needed: it is here for its length, some seconds of invented documents.
"""

import re
from functools import cache
from random import Random
from typing import Any

import pytest

from server_core.shape import cut
from server_core.wire import GraphQLRequest
from services.data.answer import Prepared
from services.data.catalog.model import (
    Column,
    ForeignKey,
    Function,
    FunctionArgument,
    Key,
    PgType,
    QualifiedName,
    Table,
)
from services.data.catalog.tracked import Relationship, Tracked, TrackedTable
from services.data.plan.values import LITERALS
from services.data.request import Requests
from services.data.schema.bindings import Schema
from services.data.schema.build import build_schema
from tests.support.documents import sketch

COLUMNS = {
    **dict.fromkeys(("id", "parent_id"), "uuid"),
    **{f"a_{name}": name for name in ("int4", "int8", "numeric", "float8", "bool", "varchar", "timestamptz", "json")},
    **{f"b_{name}": name for name in ("jsonb", "_text", "_int4", "_jsonb", "interval")},
}
THING = QualifiedName("public", "thing")
KIND = QualifiedName("public", "kind")
VALUES: list[Any] = [None, True, 0, -1, 1, 2**31, 2**80, 1.5, "", "a", 'it"s \\ ☃', [], ["a", "b"], [1, 2], [None], {}]
DECLARED = re.compile(r"\$(\w+): ([^\s,=)#]+)")


@cache
def everything() -> Schema:
    """Return the schema of two tables with columns of all sorts, and of functions."""

    def pg(name: str) -> PgType:
        element = pg(name[1:]) if name.startswith("_") else None
        return PgType(name=QualifiedName("pg_catalog", name), kind="a" if element else "b", element=element)

    columns = {name: Column(name=name, type=pg(type), nullable=name != "id") for name, type in COLUMNS.items()}
    key = Key(name="thing_pkey", columns=("id",), primary=True)
    link = ForeignKey(name="thing_parent", columns=("parent_id",), target=THING, target_columns=("id",))
    table = Table(name=THING, columns=columns, keys=(key,), foreign_keys=(link,))
    other = Table(
        name=KIND,
        columns={name: columns[name] for name in ("id", "a_int8", "b__int4")},
        keys=(Key(name="kind_pkey", columns=("id", "a_int8"), primary=True),),
    )
    parent, things = (
        Relationship(name=name, target=THING, columns=pairs, many=many, nullable=True, unique=not many)
        for name, pairs, many in (
            ("parent", (("parent_id", "id"),), False),
            ("things", (("id", "parent_id"),), True),
        )
    )
    arguments = tuple(
        FunctionArgument(name=f"p_{type}", type=pg(type), has_default=True)
        for type in ("_uuid", "int4", "jsonb", "varchar")
    )
    found = Function(
        name=QualifiedName("public", "found"), arguments=arguments, returns=THING, returns_set=True, volatile=False
    )
    shown = {
        THING: TrackedTable(table=table, relationships={"parent": parent, "things": things}),
        KIND: TrackedTable(table=other, relationships={}),
    }
    tracked = Tracked(tables=shown, functions=(found,), places={found.name: ""})
    return build_schema(tracked, mutations=True)


def outcome(requests: Requests, request: GraphQLRequest) -> Any:
    """Return all that can be seen of a prepared request, or of its refusal."""
    try:
        prepared: Prepared = requests.prepare(request)
    except Exception as error:  # a defect is one with and without a cache
        return type(error), str(error), getattr(error, "path", None)
    answer = prepared.answer
    script = answer.script and [
        (field.alias, field.path, [(each.text, each.parameters) for each in (*field.writes, field.read) if each])
        for field in answer.script.fields
    ]
    row = [b"1"] * len(answer.statement.aliases) if answer.statement is not None else ()
    values = {name: value for name, value in prepared.variables.items() if name != LITERALS}
    body = answer.body(row) if script is None else (answer.order, answer.constants)
    return prepared.text, prepared.parameters, answer.reads, values, body, script


def variables(random: Random, text: str) -> dict[str, Any]:
    """Return values for most variables of a document, of which some fit."""
    fitting = {"Boolean": True, "Int": 7, "String": "s", "uuid": "u", "bigint": 10**12, "numeric": 2.5, "Float": 0.5}
    given = {}
    for name, type in DECLARED.findall(text):
        named = type.strip("[]!")
        usual = [fitting.get(named, "x")] if "[" in type else fitting.get(named, "x")
        if random.random() < 0.9:
            given[name] = usual if random.random() < 0.8 else random.choice(VALUES)
    return given


@pytest.mark.parametrize("seed", range(3))
def test_requests_of_one_shape_are_answered_as_if_alone(seed: int) -> None:
    random = Random(seed)
    together, alone = Requests(everything()), Requests(everything(), remember=False)
    refused = answered = 0
    for _ in range(40):
        drawn = sketch(random, everything().graphql, operations=("query",) * 6 + ("subscription", "mutation"))
        for _ in range(4):
            text = drawn.variant(random)
            shape = cut(text) if random.random() < 0.5 else None
            request = GraphQLRequest(query=text, variables=variables(random, text), shape=shape)
            theirs = outcome(alone, request)
            for _ in range(4):
                mine = outcome(together, request)
                assert mine == theirs, f"{text}\n{request.variables}\n{mine}\n{theirs}"
            refused += len(mine) == 3
            answered += len(mine) != 3
    assert together.stats.hits > 15
    assert together.stats.unfit > 0
    assert refused > 20
    assert answered > 40
    assert (alone.stats.hits, len(alone)) == (0, 0)
