"""server_core.wire: bodies are read as the standard library reads JSON, to the last digit (data-api.md §3.1)."""

import json
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from server_core.wire import loads

TEXTS = [
    *("-0", "0.1", "1e5", "-1E-5", "1E400", "1e-400", "9007199254740993", "123456789012345678", "0.30000000000000004"),
    *("9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616"),
    *("-9223372036854775808", "-9223372036854775809", "[1, 99999999999999999999999]", '{"a": 1, "a": 2}'),
    *('"\\ud800"', '"\\ud83e\\udd86"', '"é🦆"', '"\\u0000"', '"12345678901234567890123"', " [ ] ", "\ufeff1", '"\x7f"'),
    *('{"n": "\\u0031\\u0032"}', "[1.0, 1.5e10]", "true", "null", '""', '"\\/"', '"\u2028"'),
]


@pytest.mark.parametrize("text", TEXTS)
def test_every_value_is_read_as_the_standard_library_reads_it(text: str) -> None:
    exactly = repr(json.loads(text.encode(), parse_float=Decimal))
    assert read(text.encode("utf-8", "surrogatepass")) == repr(json.loads(text.encode()))
    assert read(text.encode("utf-8", "surrogatepass"), exact=True) == exactly
    if not text.startswith("\ufeff"):
        assert read(text) == repr(json.loads(text))
        assert read(text, exact=True) == exactly


@pytest.mark.parametrize(
    "text", ["", "NaN", "-Infinity", "[1,]", "01", "1.", "+1", "'a'", "{1: 2}", '"\n"', "\x00", "nul", "[" * 100_000]
)
def test_what_is_not_json_is_refused(text: str) -> None:
    for spelling in (text, text.encode()):
        for exact in (False, True):
            with pytest.raises((ValueError, RecursionError)):
                loads(spelling, exact=exact)


def test_any_document_is_read_as_the_standard_library_reads_it() -> None:
    for seed in range(300):
        value = document(Random(seed), 4)
        text = json.dumps(value, ensure_ascii=seed % 2 == 0)
        assert read(text) == repr(json.loads(text)), f"seed {seed}"
        assert read(text, exact=True) == repr(json.loads(text, parse_float=Decimal)), f"seed {seed}"


def read(text: str | bytes, *, exact: bool = False) -> str:
    return repr(loads(text, exact=exact))


def document(random: Random, depth: int) -> Any:
    match random.randrange(7 if depth else 5):
        case 0:
            return random.getrandbits(random.choice([8, 40, 63, 64, 70])) * random.choice([1, -1])
        case 1:
            return random.uniform(-1e20, 1e20) * 10.0 ** random.randrange(-30, 30)
        case 2:
            return random.choice([True, False, None])
        case 3 | 4:
            return "".join(chr(random.choice([random.randrange(32, 127), 0x1F986, 0])) for _ in range(5))
        case 5:
            return [document(random, depth - 1) for _ in range(3)]
        case _:
            return {str(random.random()): document(random, depth - 1) for _ in range(3)}


@pytest.mark.parametrize("exact", [True, False])
def test_what_no_decoder_takes_is_not_json(exact: bool) -> None:
    """An exponent beyond all bounds, and nesting that would exhaust the stack, are a client's mistakes."""
    if exact:
        with pytest.raises(ValueError, match="out of range"):
            loads('{"x": 1e1000000000000000000000}', exact=True)
    with pytest.raises((ValueError, RecursionError)):
        loads("[" * 100_000 + "]" * 100_000, exact=exact)
    deep = "[" * 400 + "]" * 400
    assert loads(deep, exact=exact) == json.loads(deep)
