"""What bodies mean: JSON, batches, compression, and what is refused with which status (data-api.md §3.1)."""

import gzip
import json
import zlib
from typing import Any

import pytest

from server_core.wire import BodyLimits, GraphQLRequest
from services.gateway.body import (
    BATCH_LIMIT,
    beginning,
    check_content_type,
    check_encoding,
    inflate,
    read_body,
    read_query,
)
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
    assert inflate(body, check_encoding(encoding), 5) == b"plain"


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
        inflate(body, check_encoding(encoding), 5)
    assert caught.value.status == status


CLIENTS_LOGS = json.dumps(
    {
        "query": "mutation($input: write_run_logs_input!) {\n  write_run_logs(input: $input) {\n    success\n  }\n}",
        "variables": json.dumps({"input": {"logs": [{"message": "x" * 5_000}]}}),
    }
).encode()


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (CLIENTS_LOGS, True),
        (b' {"query":"mutation W { w : write_run_logs (input: {logs: []}) { success } }"}', True),
        (b'{"query":"\\n\\tmutation{write_run_logs(input:{logs:[]}){success}}"}', True),
        (b'{"query":"mutation { set_flow_run_states(input: $input) { states { id } } }"}', False),
        (b'{"query":"mutation { other { id } write_run_logs(input: $input) { success } }"}', False),
        (b'{"query":"query write_run_logs { hello }"}', False),
        (b'{"query":"mutations { write_run_logs(input: $input) { success } }"}', False),
        (b'{"variables":"mutation { write_run_logs(input: $input) { success } }"}', False),
        (b"[" + CLIENTS_LOGS + b"]", False),
        (b'{"query":"mutation ' + b"x" * 100_000, False),
        (b"", False),
    ],
)
def test_a_batch_of_logs_is_told_by_its_beginning(body: bytes, found: bool) -> None:
    """client-operations.md §5.4: a batch is cut by its characters, so its bytes may be many more."""
    limits = BodyLimits(body=5, logs=7)
    assert limits.at(beginning(body, "")) == (7 if found else 5)
    assert limits.at(beginning(gzip.compress(body, mtime=0), "gzip")) == (7 if found else 5)
    assert limits.at(beginning(zlib.compress(body), "deflate")) == (7 if found else 5)


def test_the_beginning_of_what_is_not_compressed() -> None:
    assert beginning(CLIENTS_LOGS, "gzip") == b""


def test_what_the_beginning_promised_is_held_against_the_whole() -> None:
    """A second `query` in the body counts, and the document itself must be short."""
    limits = BodyLimits(body=5, logs=7)
    logs = read_body(CLIENTS_LOGS, {})
    assert limits.fits(6, logs)
    assert not limits.fits(6, [logs])
    assert not limits.fits(6, GraphQLRequest(query="{ hello }"))
    assert not limits.fits(6, GraphQLRequest(query="mutation { write_run_logs(input: {})" + " " * 20_000 + "}"))
    assert limits.fits(5, GraphQLRequest(query="{ hello }"))


def test_a_get_is_read_from_its_parameters() -> None:
    request = read_query({"query": "{ a }", "variables": '{"x": 1}', "operationName": ""}, {})
    assert (request.query, dict(request.variables), request.operation_name) == ("{ a }", {"x": 1}, None)
    with pytest.raises(Refusal):
        read_query({"query": "{ a }", "variables": "{"}, {})
