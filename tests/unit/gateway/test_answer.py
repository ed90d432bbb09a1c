"""Upstream responses in the client's terms, and several of them as one body (data-api.md §3.3)."""

import json
from typing import Any

import pytest

from server_core.wire import GraphQLResponse
from services.gateway.answer import Answer, failed, is_plain, read, without_invitation
from services.gateway.merge import merge
from services.gateway.split import RootField
from services.gateway.stitch import Owner


def root(key: str, *, nullable: bool = True, line: int = 1, column: int = 1) -> RootField:
    """Return a root field of the data side."""
    return RootField(key=key, name=key, owner=Owner.DATA, nullable=nullable, line=line, column=column)


def response(document: object, status: int = 200) -> GraphQLResponse:
    """Return a response with this JSON."""
    return GraphQLResponse(body=json.dumps(document, separators=(",", ":")).encode(), status=status)


@pytest.mark.parametrize(
    ("body", "status", "plain"),
    [
        (b'{"data":{"a":1}}', 200, True),
        (b'{"data":{"a":"the word errors"}}', 200, True),
        (b'{"data":{"a":1}}', 400, False),
        (b'{"data":null}', 200, False),
        (b'{"errors":[],"data":{}}', 200, False),
        (b'{"data":{"a":null},"errors":[{"message":"m"}]}', 200, False),
        (b"<html>", 200, False),
    ],
)
def test_plain_bodies_need_no_parsing(body: bytes, status: int, plain: bool) -> None:
    assert is_plain(GraphQLResponse(body=body, status=status)) is plain


def test_values_keep_every_digit_and_blank() -> None:
    body = b' { "data" : {"a": 12345678901234567890.10, "b" :{ "errors":[] },"c":"\\u00e9"} } '
    answer = read([root("a"), root("b"), root("c")], GraphQLResponse(body=body), "data")
    assert answer.values == {"a": "12345678901234567890.10", "b": '{ "errors":[] }', "c": '"\\u00e9"'}
    assert not answer.errors


def test_an_error_with_a_path_belongs_to_its_key() -> None:
    error = {
        "message": "Uniqueness violation.",
        "path": ["b", 0, "name"],
        "locations": [{"line": 9, "column": 9}],
        "extensions": {"code": "constraint-violation", "hint": 1},
    }
    answer = read(
        [root("a"), root("b", line=3, column=5)],
        response({"errors": [error], "data": {"a": 1, "b": None}}),
        "actions",
    )
    assert answer.values == {"a": "1", "b": "null"}
    assert answer.errors == {
        "b": {
            "message": "Uniqueness violation.",
            "locations": [{"line": 3, "column": 5}],
            "path": ["b", 0, "name"],
            "extensions": {
                "code": "constraint-violation",
                "hint": 1,
                "exception": {"message": "Uniqueness violation."},
            },
        }
    }
    assert not answer.refused


def test_a_data_side_failure_has_no_path_and_belongs_to_all() -> None:
    body = {"errors": [{"extensions": {"path": "$", "code": "data-exception"}, "message": "invalid input syntax"}]}
    answer = read([root("a"), root("b")], response(body, 400), "data")
    assert answer.refused
    assert answer.codes == {"data-exception"}
    assert answer.values == {"a": "null", "b": "null"}
    assert [answer.errors[key]["path"] for key in "ab"] == [["a"], ["b"]]
    assert answer.errors["a"]["extensions"] == {
        "path": "$",
        "code": "data-exception",
        "exception": {"message": "invalid input syntax"},
    }


def test_several_errors_of_one_key_are_joined() -> None:
    errors: list[Any] = [
        {"message": "one", "path": ["a", "x"], "extensions": {"code": "ONE"}},
        {"message": "two", "path": ["a", "y"]},
    ]
    answer = read([root("a")], response({"errors": errors, "data": {"a": {}}}), "actions")
    assert answer.errors["a"]["message"] == "one\ntwo"
    assert answer.errors["a"]["path"] == ["a"]
    assert answer.errors["a"]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


