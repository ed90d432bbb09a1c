"""rules.compression: base64(gzip(json)), with a bound on what comes out (actions.md §2.4)."""

import base64
import gzip
import json

import pytest

from server_core.errors import InvalidInput, PayloadTooLarge
from server_core.rules.compression import inflate_json


def pack(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def test_round_trip() -> None:
    document = {"name": "é", "tasks": [1, 2]}
    assert inflate_json(pack(json.dumps(document).encode())) == document


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64!",
        "ünicode",
        base64.b64encode(b"not gzip").decode(),
        base64.b64encode(gzip.compress(b"{}", mtime=0)[:-5]).decode(),
        base64.b64encode(gzip.compress(b"{}", mtime=0) + b"more").decode(),
        pack(b"not json"),
        pack(b"\xff"),
        pack(b"[" * 100_000),
    ],
)
def test_undecodable(text: str) -> None:
    with pytest.raises(InvalidInput, match="Unable to decompress"):
        inflate_json(text)


def test_a_bomb_is_not_inflated() -> None:
    bomb = pack(b" " * 10_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(PayloadTooLarge, match="larger than 1000000 bytes"):
        inflate_json(bomb, limit=1_000_000)
