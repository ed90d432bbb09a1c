"""The cases cover everything that clients are known to send (catalogue.yaml), and their answers say something."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from graphql import FieldNode, SelectionSetNode, Visitor, parse, visit

from tests.service.data.cases import CASES, HERE, name_of

CATALOGUE: dict[str, dict[str, str]] = yaml.safe_load((HERE / "catalogue.yaml").read_text())
LISTED = [case for group in CATALOGUE.values() for case in group.values()]


def test_every_known_operation_has_a_case() -> None:
    assert {group: len(names) for group, names in CATALOGUE.items()} == {"ui": 104, "filters": 13, "client": 48}
    assert len(LISTED) == len(set(LISTED))
    assert set(LISTED) <= {name_of(case) for case in CASES}
    made_for_the_ui = {name_of(case) for case in CASES if case.parent.name in ("ui", "ui_filters")}
    assert made_for_the_ui <= set(LISTED)


IMPOSSIBLE = {"ui_filters/messages_without_a_tenant", "client/flow_view_by_name_without_project"}
"""The columns are not null: these ask for what there cannot be."""


@pytest.mark.parametrize("name", [name for name in LISTED if name not in IMPOSSIBLE])
def test_a_case_is_not_answered_by_nothing(name: str) -> None:
    data = json.loads((HERE / "cases" / name / "case.json").read_text())["data"]
    assert any(says_something(root) for root in data.values())


def says_something(answer: Any) -> bool:
    """Say whether an answer holds rows, or counts some."""
    if isinstance(answer, dict) and "aggregate" in answer:
        return bool(answer["aggregate"]["count"])
    return bool(answer)


@pytest.mark.parametrize("name", [name for name in LISTED if name.startswith("ui")])
def test_the_ui_asks_for_the_type_of_everything(name: str) -> None:
    path: Path = HERE / "cases" / name / "case.graphql"
    nested: list[SelectionSetNode] = []

    class Nested(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            if node.selection_set:
                nested.append(node.selection_set)

    visit(parse(path.read_text()), Nested())
    for selection_set in nested:
        assert "__typename" in {node.name.value for node in selection_set.selections if isinstance(node, FieldNode)}
