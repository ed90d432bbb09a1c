"""Writes vectors.json: what the real 1.4.1 client makes of a serialized state (load, then dump).

Run with a Python that has prefect==1.4.1 (pins: client-operations.md §9); the answers are committed as data:
    /path/to/client/bin/python tests/unit/state_vectors/make.py
A start time that the client filled in with the current time is written as NOW.
"""

import json
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

from prefect.serialization.state import StateSchema  # type: ignore[import-not-found]  # noqa: E402

LOCAL = {"type": "LocalResult", "location": "/x", "dir": "/d"}
CLASSES = """
    State _MetaState Pending Scheduled Paused Resume Retrying ClientFailed Submitted Queued Running Cancelling Finished
    Looped Success Cached Mapped Skipped Cancelled Failed TimedOut TriggerFailed ValidationFailed success Nope
""".split()  # noqa: SIM905 - as the contract lists them
MESSAGES: list[Any] = [None, "", "é\u2028", 5, True, [], {}]
INPUTS: list[Any] = [None, {}, [1], "", 5]
TIMES: list[Any] = [
    "2020-01-02T03:04:05.6789",
    "2020-01-02T03:04:05.678900+00:00",
    "2020-01-02T03:04:05+02:00",
    "2020-01-02T03:04:05Z",
    "2020-01-02 03:04:05-00:30",
    "2020-01-02T03:04:05.678900123Z",
    "2020-01-02T03:04",
    "2020-01-02T03:04:05+0200",
    "2020-1-2T3:4:5",
    "2020-01-02",
    "2020-01-02T03",
    "2020-01-02T24:00:00",
    "2020-13-01T00:00:00+00:00",
    "2020-01-02T03:04:05+25:00",
    "20200102T030405Z",
    " 2020-01-02T03:04:05Z",
    "garbage",
    "",
    5,
    True,
]
COUNTS: list[Any] = [3, "3", " 7 ", 2.5, -1, 0, True, "x", "2.5", [1], {}]
RESULTS: list[Any] = [
    {"type": "NoResultType"},
    {"type": "NoResultType", "location": "x"},
    *({"type": name} for name in ("Result", "PrefectResult", "ConstantResult", "CustomResult", "GitResult")),
    *({"type": name, "location": "x", "value": 1} for name in ("Result", "PrefectResult", "ConstantResult", "Nope")),
    *({"type": name, "location": 5} for name in ("Result", "PrefectResult", "LocalResult")),
    LOCAL,
    {"type": "LocalResult", "location": "x", "dir": None},
    {"type": "S3Result", "location": "x", "bucket": "b"},
    {"type": "S3Result", "location": "x", "bucket": None},
    {"type": "S3Result", "location": "x"},
    {"type": "GCSResult", "location": None, "bucket": "b"},
    {"type": "GCSResult", "location": "x", "bucket": None},
    {"type": "AzureResult", "location": "x", "container": "c"},
    {"type": "AzureResult", "location": "x"},
    {"type": "SecretResult", "location": "x", "secret_type": "SecretBase"},
    {"type": "CustomResult", "location": "x", "type_": "y"},
    {"location": "x"},
    {},
    {"type": None},
    {"type": {}},
    None,
    5,
    [],
    "x",
]

KINDS: list[dict[str, Any]] = [
    {"type": "NoResultType"},
    *({"type": name, "location": "x"} for name in ("Result", "PrefectResult", "ConstantResult", "CustomResult")),
    LOCAL,
    {"type": "S3Result", "location": "x", "bucket": "b"},
    {"type": "GCSResult", "location": "x", "bucket": "b"},
    {"type": "AzureResult", "location": "x", "container": "c"},
    {"type": "SecretResult", "location": "x", "secret_type": "SecretBase"},
    {"type": "MyOwnResult", "location": "x", "more": 1},
]
"""Each result type as clients send it, and one of a user's own."""
OWN: dict[str, dict[str, Any]] = {
    "Scheduled": {"start_time": TIMES[1]},
    "Paused": {"start_time": TIMES[1]},
    "Resume": {"start_time": TIMES[2]},
    "Queued": {"start_time": TIMES[2]},
    "Retrying": {"start_time": TIMES[1], "run_count": 2},
    "Looped": {"loop_count": 3},
    "Mapped": {"n_map_states": 4},
    "Cached": {"cached_parameters": {"p": 1}, "cached_result_expiration": TIMES[1], "hashed_inputs": {"x": "abc"}},
}
"""What classes have besides the common keys."""


