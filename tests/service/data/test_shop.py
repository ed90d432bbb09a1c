"""The engine over a database that has nothing to do with Prefect, from its own metadata file in the older layout."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from graphql import print_type

from server_core.wire import GraphQLRequest
from services.data.app import DataService
from services.data.catalog.introspect import INTROSPECTION, read_catalog
from services.data.catalog.metadata import load_metadata
from services.data.catalog.tracked import track
from services.data.schema.build import build_schema
from tests.support.cluster import Cluster, connected
from tests.support.settings import server_settings

SHOP = Path(__file__).with_name("shop")
ANSWERS = yaml.safe_load((SHOP / "answers.yaml").read_text())


@pytest.fixture(scope="session")
async def shop_url(cluster: Cluster, pytestconfig: pytest.Config) -> AsyncIterator[str]:
    """A database made by shop.sql."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_shop_{worker}"
    dsn = await cluster.create(name)
    async with connected(dsn) as connection:
        await connection.execute(await asyncio.to_thread((SHOP / "shop.sql").read_text))
    yield dsn
    await cluster.drop(name)


@pytest.fixture(scope="session")
async def shop(shop_url: str) -> AsyncIterator[DataService]:
    """The data API over the shop."""
    service = DataService(server_settings(), shop_url, SHOP / "metadata.yaml")
    await service.start()
    yield service
    await service.stop()


async def ask(service: DataService, query: str, variables: dict[str, Any] | None = None) -> str:
    """Return the data as text: the digits count."""
    response = await service.execute(GraphQLRequest(query=query, variables=variables or {}))
    return response.body.decode().removeprefix('{"data":').removesuffix("}")


def closed_up(text: str) -> str:
    """Return JSON text without the white space around its punctuation, of which every JSON function has its own."""
    return re.sub(r"\s*([:,])\s*", r"\1", text)


async def test_scalars_are_named_as_hasura_names_them(shop_url: str) -> None:
    async with connected(shop_url) as connection:
        catalog = read_catalog(await connection.fetchval(INTROSPECTION))
    types = build_schema(track(catalog, load_metadata(SHOP / "metadata.yaml"))).graphql.type_map
    assert print_type(types["order"]).splitlines()[1:] == [
        "  Line: smallint!",
        "  buyer: bigint!",
        "  by: person!",
        "  from: person",
        "  items(distinct_on: [Stock_Item_select_column!], limit: Int, offset: Int, order_by: [Stock_Item_order_by!], "
        "where: Stock_Item_bool_exp): [Stock_Item!]!",
        "  items_aggregate(distinct_on: [Stock_Item_select_column!], limit: Int, offset: Int, "
        "order_by: [Stock_Item_order_by!], where: Stock_Item_bool_exp): Stock_Item_aggregate!",
        "  note(path: String): json",
        "  placed: timestamp",
        "  ratio: Float",
        "  scan: bytea",
        "  select: Int!",
        "  seller: bigint",
        "  total: numeric!",
        "  weight: float8",
        "}",
    ]
    person = print_type(types["person"])
    for line in ("moods: _Mood", "mood: Mood", "nicknames: _text", "born: date", "wakes: time", "code: bpchar"):
        assert f"  {line}\n" in person
    assert "weird" not in print_type(types["Stock_Item"])
    assert "the-dash" not in print_type(types["Stock_Item"])
    assert "order_by_pk(Line: smallint!, select: Int!): order" in print_type(types["query_root"])
    assert "spending_by_pk" not in print_type(types["query_root"])


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: case["query"][:60])
async def test_answers(shop: DataService, case: dict[str, str]) -> None:
    assert closed_up(await ask(shop, case["query"])) == closed_up(case["data"])


async def test_variables_of_every_kind(shop: DataService) -> None:
    query = """
        query ($id: bigint, $total: numeric, $names: _text, $mood: Mood, $moods: [Mood!], $note: person_bool_exp) {
            a: person(where: {id: {_eq: $id}, nicknames: {_eq: $names}, mood: {_eq: $mood, _in: $moods}}) { id }
            b: order(where: {total: {_lt: $total}}, order_by: {total: asc}) { total }
            c: person(where: $note) { id }
        }
    """
    variables = {
        "id": 1,
        "total": 2.5,
        "names": ["A", "b c"],
        "mood": "happy",
        "moods": ["happy", "so so"],
        "note": {"bought": {"select": {"_eq": 2}}},
    }
    answer = json.loads(await ask(shop, query, variables))
    assert answer == {"a": [{"id": 1}], "b": [{"total": 0.5}, {"total": 2.0}], "c": [{"id": 3}]}


async def test_a_value_that_the_database_cannot_read_is_an_error(shop: DataService) -> None:
    for where in ('{mood: {_eq: "glad"}}', '{id: {_eq: "many"}}', '{nicknames: {_eq: "{"}}', '{born: {_eq: "never"}}'):
        response = await shop.execute(GraphQLRequest(query=f"{{ person(where: {where}) {{ id }} }}"))
        assert json.loads(response.body)["errors"][0]["extensions"]["code"] == "data-exception"
