"""What a new flow run is given (actions.md §2.6)."""

from itertools import product
from typing import Any

import pytest

from server_core.errors import InvalidInput
from server_core.rules.flow_runs import random_run_name, resolve_labels, resolve_parameters, resolve_run_config

NOTHING: dict[str, Any] = {
    "labels": None,
    "run_config": None,
    "group_labels": None,
    "group_run_config": None,
    "flow_run_config": None,
    "flow_environment": None,
}


@pytest.mark.parametrize("given", list(product([False, True], repeat=4)))
def test_labels_come_from_the_first_source_there_is(given: tuple[bool, ...]) -> None:
    """All 16 combinations of the first four sources (§2.6.3)."""
    sources = {
        "labels": ["b", "a"],
        "run_config": {"labels": ["d", "c"]},
        "group_labels": ["f", "e"],
        "group_run_config": {"labels": ["h", "g"]},
    }
    answers = [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
    chosen = {name: value for (name, value), there in zip(sources.items(), given, strict=True) if there}
    flow = {"flow_run_config": {"labels": ["z", "y"]}, "flow_environment": {"labels": ["never"]}}
    expected = next((answer for answer, there in zip(answers, given, strict=True) if there), ["y", "z"])
    assert resolve_labels(**{**NOTHING, **flow, **chosen}) == expected


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({}, []),
        ({"labels": [], "group_labels": ["a"]}, []),
        ({"run_config": {}, "group_labels": ["a"]}, []),
        ({"run_config": {"labels": None}, "group_labels": ["a"]}, []),
        ({"group_labels": [], "flow_run_config": {"labels": ["a"]}}, []),
        ({"group_run_config": {}, "flow_run_config": {"labels": ["a"]}}, []),
        ({"flow_run_config": {}, "flow_environment": {"labels": ["a"]}}, []),
        ({"flow_environment": {"labels": ["b", "a"]}}, ["a", "b"]),
        ({"flow_environment": {"labels": None}}, []),
        ({"flow_environment": {}}, []),
        ({"labels": ["a", "b", "a"]}, ["a", "a", "b"]),
    ],
)
def test_labels(sources: dict[str, Any], expected: list[str]) -> None:
    assert resolve_labels(**{**NOTHING, **sources}) == expected


@pytest.mark.parametrize("labels", ["abc", [1], [None], {"a": 1}, 5])
def test_labels_that_are_none(labels: Any) -> None:
    with pytest.raises(InvalidInput):
        resolve_labels(**{**NOTHING, "run_config": {"labels": labels}})


def test_run_config_is_taken_whole() -> None:
    own, group, flow = {"a": 1}, {"b": 2}, {"c": 3}
    assert resolve_run_config(run_config=own, group_run_config=group, flow_run_config=flow) == own
    assert resolve_run_config(run_config={}, group_run_config=group, flow_run_config=flow) == {}
    assert resolve_run_config(run_config=None, group_run_config=group, flow_run_config=flow) == group
    assert resolve_run_config(run_config=None, group_run_config=None, flow_run_config=flow) == flow
    assert resolve_run_config(run_config=None, group_run_config=None, flow_run_config=None) is None


@pytest.mark.parametrize("stored", [5, "x", True, ["labels"]])
def test_stored_values_that_are_no_objects_are_named(stored: Any) -> None:
    """A group's run config is stored as it comes (§2.5); a run that would take it is refused with a reason."""
    sources = ("run_config", "group_run_config", "flow_run_config")
    for source in sources:
        with pytest.raises(InvalidInput, match="run config must be a JSON object"):
            resolve_run_config(**{**dict.fromkeys(sources), source: stored})
    for source in (*sources, "flow_environment"):
        with pytest.raises(InvalidInput, match="must be a JSON object"):
            resolve_labels(**{**NOTHING, source: stored})
    with pytest.raises(InvalidInput, match="default parameters must be a JSON object"):
        resolve_parameters(flow_parameters=[], group_defaults=stored, given=None)


def declared(name: str, *, default: Any = None, required: bool = False) -> dict[str, Any]:
    return {"name": name, "slug": name, "default": default, "required": required}


def test_parameters_of_run_over_group_over_flow() -> None:
    flow = [declared("a", default=1), declared("b", default=2), declared("c", default=3)]
    found = resolve_parameters(flow_parameters=flow, group_defaults={"b": 20, "c": 30}, given={"c": 300, "x": 9})
    assert found == {"a": 1, "b": 20, "c": 300, "x": 9}


@pytest.mark.parametrize("default", [0, False, "", [], {}, None])
def test_falsy_defaults_are_not_copied(default: Any) -> None:
    assert resolve_parameters(flow_parameters=[declared("a", default=default)], group_defaults={}, given=None) == {}


def test_required_parameters() -> None:
    flow = [declared("a", required=True), declared("b", required=True)]
    with pytest.raises(InvalidInput, match="a, b"):
        resolve_parameters(flow_parameters=flow, group_defaults=None, given=None)
    with pytest.raises(InvalidInput, match=": b"):
        resolve_parameters(flow_parameters=flow, group_defaults={"a": 1}, given={})
    assert resolve_parameters(flow_parameters=flow, group_defaults={"a": 1}, given={"b": None}) == {"a": 1, "b": None}


@pytest.mark.parametrize("parameters", [None, {}, "x", [None, 5, {"slug": "no name"}]])
def test_flows_without_declared_parameters(parameters: Any) -> None:
    assert resolve_parameters(flow_parameters=parameters, group_defaults=None, given={"a": 0}) == {"a": 0}


def test_names_are_two_words_and_vary() -> None:
    names = {random_run_name() for _ in range(20)}
    assert len(names) > 10
    assert all(len(name.split("-")) >= 2 for name in names)
