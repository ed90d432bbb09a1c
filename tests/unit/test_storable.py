"""What Postgres cannot hold (storable.py)."""

import json
from typing import Any

import pytest

from server_core.errors import InvalidInput
from server_core.storable import exact_json, payload_size, storable_json, storable_text


def test_text() -> None:
    assert storable_text("plain é 😀\n\x01") == "plain é 😀\n\x01"
    assert storable_text("a\x00b\ud800c\udfff") == "a\ufffdb\ufffdc\ufffd"


@pytest.mark.parametrize("value", [None, 1, "é😀", "\\u0000", {"a": ["\\ud800"]}, [], {}, True, 1.5])
def test_json_that_is_fine(value: Any) -> None:
    assert json.loads(storable_json(value)) == value
    assert json.loads(exact_json(value)) == value
    assert storable_json(value).isascii()


def test_json_with_characters_that_are_replaced_or_refused() -> None:
    value = {"k\x00": ["\ud800", {"x": "a\x00"}]}
    assert json.loads(storable_json(value)) == {"k\ufffd": ["\ufffd", {"x": "a\ufffd"}]}
    with pytest.raises(InvalidInput):
        exact_json(value)


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(20_000):
        value = [value]
    return value


@pytest.mark.parametrize("make", [lambda: float("nan"), lambda: {"a": float("inf")}, deep])
def test_json_that_is_none(make: Any) -> None:
    value = make()
    for write in (storable_json, exact_json):
        with pytest.raises(InvalidInput):
            write(value)


def test_size_is_that_of_a_python_string() -> None:
    assert payload_size(json.dumps({"a": "é"})) == len('{"a": "\\u00e9"}') + 49
