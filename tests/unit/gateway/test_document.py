"""A document becomes a plan or a refusal, and is remembered (data-api.md §3.1, §3.3)."""

from typing import Any

import pytest
from graphql import OperationType, parse, print_ast

from services.gateway.document import LONG, Documents, Plan
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
    memory.plan(text, "A")
    plan = memory.known(text, "A")
    assert plan is not None
    assert memory.plan(text, "A") is plan
    assert memory.known(text, "B") is None
    assert memory.plan(text, "B").steps[0].owner is Owner.DATA


@pytest.mark.parametrize("text", ["{ flow { id } }", '{ flow_by_pk(id: "a") { id } flow(limit: 1) { id } }'])
def test_the_tree_of_a_new_query_is_handed_on(text: str) -> None:
    memory = documents()
    parsed = memory.plan(text, None).parsed
    assert parsed is not None
    assert parsed.take(text + " ", tokens=100) is None
    assert parsed.take(text, tokens=5) is None
    tree = parsed.take(text, tokens=100)
    assert tree is not None
    assert print_ast(tree) == print_ast(parse(text))
    assert parsed.take(text, tokens=100) is None
    assert memory.plan(text, None).parsed is None


@pytest.mark.parametrize(
    "text",
    [
        "{ hello }",
        "{ hello flow { id } }",
        "{ flow { id } __typename }",
        "mutation { delete_flow_by_pk(id: 1) { id } }",
        "subscription { flow { id } }",
        "{ flow { id } }" + " " * LONG,
    ],
)
def test_no_tree_is_handed_on_to_who_cannot_take_it_at_once(text: str) -> None:
    assert documents().plan(text, None).parsed is None


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


def test_documents_that_differ_in_literals_share_a_plan() -> None:
    memory = documents()
    memory.plan('{ flow(where: {name: {_in: ["a", "b"]}}, limit: 1) { id } }', None)
    text = '{ flow(where: {name: {_in: ["c", "d", "e"]}}, limit: 20) { id } }'
    plan = memory.known(text, None)
    assert plan is not None
    assert (plan.whole, plan.steps[0].text) == (Owner.DATA, text)
    assert (memory.stats.hits, memory.stats.misses, len(memory)) == (1, 1, 1)


def test_a_text_with_literals_that_comes_again_is_kept() -> None:
    """A page asks the same question every few seconds, a flow run never: only the page's text is kept."""
    memory = documents()
    page = '{ flow(where: {name: {_eq: "a"}}) { id } }'
    memory.plan(page, None)
    for number in range(100):
        memory.known(page.replace('"a"', f'"{number}"'), None)
    assert len(memory) == 1
    assert memory.known(page, None) is not memory.known(page, None)
    kept = memory.known(page, None)
    assert kept is memory.known(page, None)
    assert kept is not None
    assert kept.steps[0].text == page
    assert len(memory) == 2


def test_literals_go_into_the_steps_as_they_were_written() -> None:
    memory = documents()
    text = "{{ flow(where: {{name: {{_in: [{}]}}}}, limit: {}) {{ id }} echo(value: {}) }}"
    memory.plan(text.format('"a" "b"', 1, 1.5), None)
    plan = memory.known(text.format('"\\u0041","x" "y"', -2, 2e9), None)
    assert plan is not None
    first, second = (step.text for step in plan.steps)
    assert "[" + '"\\u0041","x" "y"' + "]" in first
    assert "limit: -2" in first
    assert "echo(value: 2000000000.0)" in second


def test_places_are_those_of_the_document_at_hand() -> None:
    memory = documents()
    memory.plan('{ a: flow(limit: 1) { id } b: echo(value: """x""") hello }', None)
    plan = memory.known('{ a: flow(limit: 100) { id } b: echo(value: """x\ny""") hello }', None)
    assert plan is not None
    assert [(field.key, field.line, field.column) for field in plan.fields] == [
        ("a", 1, 3),
        ("b", 1, 30),
        ("hello", 2, 7),
    ]
    assert [(field.key, field.line) for field in plan.steps[1].fields] == [("b", 1), ("hello", 2)]


def test_a_variable_is_complained_of_where_this_document_declares_it() -> None:
    memory = documents()
    memory.plan("query($a: Int = 1, $b: Int!) { flow(limit: $a) { id } echo(count: $b) }", None)
    plan = memory.plan("query($a: Int = 1000, $b: Int!) { flow(limit: $a) { id } echo(count: $b) }", None)
    with pytest.raises(Refusal) as caught:
        plan.check({})
    assert caught.value.entries[0]["locations"] == [{"line": 1, "column": 23}]


def test_a_literal_out_of_range_is_refused_whatever_is_known() -> None:
    memory = documents()
    memory.plan("{ flow(limit: 2147483647) { id } }", None)
    with pytest.raises(Refusal) as caught:
        memory.plan("{ flow(limit: 2147483648) { id } }", None)
    assert caught.value.entries[0]["locations"] == [{"line": 1, "column": 15}]
    assert memory.stats.unfit == 1


def test_literals_that_are_compared_with_each_other_are_not_shared() -> None:
    memory = documents()
    text = "{{ a: flow(limit: {}) {{ id }} a: flow(limit: {}) {{ name }} }}"
    memory.plan(text.format(1, 1), None)
    with pytest.raises(Refusal, match="conflict"):
        memory.plan(text.format(1, 2), None)
    assert memory.known(text.format(1, 2), None) is None
    assert memory.known(text.format(2, 2), None) is None
    memory.plan(text.format(2, 2), None)
    assert memory.known(text.format(2, 2), None) is not None


def test_long_lists_of_ids_share_a_plan_up_to_the_limit_of_tokens() -> None:
    memory = Documents(stitched=UNITED, depth_limit=7, token_limit=10_000)
    text = "{{ flow(where: {{name: {{_in: [{}]}}}}) {{ id }} }}"
    memory.plan(text.format('"a" "b"'), None)
    memory.plan(text.format(" ".join(['"0123456789"'] * 2_000)), None)
    assert (memory.stats.hits, memory.stats.misses) == (1, 1)
    with pytest.raises(Refusal) as caught:
        memory.plan(text.format('"" ' * 10_000), None)
    assert caught.value.entries[0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"


def test_aliases_are_limited() -> None:
    planner = Documents(stitched=UNITED, depth_limit=7, alias_limit=2)
    planner.plan("{ a: hello b: hello hello }", None)
    with pytest.raises(Refusal) as caught:
        planner.plan("{ a: hello b: hello c: hello }", None)
    assert caught.value.entries[0]["message"] == "The document has more than 2 aliases."
