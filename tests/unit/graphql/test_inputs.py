"""Inputs that are built at once equal those that strawberry builds field by field (services/graphql/inputs.py)."""

from enum import Enum
from typing import Any

import pytest
import strawberry

from services.graphql.inputs import built_at_once


@strawberry.enum(name="color")
class Color(Enum):
    RED = "red"
    BLUE = "blue"


@strawberry.input(name="slow")
class Slow:
    number: int
    text: str | None
    color: Color | None


@built_at_once
@strawberry.input(name="quick")
class Quick:
    number: int
    text: str | None
    color: Color | None


@strawberry.input(name="slow_list")
class SlowList:
    items: list[Slow]


@built_at_once
@strawberry.input(name="quick_list")
class QuickList:
    items: list[Quick]


@strawberry.type
class Query:
    @strawberry.field
    def slow(self, input: SlowList) -> str:
        return str([(item.number, item.text, item.color) for item in input.items])

    @strawberry.field
    def quick(self, input: QuickList) -> str:
        return str([(item.number, item.text, item.color) for item in input.items])


SCHEMA = strawberry.Schema(Query)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"number": 1}],
        [{"number": 1, "text": None, "color": None}, {"number": 2, "text": "t", "color": "BLUE"}],
        {"number": 3, "color": "RED"},
    ],
)
def test_both_ways_are_the_same(items: Any) -> None:
    values = {}
    for way in ("slow", "quick"):
        document = f"query($input: {way}List!) {{ answer: {way}(input: $input) }}".replace("List", "_list")
        result = SCHEMA.execute_sync(document, {"input": {"items": items}})
        assert result.errors is None
        values[way] = result.data
    assert values["slow"] == values["quick"]
