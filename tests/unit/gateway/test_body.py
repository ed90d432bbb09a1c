"""What bodies mean: JSON, batches, compression, and what is refused with which status (data-api.md §3.1)."""

import gzip
import json
import zlib
from typing import Any

import pytest

from server_core.wire import GraphQLRequest
from services.gateway.body import BATCH_LIMIT, check_content_type, inflate, read_body, read_query
from services.gateway.refusal import Refusal


@pytest.mark.parametrize(
    ("document", "variables"),
    [
        ({"query": "{ a }"}, {}),
        ({"query": "{ a }", "variables": None}, {}),
        ({"query": "{ a }", "variables": {"x": 1}}, {"x": 1}),
        ({"query": "{ a }", "variables": '{"x": 1}'}, {"x": 1}),
        ({"query": "{ a }", "variables": "null"}, {}),
        ({"query": "{ a }", "variables": ""}, {}),
        ({"query": "{ a }", "operationName": None, "extensions": {}}, {}),
    ],
)
def test_one_operation(document: Any, variables: dict[str, Any]) -> None:
    body = json.dumps(document).encode()
    request = read_body(body, {"x-prefect-ui": "true"})
    assert isinstance(request, GraphQLRequest)
    assert request.query == "{ a }"
    assert dict(request.variables) == variables
    assert request.headers == {"x-prefect-ui": "true"}
    assert request.raw == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"not json",
        b"\xff\xfe\x00",
        b"1",
        b'"text"',
        b"null",
        b"[]",
        b"{}",
        b'{"query": null}',
        b'{"query": ""}',
        b'{"query": 5}',
        b'{"query": "{ a }", "operationName": 5}',
        b'{"query": "{ a }", "variables": "{"}',
        b'{"query": "{ a }", "variables": "[]"}',
        b'{"query": "{ a }", "variables": [1]}',
        b'{"query": "{ a }", "variables": 5}',
        b'{"query": "{ a }", "variables": {"x": NaN}}',
        b'{"query": "{ a }", "variables": {"x": ' + b"9" * 5_000 + b"}}",
        b"[" * 100_000,
    ],
)
def test_bad_bodies_are_refused_with_400(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        read_body(body, {})
    assert caught.value.status == 400
    assert caught.value.entries[0]["extensions"]["code"] == "BAD_REQUEST"


def test_a_batch_keeps_its_order_and_isolates_bad_members() -> None:
    members = read_body(b'[{"query": "{ a }"}, 5, {"query": "{ b }", "variables": "{"}, {"query": "{ c }"}]', {})
    assert isinstance(members, list)
    assert [isinstance(member, Refusal) for member in members] == [False, True, True, False]


def test_a_batch_has_a_limit() -> None:
    with pytest.raises(Refusal) as caught:
        read_body(json.dumps([{"query": "{ a }"}] * (BATCH_LIMIT + 1)).encode(), {})
    assert caught.value.status == 413


@pytest.mark.parametrize("value", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"])
def test_json_is_accepted(value: str) -> None:
    check_content_type(value)


@pytest.mark.parametrize("value", ["", "text/plain", "application/graphql", "multipart/form-data", "json"])
def test_other_content_is_refused(value: str) -> None:
    with pytest.raises(Refusal) as caught:
        check_content_type(value)
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"plain", ""),
        (b"plain", "identity"),
        (gzip.compress(b"plain", mtime=0), "gzip"),
        (gzip.compress(b"pla", mtime=0) + gzip.compress(b"in", mtime=0), "GZIP"),
        (zlib.compress(b"plain"), "deflate"),
    ],
)
def test_inflate(body: bytes, encoding: str) -> None:
    assert inflate(body, encoding, 5) == b"plain"


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"x" * 10_000_000, mtime=0), "gzip", 413),
        (gzip.compress(b"12345", mtime=0) + gzip.compress(b"6", mtime=0), "gzip", 413),
        (gzip.compress(b"plain", mtime=0)[:-4], "gzip", 400),
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"plain", mtime=0) + b"rest", "gzip", 400),
        (gzip.compress(b"", mtime=0) * 200_000, "gzip", 400),
        (b"plain", "br", 415),
        (b"plain", "gzip, gzip", 415),
    ],
)
def test_inflate_refuses(body: bytes, encoding: str, status: int) -> None:
    with pytest.raises(Refusal) as caught:
        inflate(body, encoding, 5)
    assert caught.value.status == status


def test_a_get_is_read_from_its_parameters() -> None:
    request = read_query({"query": "{ a }", "variables": '{"x": 1}', "operationName": ""}, {})
    assert (request.query, dict(request.variables), request.operation_name) == ("{ a }", {"x": 1}, None)
    with pytest.raises(Refusal):
        read_query({"query": "{ a }", "variables": "{"}, {})
