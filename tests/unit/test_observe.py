"""Log lines: as JSON or for a person, and what they say of the request they were written for."""

import json
import logging
import sys
from typing import Any

import pytest

from server_core.activity import activity, current, note, note_variables, request_id, run_ids
from server_core.observe import ConsoleFormatter, JsonFormatter


def record(message: str, *args: object, level: int = logging.WARNING, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("server.part", level, "file.py", 1, message, args, None)
    vars(made).update(extra)
    return made


def test_a_json_line_carries_the_facts_of_its_activity() -> None:
    with activity(request_id="r1", service="gateway"):
        note(flow_run_id="f1")
        line = json.loads(JsonFormatter().format(record("lost %s", "it", error_id="e1")))
    assert {key: line[key] for key in ("severity", "name", "message", "request_id", "flow_run_id", "error_id")} == {
        "severity": "WARNING",
        "name": "server.part",
        "message": "lost it",
        "request_id": "r1",
        "flow_run_id": "f1",
        "error_id": "e1",
    }


def test_a_line_names_the_runs_of_its_request() -> None:
    with activity(request_id="r1"):
        note_variables({"input": {"flow_run_id": "f1"}})
        with activity(**current()):
            note_variables({"input": {"states": [{"task_run_id": "t1"}]}})
            assert current() == {"request_id": "r1", "flow_run_id": "f1", "task_run_id": "t1"}
        assert current() == {"request_id": "r1", "flow_run_id": "f1"}


def test_facts_cannot_replace_what_a_line_is() -> None:
    with activity(message="forged", severity="DEBUG"):
        line = json.loads(JsonFormatter().format(record("true")))
    assert (line["message"], line["severity"]) == ("true", "WARNING")


def test_nothing_is_left_of_an_activity_that_ended() -> None:
    with activity(request_id="r1"):
        with activity(request_id="r2"):
            note(more=1)
            assert current() == {"request_id": "r2", "more": 1}
        assert current() == {"request_id": "r1"}
    note(request_id="lost")
    assert current() == {}


def test_a_console_line_is_one_line() -> None:
    """What a client sends must not forge lines or command the terminal."""
    with activity(agent="a\x1b[31m\nERROR forged"):
        text = ConsoleFormatter().format(record("hello\nworld"))
    assert text[8:] == r" WARNING  hello\nworld  agent=a\x1b[31m\nERROR forged"


def test_a_console_line_shows_the_stack_trace_of_a_defect() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        failed = record("defect", level=logging.ERROR)
        failed.exc_info = sys.exc_info()
    first, *rest = ConsoleFormatter(colour=True).format(failed).splitlines()
    assert "\x1b[31mERROR" in first
    assert rest[-1] == "ValueError: broken"


def test_a_lone_surrogate_is_no_reason_to_lose_the_line() -> None:
    assert json.loads(JsonFormatter().format(record("\ud800")))["message"] == "\ud800"


@pytest.mark.parametrize("given", ["abc-123", "a" * 128, "Root=1-67891233-abcdef012345678912345678"])
def test_a_request_keeps_its_id(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "a" * 129, "a b", "a\nb", "ä", '"', "{}"])
def test_an_unfit_request_id_is_replaced(given: str | None) -> None:
    first, second = request_id(given), request_id(given)
    assert first != second
    assert len(first) == 16


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"input": {"flow_run_id": "f"}}, {"flow_run_id": "f"}),
        ({"input": {"states": [{"task_run_id": "a"}, {"task_run_id": "b"}]}}, {"task_run_id": ["a", "b"]}),
        ({"input": {"logs": [{"flow_run_id": "f", "task_run_id": "t"}] * 9}}, {"flow_run_id": "f", "task_run_id": "t"}),
        ({"flow_run_id": "f", "other": 3}, {"flow_run_id": "f"}),
        ({"input": {"states": [{"task_run_id": str(n)} for n in range(9)]}}, {"task_run_id": list("01234")}),
        ({"input": {"flow_run_id": 7}}, {}),
        ({"input": None, "list": [1, "x", None]}, {}),
        ({}, {}),
    ],
)
def test_the_runs_that_a_request_names(variables: dict[str, Any], expected: dict[str, Any]) -> None:
    assert run_ids(variables) == expected
