"""A document becomes a plan or a refusal, and is remembered (data-api.md §3.1, §3.3)."""

from typing import Any

import pytest
from graphql import OperationType

from services.gateway.document import Documents, Plan
from services.gateway.refusal import Refusal
from services.gateway.stitch import Owner
from tests.support.upstreams import stitched

UNITED = stitched()


def documents(depth_limit: int = 7) -> Documents:
    """Return a planner without a memory."""
    return Documents(stitched=UNITED, depth_limit=depth_limit)


def planned(text: str, name: str | None = None) -> Plan:
    """Plan one document."""
    return documents().plan(text, name)


def refused(text: str, name: str | None = None) -> list[Any]:
    """Return the errors a document is refused with; the status is always 400."""
    with pytest.raises(Refusal) as caught:
        planned(text, name)
    assert caught.value.status == 400
    return list(caught.value.entries)


@pytest.mark.parametrize(
    ("text", "owner"),
    [
        ("{ flow { id } }", Owner.DATA),
        ("query N($n: Int) { flow(limit: $n) { ...F } } fragment F on flow { id }", Owner.DATA),
        ("{ hello api { version } }", Owner.ACTIONS),
        ('mutation { a: set_name(input: {name: "x"}) { success } }', Owner.ACTIONS),
        ("{ flow { id } hello }", None),
        ("{ __typename }", None),
        ("{ flow { id } __typename }", None),
        ("{ ...R } fragment R on Query { flow { id } }", None),
        ("query A { flow { id } } query B { hello }", None),
        ('mutation { a: insert_flow(name: "a") { affected_rows } b: insert_flow(name: "b") { affected_rows } }', None),
    ],
)
def test_whose_is_the_whole(text: str, owner: Owner | None) -> None:
    assert planned(text, "A" if "query A" in text else None).whole is owner


def test_a_syntax_error() -> None:
    (error,) = refused("{ flow { id }")
    assert error["message"].startswith("Syntax Error")
    assert error["locations"] == [{"line": 1, "column": 14}]
    assert error["extensions"] == {"code": "GRAPHQL_PARSE_FAILED"}


def test_every_validation_problem_has_its_entry() -> None:
    errors = refused("query($unused: Int) { flow { nope } nothing }")
    assert len(errors) == 3
    assert {error["extensions"]["code"] for error in errors} == {"GRAPHQL_VALIDATION_FAILED"}
    assert all(error["locations"] for error in errors)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("query A { hello } query B { hello }", None, "Must provide operation name"),
        ("query A { hello }", "C", 'Unknown operation named "C".'),
        ("{ hello }", "C", 'Unknown operation named "C".'),
    ],
)
def test_which_operation(text: str, name: str | None, message: str) -> None:
    (error,) = refused(text, name)
    assert error["message"].startswith(message)
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"


def test_fragments_alone_are_no_operation() -> None:
    assert refused("fragment F on flow { id }")


def test_scalars_of_the_two_families_are_not_interchangeable() -> None:
    (error,) = refused("query($id: UUID!) { flow_by_pk(id: $id) { id } }")
    assert "UUID!" in error["message"]
    assert planned("query($id: uuid!) { flow_by_pk(id: $id) { id } }").whole is Owner.DATA


def nested(depth: int, leaf: str = "id", inner: str = "") -> str:
    """Return a selection whose deepest field has this depth."""
    return "flow { " + "flows { " * (depth - 1) + leaf + inner + " }" * depth


