"""The state vocabulary against the contract (actions.md §3.1, §3.2) and against the real client's answers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server_core import states
from server_core.errors import InvalidInput, PayloadTooLarge
from server_core.states import make_state, parse_state, with_cached_inputs

NOW = datetime(2022, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
VECTORS = json.loads(Path(__file__).with_name("state_vectors").joinpath("vectors.json").read_text())
NO_RESULT = {"type": "NoResultType", "__version__": "1.4.1"}


@pytest.mark.parametrize(("document", "stored"), VECTORS, ids=[json.dumps(vector[0])[:120] for vector in VECTORS])
def test_round_trip_is_that_of_the_client(document: Any, stored: dict[str, Any] | None) -> None:
    if stored is None:
        with pytest.raises(InvalidInput):
            parse_state(document, now=NOW)
        return
    if stored.get("start_time") == "NOW":
        stored = {**stored, "start_time": NOW.isoformat()}
    state = parse_state(document, now=NOW)
    assert dict(state.document) == stored
    assert json.loads(state.text) == stored
    assert state.name == stored["type"]
    assert state.message == stored["message"]


def test_parsing_a_stored_state_again_changes_nothing() -> None:
    for document, stored in VECTORS:
        if stored:
            once = parse_state(document, now=NOW)
            assert parse_state(dict(once.document), now=NOW + timedelta(days=1)) == once, document


def test_the_vectors_have_every_class_with_every_result() -> None:
    """§3.1, §3.2: a state's own result, but for Mapped, and one in its cached inputs."""
    found = {
        (stored["type"], result["type"])
        for _, stored in VECTORS
        if stored
        for result in (*([stored["_result"]] if "_result" in stored else []), *stored["cached_inputs"].values())
    }
    results = {"NoResultType", "Result", "PrefectResult", "ConstantResult", "LocalResult", "S3Result", "GCSResult"}
    results |= {"AzureResult", "SecretResult"}
    assert found == {(name, result) for name in states.CONCRETE for result in results}


def test_naive_times_are_utc_for_queued_too() -> None:
    state = parse_state({"type": "Queued", "start_time": "2020-01-02T03:04:05"}, now=NOW)
    assert state.document["start_time"] == "2020-01-02T03:04:05+00:00"
    assert state.start_time == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_result_is_not_given_places_of_this_machine() -> None:
    document = {"type": "Success", "_result": {"type": "LocalResult", "location": "a"}}
    assert parse_state(document, now=NOW).document["_result"] == {
        "type": "LocalResult",
        "location": "a",
        "__version__": "1.4.1",
    }


def test_start_time_is_also_given_in_utc() -> None:
    state = parse_state({"type": "Scheduled", "start_time": "2020-01-02T03:04:05+02:00"}, now=NOW)
    assert state.start_time == datetime(2020, 1, 2, 1, 4, 5, tzinfo=UTC)
    assert state.start_time.utcoffset() == timedelta(0)


def test_a_start_time_before_the_calendar_is_refused() -> None:
    with pytest.raises(InvalidInput):
        parse_state({"type": "Scheduled", "start_time": "0001-01-01T00:00:00+01:00"}, now=NOW)


@pytest.mark.parametrize("name", sorted(states.CONCRETE))
def test_only_classes_with_a_start_time_get_one(name: str) -> None:
    document = parse_state({"type": name}, now=NOW).document
    assert ("start_time" in document) == (name in {"Scheduled", "Paused", "Resume", "Retrying", "Queued"})


def test_trigger_made_pending_state_is_read() -> None:
    state = parse_state({"type": "Pending", "message": "Task run created"}, now=NOW)
    assert dict(state.document) == {
        "type": "Pending",
        "message": "Task run created",
        "context": {},
        "cached_inputs": {},
        "_result": NO_RESULT,
        "__version__": "1.4.1",
    }


@pytest.mark.parametrize(("length", "fits"), [(999_951, True), (999_952, False)])
def test_size_limit_counts_ascii_json(length: int, fits: bool) -> None:
    document = {"type": "Success", "message": ""}
    document["message"] = "x" * (length - len(json.dumps(document)))
    if fits:
        assert parse_state(document, now=NOW, max_bytes=1_000_000).name == "Success"
    else:
        with pytest.raises(PayloadTooLarge, match="payload too large"):
            parse_state(document, now=NOW, max_bytes=1_000_000)


def test_size_limit_counts_escapes() -> None:
    with pytest.raises(PayloadTooLarge):
        parse_state({"type": "Success", "message": "é" * 200_000}, now=NOW, max_bytes=1_000_000)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(InvalidInput):
        parse_state({"type": "Success", "context": {"x": value}}, now=NOW)


def test_bottomless_nesting_is_refused() -> None:
    document: dict[str, Any] = {"type": "Submitted"}
    for _ in range(5000):
        document = {"type": "Submitted", "state": document}
    with pytest.raises(InvalidInput):
        parse_state(document, now=NOW)


def test_characters_postgres_cannot_hold_are_replaced() -> None:
    state = parse_state({"type": "Failed", "message": "a\x00b\ud800c😀", "context": {"k\x00": "\udfff"}}, now=NOW)
    assert state.message == "a\ufffdb\ufffdc😀"
    assert json.loads(state.text)["message"] == state.message
    assert json.loads(state.text)["context"] == {"k\ufffd": "\ufffd"}


def test_states_of_the_server_itself() -> None:
    state = make_state("Retrying", now=NOW, message="again", start_time=NOW + timedelta(minutes=1), run_count=2)
    assert state.start_time == NOW + timedelta(minutes=1)
    assert state.document["run_count"] == 2


def test_cached_inputs_can_be_carried_over() -> None:
    held = parse_state({"type": "Failed", "cached_inputs": {"x": {"type": "Result", "location": "l"}}}, now=NOW)
    state = with_cached_inputs(parse_state({"type": "Running"}, now=NOW), held.cached_inputs)
    assert state.cached_inputs == held.cached_inputs
    assert json.loads(state.text)["cached_inputs"] == held.cached_inputs


def test_hierarchy() -> None:
    """§2.1: each state class lists itself first and all below it."""
    assert set(states.HIERARCHY) == set(states.COLORS) == set(states.PARENTS)
    assert all(names[0] == name for name, names in states.HIERARCHY.items())
    assert set(states.HIERARCHY["Success"]) == {"Success", "Cached", "Mapped", "Skipped"}
    assert set(states.HIERARCHY["State"]) == set(states.PARENTS)
    assert len(states.CONCRETE) == 21


def test_families() -> None:
    assert {"Pending", "Scheduled", "Paused", "Resume", "Retrying"} == states.PENDING
    assert {"Scheduled", "Paused", "Resume", "Retrying", "Queued"} == states.SCHEDULED
    assert {"Running", "Cancelling"} == states.RUNNING
    assert {"Success", "Cached", "Mapped", "Skipped"} == states.SUCCESSFUL
    assert {"Failed", "TimedOut", "TriggerFailed", "ValidationFailed"} == states.FAILED
    assert states.SUCCESSFUL | states.FAILED | {"Finished", "Looped", "Cancelled"} == states.FINISHED
    assert {"Scheduled", "Paused", "Resume", "Retrying", "Running", "Cancelling"} == states.BUSY
