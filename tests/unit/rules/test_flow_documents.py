"""rules.flows: the table of actions.md §2.4 "Serialized flow document", one row or more per key."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.errors import InvalidInput
from server_core.flow_document import Flow
from server_core.rules.durations import parse_duration
from server_core.rules.flows import missing_parameters, parse_edges, parse_flow, parse_tasks

CUTOFF = "0.6.1"


def parse(**document: Any) -> Flow:
    return parse_flow({"name": "f", **document}, core_version_cutoff=CUTOFF)


def test_smallest_document() -> None:
    flow = parse()
    assert (flow.name, flow.core_version, flow.parameters, flow.tasks, flow.edges) == ("f", None, [], [], [])
    assert flow.run_config is flow.environment is flow.storage is flow.schedule is None
    assert flow.document == {"name": "f"}


def test_unknown_keys_are_kept_in_the_document() -> None:
    assert parse(surprise={"a": 1}).document["surprise"] == {"a": 1}


@pytest.mark.parametrize("version", ["0.6.1", "0.7.0+g5892", "1.4.1", "2022.9.7"])
def test_core_versions_from_the_cutoff_on(version: str) -> None:
    assert parse(__version__=version).core_version == version


@pytest.mark.parametrize("version", ["0.6.0", "0.5.9+3", "0.6.0rc1"])
def test_older_core_versions_are_refused(version: str) -> None:
    with pytest.raises(InvalidInput, match=r"0\.6\.1\+"):
        parse(__version__=version)


def test_task_defaults() -> None:
    (task,) = parse(tasks=[{"slug": "a-1"}]).tasks
    assert (task.id, task.slug, task.name, task.type) == (None, "a-1", None, None)
    assert (task.max_retries, task.retry_delay, task.tags, task.trigger) == (0, None, [], None)
    assert (task.auto_generated, task.cache_key) == (False, None)


def test_full_task() -> None:
    entry = {
        "id": "8F8A6F6E-3D7B-4E3E-9C1E-0A4C1D2E3F40",
        "slug": "a-1",
        "name": "a",
        "type": "prefect.tasks.core.function.FunctionTask",
        "auto_generated": True,
        "tags": ["x", "y"],
        "max_retries": 3,
        "retry_delay": 60,
        "cache_key": "key",
        "trigger": {"fn": "prefect.triggers.all_successful", "kwargs": {}},
        "mapped": True,
        "is_reference_task": True,
        "other": 1,
    }
    (task,) = parse(tasks=[entry]).tasks
    assert task.id == UUID("8f8a6f6e-3d7b-4e3e-9c1e-0a4c1d2e3f40")
    assert (task.max_retries, task.retry_delay, task.tags) == (3, timedelta(minutes=1), ["x", "y"])
    assert (task.trigger, task.auto_generated, task.cache_key) == ("prefect.triggers.all_successful", True, "key")
    assert task.entry is entry


@pytest.mark.parametrize(
    ("trigger", "stored"),
    [
        ("all_successful", "all_successful"),
        ({"fn": "my.own.trigger", "kwargs": {"a": 1}}, "my.own.trigger"),
        (None, None),
    ],
)
def test_triggers(trigger: Any, stored: str | None) -> None:
    assert parse(tasks=[{"slug": "a", "trigger": trigger}]).tasks[0].trigger == stored


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (60, 60),
        (0.5, 0.5),
        ("60", 60),
        ("1:30", 90),
        ("0:01:30.5", 90.5),
        ("1 day, 0:00:01", 86401),
        ("2 days 3:00:00", 2 * 86400 + 3 * 3600),
        ("3 00:00:00", 3 * 86400),
        ("5 days", 5 * 86400),
        ("-1:00", -60),
        ("PT1H", 3600),
        ("P1DT0.5S", 86400.5),
        ("P2W", 14 * 86400),
    ],
)
def test_durations(value: Any, seconds: float) -> None:
    assert parse_duration(value) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value", ["", "soon", "1:", "P", "PT", "1 fortnight", True, [], {}, float("inf"), 1e300, "9" * 40]
)
def test_not_durations(value: Any) -> None:
    assert parse_duration(value) is None


def test_edges() -> None:
    edges = parse_edges(
        [
            {"upstream_task": "a", "downstream_task": {"slug": "b"}, "key": "x", "mapped": True},
            {"upstream_task": {"slug": "a", "__version__": "1"}, "downstream_task": "c", "key": None},
        ]
    )
    assert [(edge.upstream, edge.downstream, edge.key, edge.mapped) for edge in edges] == [
        ("a", "b", "x", True),
        ("a", "c", None, False),
    ]


def test_parameters_are_completed() -> None:
    flow = parse(
        parameters=[
            {"slug": "x", "name": "x", "required": True, "type": "prefect.core.parameter.Parameter"},
            {"slug": "y", "default": 0},
        ]
    )
    assert flow.parameters == [
        {"slug": "x", "name": "x", "required": True, "default": None, "type": "prefect.core.parameter.Parameter"},
        {"slug": "y", "name": "y", "required": False, "default": 0},
    ]


BAD_FLOWS: list[tuple[Any, str]] = [
    (None, "serialized_flow"),
    ([], "serialized_flow"),
    ("{}", "serialized_flow"),
    ({}, "name"),
    ({"name": None}, "name"),
    ({"name": 1}, "name"),
    ({"name": "f", "__version__": 1}, "__version__"),
    ({"name": "f", "__version__": "new"}, "__version__"),
    ({"name": "f", "tasks": None}, "tasks"),
    ({"name": "f", "tasks": {}}, "tasks"),
    ({"name": "f", "tasks": ["a"]}, r"tasks\[0\]"),
    ({"name": "f", "tasks": [{"slug": "a"}, {}]}, r"tasks\[1\]\.slug"),
    ({"name": "f", "tasks": [{"slug": None}]}, "slug"),
    ({"name": "f", "tasks": [{"slug": "a", "id": "nope"}]}, r"tasks\[0\]\.id"),
    ({"name": "f", "tasks": [{"slug": "a", "id": 1}]}, r"tasks\[0\]\.id"),
    ({"name": "f", "tasks": [{"slug": "a", "name": 1}]}, r"tasks\[0\]\.name"),
    ({"name": "f", "tasks": [{"slug": "a", "max_retries": None}]}, "max_retries"),
    ({"name": "f", "tasks": [{"slug": "a", "max_retries": "3"}]}, "max_retries"),
    ({"name": "f", "tasks": [{"slug": "a", "max_retries": 2**31}]}, "max_retries"),
    ({"name": "f", "tasks": [{"slug": "a", "max_retries": True}]}, "max_retries"),
    ({"name": "f", "tasks": [{"slug": "a", "retry_delay": "soon"}]}, "retry_delay"),
    ({"name": "f", "tasks": [{"slug": "a", "tags": "x"}]}, "tags"),
    ({"name": "f", "tasks": [{"slug": "a", "trigger": 1}]}, "trigger"),
    ({"name": "f", "tasks": [{"slug": "a", "trigger": {"fn": None}}]}, "trigger"),
    ({"name": "f", "tasks": [{"slug": "a", "auto_generated": "no"}]}, "auto_generated"),
    ({"name": "f", "edges": None}, "edges"),
    ({"name": "f", "edges": [1]}, r"edges\[0\]"),
    ({"name": "f", "edges": [{"upstream_task": "a"}]}, "downstream_task"),
    ({"name": "f", "edges": [{"upstream_task": {}, "downstream_task": "b"}]}, "upstream_task"),
    ({"name": "f", "edges": [{"upstream_task": "a", "downstream_task": "b", "mapped": 1}]}, "mapped"),
    ({"name": "f", "edges": [{"upstream_task": "a", "downstream_task": "b", "key": 1}]}, "key"),
    ({"name": "f", "parameters": {}}, "parameters"),
    ({"name": "f", "parameters": [{"name": "x"}]}, r"parameters\[0\]"),
    ({"name": "f", "parameters": [{"slug": "x", "required": "yes"}]}, "required"),
    ({"name": "f", "run_config": "x"}, "run_config"),
    ({"name": "f", "environment": []}, "environment"),
    ({"name": "f", "storage": 1}, "storage"),
    ({"name": "f", "schedule": []}, "schedule"),
    ({"name": "f", "schedule": {}}, "clocks"),
    ({"name": "f", "schedule": {"clocks": [1]}}, "clocks"),
    ({"name": "f", "schedule": {"clocks": [{"parameter_defaults": []}]}}, "parameter_defaults"),
]


@pytest.mark.parametrize(("document", "named"), BAD_FLOWS)
def test_bad_documents_name_the_field(document: Any, named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        parse_flow(document, core_version_cutoff=CUTOFF)


@pytest.mark.parametrize("value", [None, {}, "x", 1])
def test_tasks_and_edges_must_be_lists(value: Any) -> None:
    with pytest.raises(InvalidInput):
        parse_tasks(value)
    with pytest.raises(InvalidInput):
        parse_edges(value)


def clocks(*defaults: dict[str, Any] | None) -> dict[str, Any]:
    return {"clocks": [{"type": "CronClock", "parameter_defaults": each} for each in defaults]}


REQUIRED = [{"name": "x", "slug": "x", "required": True}, {"name": "y", "slug": "y", "required": True}]


@pytest.mark.parametrize(
    ("schedule", "group_defaults", "missing"),
    [
        (None, {}, []),
        (clocks(None), {}, ["x", "y"]),
        (clocks({"x": 1, "y": 2}), {}, []),
        (clocks({"x": 1, "y": None}), {}, []),
        (clocks({"x": 1, "y": 2}, {"x": 1}), {}, ["y"]),
        (clocks({"x": 1}), {"y": 1}, []),
        (clocks({}), {"x": None, "y": 1}, []),
    ],
)
def test_required_parameters_of_a_schedule(
    schedule: dict[str, Any] | None, group_defaults: dict[str, Any], missing: list[str]
) -> None:
    assert missing_parameters(parameters=REQUIRED, schedule=schedule, group_defaults=group_defaults) == missing


def test_optional_parameters_and_odd_columns_need_nothing() -> None:
    optional = [{"name": "x", "slug": "x", "required": False}]
    assert missing_parameters(parameters=optional, schedule=clocks(None), group_defaults={}) == []
    assert missing_parameters(parameters={}, schedule=clocks(None), group_defaults={}) == []