@pytest.mark.parametrize(
    "text",
    [
        "{ " + nested(7) + " }",
        "{ " + nested(7, "__typename") + " }",
        "query Q { ...R } fragment R on Query { " + nested(7) + " }",
        "{ flow { ...A } } fragment A on flow { flows { flows { flows { flows { flows { flows { id } } } } } } }",
        "{ __schema { types { fields { type { ofType { ofType { ofType { ofType { ofType { name } } } } } } } } } }",
    ],
)
def test_as_deep_as_allowed(text: str) -> None:
    planned(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{ " + nested(8) + " }", ""),
        ("{ " + nested(8, "__typename") + " }", ""),
        ("query Deep { " + nested(8) + " }", "Deep"),
        ("query Deep { ...R } fragment R on Query { " + nested(8) + " }", "Deep"),
        ("{ flow { ... { ...A } } } fragment A on flow { " + "flows { " * 7 + "id" + " }" * 7 + " }", ""),
    ],
)
def test_deeper_than_allowed(text: str, name: str) -> None:
    (error,) = refused(text)
    assert error["message"] == f"'{name}' exceeds maximum operation depth of 7"
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    assert error["locations"]


@pytest.mark.parametrize(
    "text",
    [
        "{ flow " * 5_000,
        "{ flow(where: " + "{_and: " * 5_000,
        "{ flow(where: {name: {_in: " + "[" * 5_000,
        "{ " + nested(3_000) + " }",
        "{ a }" + "fragment F on flow { id }" * 300,
        "{ flow { ...F0 } } " + " ".join(f"fragment F{i} on flow {{ flows {{ ...F{i + 1} }} }}" for i in range(300)),
        "{ flow { ...A } } fragment A on flow { ...B } fragment B on flow { ...A }",
        "{ flow { id \ud800 } }",
        "\0",
    ],
)
def test_absurd_documents_are_refused_and_nothing_worse(text: str) -> None:
    assert refused(text)


def test_tokens_and_comments_are_limited() -> None:
    planner = Documents(stitched=UNITED, depth_limit=7, token_limit=50)
    planner.plan("{ flow { " + "id " * 45 + "} }", None)
    for text in ("{ flow { " + "id " * 46 + "} }", "#\n" * 51 + "{ hello }"):
        with pytest.raises(Refusal) as caught:
            planner.plan(text, None)
        assert caught.value.status == 400
        assert caught.value.entries[0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"


def test_widely_spread_fragments_do_not_take_long() -> None:
    spreads = " ".join(f"fragment F{i} on flow {{ ...F{i + 1} ...F{i + 1} }}" for i in range(60))
    planned("{ flow { ...F0 } } " + spreads + " fragment F60 on flow { id }")


@pytest.mark.parametrize("directives", ["", "@include(if: true)"])
def test_fragments_that_open_to_endless_root_fields_are_refused(directives: str) -> None:
    spreads = " ".join(f"fragment F{i} on Query {{ ...F{i + 1} {directives} ...F{i + 1} }}" for i in range(60))
    (error,) = refused("{ ...F0 } " + spreads + " fragment F60 on Query { hello }")
    assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


def test_plans_are_remembered_by_text_and_operation() -> None:
    memory = documents()
    text = "query A { hello } query B { flow { id } }"
    plan = memory.plan(text, "A")
    assert memory.plan(text, "A") is plan
    assert memory.known(text, "B") is None
    assert memory.plan(text, "B").steps[0].owner is Owner.DATA


def test_huge_documents_are_not_remembered() -> None:
    memory = documents()
    text = '{ flow(where: {name: {_eq: "' + "x" * 100_000 + '"}}) { id } }'
    memory.plan(text, None)
    assert memory.known(text, None) is None


def test_a_subscription_has_one_step() -> None:
    plan = planned("subscription($id: uuid!) { a: flow_by_pk(id: $id) { ...f } } fragment f on flow { id }")
    assert plan.kind is OperationType.SUBSCRIPTION
    (step,) = plan.steps
    assert step.owner is Owner.DATA
    assert [field.key for field in step.fields] == ["a"]
    assert step.variables == {"id"}


def test_a_step_can_be_divided_further() -> None:
    text = "query($n: Int) { a: flow(limit: $n) { id } b: flow_by_pk(id: 1) { id } }"
    memory = documents()
    plan = memory.plan(text, None)
    pieces = memory.separate(text, None, plan.steps[0])
    assert [[field.key for field in piece.fields] for piece in pieces] == [["a"], ["b"]]
    assert [piece.variables for piece in pieces] == [{"n"}, set()]