def crossed() -> list[Any]:
    """Return every class with every type of result, as its own, in its cached inputs and in the state that it wraps."""
    made = []
    for name in CLASSES[2:-2]:
        for kind in KINDS:
            document = {"type": name, "message": "m", "context": {"tags": ["t"]}, "cached_inputs": {"x": kind}}
            document |= OWN.get(name, {})
            if name != "Mapped":
                document["_result"] = kind
            if name in ("Submitted", "Queued", "ClientFailed"):
                inner = {"type": "Retrying", **OWN["Retrying"], "_result": kind, "cached_inputs": {"y": kind}}
                document["state"] = inner
            made.append(document)
    return made


def documents() -> list[Any]:
    """Return the inputs."""
    made: list[Any] = [{"type": name} for name in CLASSES]
    made += [{"type": name, "message": "m", "start_time": None, "extra": 1, "__version__": "0.1"} for name in CLASSES]
    for name in ("Scheduled", "Paused", "Resume", "Retrying"):
        made += [{"type": name, "start_time": time} for time in TIMES]
    made += [{"type": "Queued", "start_time": time} for time in TIMES if time not in (TIMES[0], TIMES[6], TIMES[8])]
    made += [{"type": "Cached", "cached_result_expiration": time} for time in TIMES]
    for name, key in (("Retrying", "run_count"), ("Looped", "loop_count"), ("Mapped", "n_map_states")):
        made += [{"type": name, key: count} for count in [*COUNTS, None]]
    made += [{"type": "Success", "_result": result} for result in RESULTS]
    made += [{"type": "Failed", "cached_inputs": {"a": result, "b": LOCAL}} for result in RESULTS]
    made += [{"type": "Mapped", "_result": result} for result in (None, LOCAL)]
    made += [{"type": "Success", "message": message} for message in MESSAGES]
    for context in (
        None,
        {},
        {"tags": ["b", "a"], "x": 1},
        {"task_run_count": 2},
        {"a": None},
        {"a": {"b": None}},
        [1],
        "",
    ):
        made.append({"type": "Running", "context": context})
    made += [{"type": "Success", "cached_inputs": inputs} for inputs in INPUTS]
    for parameters in (None, {"a": 1}, [1], 5):
        made.append({"type": "Cached", "cached_parameters": parameters})
    for hashed in (None, {}, {"x": "abc"}, {"x": 5}, {"x": None}, 5):
        made.append({"type": "Cached", "hashed_inputs": hashed})
    scheduled = {"type": "Scheduled", "message": "s", "start_time": "2020-01-01T00:00:00+00:00", "_result": LOCAL}
    for name in ("Submitted", "Queued", "ClientFailed"):
        for inner in (
            None,
            scheduled,
            {"type": "Submitted", "state": scheduled},
            {"type": "Queued", "state": {"type": "Submitted", "state": {"type": "Paused"}}},
            {"type": "Queued"},
            {"type": "Mapped", "n_map_states": 3},
            {"type": "Nope"},
            {"type": "State"},
            {},
            5,
            "",
        ):
            made.append({"type": name, "state": inner})
    made += [{"type": None}, {"type": 5}, {"type": ["Success"]}, {}, [], None, "Success", 5]
    return made + crossed()


def round_trip(document: Any) -> Any:
    """Return what the client stores for the input, or null when it refuses it."""
    try:
        dumped = StateSchema().dump(StateSchema().load(document))
    except Exception:
        return None
    if dumped.get("start_time") is not None and document.get("start_time") is None:
        dumped["start_time"] = "NOW"
    return dumped


if __name__ == "__main__":
    lines = [json.dumps([document, round_trip(document)], sort_keys=True) for document in documents()]
    Path(__file__).with_name("vectors.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(len(lines), "vectors")
