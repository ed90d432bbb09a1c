"""Variable values are fit, or refused with `Variable "$x" …` (data-api.md §3.3)."""

from typing import Any

import pytest

from services.gateway.document import Documents
from services.gateway.refusal import Refusal
from services.gateway.variables import check
from tests.support.upstreams import stitched

DOCUMENTS = Documents(stitched=stitched(), depth_limit=7)


def checked(declaration: str, values: dict[str, Any]) -> None:
    """Check values against `query($x: …)`."""
    uses = {
        "Int": "flow(limit: $x) { id }",
        "Int!": "flow(limit: $x) { id }",
        "Int! = 3": "flow(limit: $x) { id }",
        "uuid!": "flow_by_pk(id: $x) { id }",
        "JSON": "echo(value: $x)",
        "flow_bool_exp": "flow(where: $x) { id }",
        "[String!]": "flow(where: {name: {_in: $x}}) { id }",
    }
    plan = DOCUMENTS.plan(f"query(\n  $x: {declaration}) {{ {uses[declaration]} }}", None)
    check(plan.variables, values)


def deep(levels: int) -> dict[str, Any]:
    """Return a filter nested that often."""
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"_and": [value]}
    return value


@pytest.mark.parametrize(
    ("declaration", "values"),
    [
        ("Int", {}),
        ("Int", {"x": None}),
        ("Int", {"x": 5, "unknown": object()}),
        ("Int! = 3", {}),
        ("uuid!", {"x": "anything: the upstream judges"}),
        ("JSON", {"x": {"deep": [1, None, {"er": True}]}}),
        ("flow_bool_exp", {"x": {"_and": {"name": {"_eq": None}}}}),
        ("[String!]", {"x": "one"}),
        ("[String!]", {"x": []}),
    ],
)
def test_fit(declaration: str, values: dict[str, Any]) -> None:
    checked(declaration, values)


@pytest.mark.parametrize(
    ("declaration", "values", "message"),
    [
        ("Int!", {}, "Variable \"$x\" of required type 'Int!' was not provided."),
        ("Int!", {"x": None}, 'Variable "$x" has invalid value'),
        ("Int! = 3", {"x": None}, 'Variable "$x" has invalid value'),
        ("Int", {"x": "5"}, 'Variable "$x" has invalid value'),
        ("Int", {"x": 2**31}, 'Variable "$x" has invalid value'),
        ("Int", {"x": True}, 'Variable "$x" has invalid value'),
        ("[String!]", {"x": ["a", None]}, 'Variable "$x" has invalid value at [1]'),
        ("flow_bool_exp", {"x": {"nope": {}}}, 'Variable "$x" has invalid value'),
        ("flow_bool_exp", {"x": deep(2_000)}, 'Variable "$x" is nested too deeply'),
    ],
)
def test_refused(declaration: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(Refusal) as caught:
        checked(declaration, values)
    entry = caught.value.entries[0]
    assert caught.value.status == 400
    assert entry["message"].startswith(message)
    assert entry["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert entry["locations"] == [{"line": 2, "column": 3}]