@pytest.mark.parametrize("extensions", [None, [], "x", {}, {"code": None}])
def test_extensions_are_always_an_object_with_a_code(extensions: object) -> None:
    body = {"errors": [{"message": "m", "path": ["a"], "extensions": extensions}], "data": {"a": None}}
    answer = read([root("a")], response(body), "actions")
    assert answer.errors["a"]["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "exception": {"message": "m"}}


def test_a_loose_error_beside_data_belongs_to_the_keys_that_are_null() -> None:
    body = {"errors": [{"message": "m"}], "data": {"a": 1, "b": None}}
    assert list(read([root("a"), root("b")], response(body), "actions").errors) == ["b"]


@pytest.mark.parametrize("errors", [None, []])
def test_no_errors_however_they_are_written(errors: object) -> None:
    answer = read([root("a")], response({"errors": errors, "data": {"a": 1}}), "data")
    assert answer == Answer(values={"a": "1"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Internal Server Error",
        b"<html></html>",
        b"[]",
        b"1",
        b'{"data":{"a":1}',
        b'{"data":{"a":1}} and more',
        b'{"errors":"x"}',
        b'{"errors":["x"]}',
        b"{1:2}",
        b"\xff",
        b"{}",
        b'{"data":null}',
        b'{"data":{"a":' + b"[" * 100_000,
    ],
)
def test_what_is_not_graphql_fails_every_key(body: bytes) -> None:
    answer = read([root("a"), root("b")], GraphQLResponse(body=body, status=500), "data")
    assert answer.values == {"a": "null", "b": "null"}
    assert {error["extensions"]["code"] for error in answer.errors.values()} == {"INTERNAL_SERVER_ERROR"}
    assert "data service" in answer.errors["a"]["message"]


def test_merge_follows_the_document() -> None:
    fields = [root("z"), root("a"), root("skipped"), root("m")]
    body = merge(fields, [Answer(values={"a": "1", "m": "[2.50]"}), Answer(values={"z": '"z"'})])
    assert body == b'{"data":{"z":"z","a":1,"m":[2.50]}}'


def test_merge_puts_errors_first_in_the_order_of_the_document() -> None:
    fields = [root("b"), root("a"), root("c")]
    answers = [failed([fields[1]], "no a", "X"), failed([fields[0]], "no b", "Y"), Answer(values={"c": "1"})]
    body = merge(fields, answers)
    assert body.startswith(b'{"errors":')
    document = json.loads(body)
    assert [error["message"] for error in document["errors"]] == ["no b", "no a"]
    assert document["data"] == {"b": None, "a": None, "c": 1}


def test_a_field_that_may_not_be_null_takes_the_data_with_it() -> None:
    fields = [root("a", nullable=False), root("b")]
    document = json.loads(merge(fields, [failed([fields[0]], "no", "X"), Answer(values={"b": "1"})]))
    assert document["data"] is None
    assert len(document["errors"]) == 1


def said(**entries: object) -> Answer:
    """Return the answer of one call: by key, its value, or the code of its error."""
    fields = [root(key) for key in entries]
    errors = [
        {"message": f"code {code}", "path": [key], "extensions": {"code": code}}
        for key, code in entries.items()
        if isinstance(code, str)
    ]
    data = {key: None if isinstance(value, str) else value for key, value in entries.items()}
    return read(fields, response({"errors": errors, "data": data} if errors else {"data": data}), "actions")


def codes(answers: list[Answer]) -> list[object]:
    return [error["extensions"]["code"] for answer in answers for error in answer.errors.values()]


@pytest.mark.parametrize(
    "answers",
    [
        [said(a=1), said(b="API_ERROR")],
        [said(b="API_ERROR"), said(a=1)],
        [said(a="INTERNAL_SERVER_ERROR"), said(b="API_ERROR")],
        [said(a="OUTCOME_UNKNOWN"), said(b="API_ERROR")],
        [said(a={"b": None}, c="API_ERROR"), said(b="API_ERROR")],
    ],
)
def test_after_a_commit_nothing_invites_to_send_again(answers: list[Answer]) -> None:
    """actions.md §0.3: clients send a document again wherever its errors hold the text API_ERROR."""
    told = without_invitation(answers)
    assert "API_ERROR" not in merge([root(key) for each in answers for key in each.values], told).decode()
    assert "OUTCOME_UNKNOWN" in codes(told)
    assert [list(each.values) for each in told] == [list(each.values) for each in answers]


def test_what_was_not_begun_invites_to_send_again() -> None:
    answers = [said(a="API_ERROR"), said(b="API_ERROR", c="API_ERROR")]
    assert without_invitation(answers) == answers


def test_words_of_the_client_do_not_invite_either() -> None:
    quoting = {"message": 'bad value "API_ERROR"', "path": ["a"], "extensions": {"code": "INVALID_INPUT"}}
    answer = read([root("a")], response({"errors": [quoting], "data": {"a": None}}), "actions")
    (told, _) = without_invitation([answer, said(b=1)])
    assert "API_ERROR" not in json.dumps(told.errors)
    assert codes([told]) == ["INVALID_INPUT"]


def test_a_query_that_met_no_database_invites_to_send_it_again() -> None:
    away = {"message": "connection error", "extensions": {"path": "$", "code": "postgres-error"}}
    answer = read([root("a")], response({"errors": [away]}, 500), "data", inviting="postgres-error")
    assert codes([answer]) == ["API_ERROR"]
