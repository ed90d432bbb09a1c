"""services.graphql.scalars: the table of actions.md §0.2."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLError, parse_value

from services.graphql.scalars import SCALARS, parse_datetime, parse_json_literal, parse_uuid

ID = UUID("8f8a6f6e-3d7b-4e3e-9c1e-0a4c1d2e3f40")


@pytest.mark.parametrize(
    "text",
    [
        "8f8a6f6e-3d7b-4e3e-9c1e-0a4c1d2e3f40",
        "8F8A6F6E-3D7B-4E3E-9C1E-0A4C1D2E3F40",
        "8f8a6f6e3d7b4e3e9c1e0a4c1d2e3f40",
        "{8f8a6f6e-3d7b-4e3e-9c1e-0a4c1d2e3f40}",
        "urn:uuid:8f8a6f6e-3d7b-4e3e-9c1e-0a4c1d2e3f40",
    ],
)
def test_spellings_of_a_uuid(text: str) -> None:
    assert parse_uuid(text) == ID


@pytest.mark.parametrize("value", ["", "nope", 1, True, [], {}, "8f8a", "x" * 10_000])
def test_not_a_uuid(value: Any) -> None:
    with pytest.raises(GraphQLError, match=r"Could not parse UUID: invalid value") as caught:
        parse_uuid(value)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2020-01-02T03:04:05+00:00", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2020-01-02T03:04:05Z", datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2020-01-02T03:04:05.678901", datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2020-01-02T03:04:05-05:00", datetime(2020, 1, 2, 8, 4, 5, tzinfo=UTC)),
        ("2020-01-02 03:04", datetime(2020, 1, 2, 3, 4, tzinfo=UTC)),
        ("2020-01-02", datetime(2020, 1, 2, tzinfo=UTC)),
    ],
)
def test_instants(text: str, moment: datetime) -> None:
    assert parse_datetime(text) == moment
    assert parse_datetime(text).tzinfo is UTC


@pytest.mark.parametrize(
    "value", ["", "yesterday", 5, None, "2020-13-01", "0001-01-01T00:00:00+14:00", [], "2020-01-01T25:00"]
)
def test_not_an_instant(value: Any) -> None:
    with pytest.raises(GraphQLError, match=r"Could not parse DateTime: invalid value"):
        parse_datetime(value)


def test_output() -> None:
    serialize = {definition.name: definition.serialize for definition in SCALARS.values()}
    assert serialize["UUID"](ID) == str(ID)  # type: ignore[misc]
    assert serialize["DateTime"](datetime(2020, 1, 1, tzinfo=UTC)) == "2020-01-01T00:00:00+00:00"  # type: ignore[misc]
    assert serialize["JSON"]({"a": [1]}) == {"a": [1]}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('"[1, null]"', [1, None]),
        ('"\\"text\\""', "text"),
        ('"12"', 12),
        ("12", 12),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('{a: "x", b: [1, {c: null}]}', {"a": "x", "b": [1, {"c": None}]}),
        ("[]", []),
    ],
)
def test_json_literals(literal: str, value: Any) -> None:
    assert parse_json_literal(parse_value(literal)) == value


def test_json_literal_with_a_variable_inside() -> None:
    assert parse_json_literal(parse_value("{a: $x}"), {"x": [1]}) == {"a": [1]}


@pytest.mark.parametrize("literal", ['"not json"', '""', '"{"', "9" * 5000])
def test_bad_json_literals(literal: str) -> None:
    with pytest.raises(GraphQLError, match="Could not parse JSON: invalid value"):
        parse_json_literal(parse_value(literal))
