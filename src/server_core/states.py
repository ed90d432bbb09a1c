"""A state as a client sends it → a checked State, the one shape the server stores. Called by actions and rules.

The vocabulary of the 1.x client: 23 state classes in a tree, families of them, and a serialized form that is parsed
and written again before it is stored (actions.md §3.1, §3.2): unknown keys go, missing ones are filled in, and a class
never gets a key that it does not have (agents sort runs by `start_time` as text, a null there breaks them).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any, Final

from server_core.errors import InvalidInput, PayloadTooLarge
from server_core.storable import payload_size, storable_json, storable_text

LIBRARY_VERSION: Final = "1.4.1"
"""The client library whose serialized form this is; written as `__version__`."""

PARENTS: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "State": None,
        "Pending": "State",
        "Scheduled": "Pending",
        "Paused": "Scheduled",
        "Resume": "Scheduled",
        "Retrying": "Scheduled",
        "_MetaState": "State",
        "ClientFailed": "_MetaState",
        "Submitted": "_MetaState",
        "Queued": "_MetaState",
        "Running": "State",
        "Cancelling": "Running",
        "Finished": "State",
        "Looped": "Finished",
        "Success": "Finished",
        "Cached": "Success",
        "Mapped": "Success",
        "Skipped": "Success",
        "Cancelled": "Finished",
        "Failed": "Finished",
        "TimedOut": "Failed",
        "TriggerFailed": "Failed",
        "ValidationFailed": "Failed",
    }
)
"""Each state class and the class it inherits from."""

COLORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "State": "#696969",
        "Pending": "#7ebdff",
        "Scheduled": "#ffab00",
        "Paused": "#99a8e8",
        "Resume": "#f58c0c",
        "Retrying": "#f66a0a",
        "_MetaState": "#696969",
        "ClientFailed": "#eb0000",
        "Submitted": "#ffdf5d",
        "Queued": "#ffea7f",
        "Running": "#3d67ff",
        "Cancelling": "#E8E8E8",
        "Finished": "#003ccb",
        "Looped": "#003ccb",
        "Success": "#28a745",
        "Cached": "#34d058",
        "Mapped": "#003ccb",
        "Skipped": "#62757f",
        "Cancelled": "#bdbdbd",
        "Failed": "#eb0000",
        "TimedOut": "#ff4e33",
        "TriggerFailed": "#ff5131",
        "ValidationFailed": "#ff5131",
    }
)
"""The colour of each state class, as `reference_data.state_info` tells it."""


def _descendants(name: str) -> tuple[str, ...]:
    below = [child for child, parent in PARENTS.items() if parent == name]
    return (name, *(descendant for child in below for descendant in _descendants(child)))


HIERARCHY: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType({name: _descendants(name) for name in PARENTS})
"""Each class and all classes that inherit from it, itself first (`reference_data.state_hierarchy`)."""

CONCRETE: Final = frozenset(PARENTS) - {"State", "_MetaState"}
"""The classes a run can be in; cloud hooks may name any of them."""

META: Final = frozenset(HIERARCHY["_MetaState"]) - {"_MetaState"}
PENDING: Final = frozenset(HIERARCHY["Pending"])
SCHEDULED: Final = frozenset(HIERARCHY["Scheduled"]) | {"Queued"}
"""What the queue hands out; Queued counts although it is a meta state."""
WAITING: Final = PENDING | SCHEDULED
"""Nobody has the run: an agent may take it."""
SUBMITTED: Final = frozenset({"Submitted"})
RUNNING: Final = frozenset(HIERARCHY["Running"])
FINISHED: Final = frozenset(HIERARCHY["Finished"])
SUCCESSFUL: Final = frozenset(HIERARCHY["Success"])
FAILED: Final = frozenset(HIERARCHY["Failed"])
BUSY: Final = (SCHEDULED - {"Queued"}) | RUNNING
"""Task states that tell lazarus that a flow run is still being worked on (§5.3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A state in the form in which it is stored.

    Attributes:
        name: concrete class name.
        message: text for people, or None.
        start_time: when the run may start, in UTC; None for classes without one.
        document: the serialized form; do not change it.
        text: the same as ASCII JSON.
    """

    name: str
    message: str | None
    start_time: datetime | None
    document: Mapping[str, Any]
    text: str

    @property
    def cached_inputs(self) -> Mapping[str, Any]:
        """The inputs that a retry would start from, by name; empty when there are none."""
        inputs: Mapping[str, Any] = self.document["cached_inputs"]
        return inputs


def parse_state(document: object, *, now: datetime, max_bytes: int | None = None) -> State:
    """Check a serialized state and write it again in its stored form (actions.md §3.2).

    Args:
        document: what the client sent, decoded JSON.
        now: stands in for a start time that is missing or null.
        max_bytes: size limit; None: no limit.

    Raises:
        InvalidInput: unknown class, or a member of a wrong type.
        PayloadTooLarge: the document is over the limit.
    """
    if max_bytes is not None and payload_size(storable_json(document)) > max_bytes:
        raise PayloadTooLarge(f"State payload too large: it may not exceed {max_bytes} bytes.")
    try:
        return _finish(_parse(document, now))
    except RecursionError as error:
        raise InvalidInput("Invalid state: nested too deeply.") from error


def make_state(name: str, *, now: datetime, message: str | None = None, **fields: Any) -> State:
    """Build a state of the server's own; `fields` are serialized keys of its class, times as datetimes.

    Raises:
        InvalidInput: see parse_state.
    """
    encoded = {
        key: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for key, value in fields.items()
    }
    return parse_state({"type": name, "message": message, **encoded}, now=now)


def with_cached_inputs(state: State, inputs: Mapping[str, Any]) -> State:
    """Return the same state holding these cached inputs."""
    return _finish({**state.document, "cached_inputs": dict(inputs)})


def _finish(document: dict[str, Any]) -> State:
    text = storable_json(document)
    start_time = document.get("start_time")
    return State(
        name=document["type"],
        message=None if document["message"] is None else storable_text(document["message"]),
        start_time=None if start_time is None else _read_time(start_time).astimezone(UTC),
        document=MappingProxyType(document),
        text=text,
    )


def _parse(document: object, now: datetime) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InvalidInput("Invalid state: it must be a JSON object.")
    name = document.get("type")
    if not isinstance(name, str) or name not in CONCRETE:
        raise InvalidInput(f"Invalid state: {name!r} is not a state type.")
    parsed: dict[str, Any] = {
        "type": name,
        "message": _message(document.get("message")),
        "context": _mapping("context", document.get("context"), _anything),
        "cached_inputs": _mapping("cached_inputs", document.get("cached_inputs"), _result),
        "__version__": LIBRARY_VERSION,
    }
    if name != "Mapped":
        parsed["_result"] = _result("_result", document["_result"]) if "_result" in document else _no_result()
    if name in META:
        parsed["state"] = _wrapped(document.get("state"), now)
    extra = _EXTRA.get(name)
    if extra is not None:
        parsed.update(extra(document, now))
    return parsed


def _wrapped(document: object, now: datetime) -> dict[str, Any] | None:
    if document is None:
        return None
    inner = _parse(document, now)
    while inner["type"] in META:
        if inner["state"] is None:
            return None
        inner = inner["state"]
    return inner


# --- members -----------------------------------------------------------------------------------------------------


def _message(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidInput("Invalid state: `message` must be a string or null.")
    return value


def _mapping(key: str, value: object, member: Callable[[str, object], Any]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"Invalid state: `{key}` must be an object.")
    return {name: member(f"{key}.{name}", each) for name, each in value.items()}


def _anything(key: str, value: object) -> object:
    if value is None:
        raise InvalidInput(f"Invalid state: `{key}` may not be null.")
    return value


def _string(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"Invalid state: `{key}` must be a string.")
    return value


def _count(key: str, value: object) -> int:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return int(value)
        except (ValueError, OverflowError):
            pass
    raise InvalidInput(f"Invalid state: `{key}` must be an integer.")


_ISO_TIME: Final = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})[T ](\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,6})\d*)?)?"
    r"(?:(Z)|([+-])(\d{2})(?::?(\d{2}))?)?",
    re.ASCII,
)


def _read_time(text: str) -> datetime:
    """Read ISO-8601 with date and time; no offset means UTC. Raises ValueError or OverflowError."""
    match = _ISO_TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute = (int(part) for part in match.groups()[:5])
    second = int(match[6] or 0)
    microsecond = int((match[7] or "").ljust(6, "0"))
    zone: timezone = UTC
    if match[9]:
        offset = timedelta(hours=int(match[10]), minutes=int(match[11] or 0))
        zone = timezone(-offset if match[9] == "-" else offset)
    return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=zone)


def _time(key: str, value: object) -> str:
    if isinstance(value, str):
        try:
            moment = _read_time(value)
            moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            return moment.isoformat()
    raise InvalidInput(f"Invalid state: `{key}` must be an ISO-8601 date and time.")


def _optional_time(key: str, value: object) -> str | None:
    return None if value is None else _time(key, value)


# --- results: locations of values, never values --------------------------------------------------------------------

_RESULT_KEYS: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "Result": None,
        "PrefectResult": None,
        "ConstantResult": None,
        "LocalResult": "dir",
        "S3Result": "bucket",
        "GCSResult": "bucket",
        "AzureResult": "container",
        "SecretResult": "secret_type",
    }
)
"""Each result type and the key it has besides `location`. A type not listed here comes back as `Result`."""
_REQUIRED_RESULT_KEYS: Final = frozenset({"bucket", "container"})


def _no_result() -> dict[str, Any]:
    return {"type": "NoResultType", "__version__": LIBRARY_VERSION}


def _result(key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"Invalid state: `{key}` must be a result object.")
    name = value.get("type")
    if isinstance(name, (dict, list)):
        raise InvalidInput(f"Invalid state: `{key}.type` must be a string.")
    if name == "NoResultType":
        return _no_result()
    if not isinstance(name, str) or name not in _RESULT_KEYS:
        name = "Result"
    location = value.get("location")
    parsed: dict[str, Any] = {
        "type": name,
        "location": None if location is None else _string(f"{key}.location", location),
        "__version__": LIBRARY_VERSION,
    }
    member = _RESULT_KEYS[name]
    if member is not None and (member in value or member in _REQUIRED_RESULT_KEYS):
        parsed[member] = _string(f"{key}.{member}", value.get(member))
    return parsed


# --- what single classes have besides ------------------------------------------------------------------------------


def _startable(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    value = document.get("start_time")
    return {"start_time": now.astimezone(UTC).isoformat() if value is None else _time("start_time", value)}


def _paused(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {"start_time": _optional_time("start_time", document.get("start_time"))}


def _retrying(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    run_count = document.get("run_count")
    return {**_startable(document, now), "run_count": 1 if run_count is None else _count("run_count", run_count)}


def _looped(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {"loop_count": _count("loop_count", document.get("loop_count", 1))}


def _mapped(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    return {"n_map_states": max(0, _count("n_map_states", document.get("n_map_states", 0)))}


def _cached(document: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    hashed = document.get("hashed_inputs")
    return {
        "cached_parameters": document.get("cached_parameters"),
        "cached_result_expiration": _optional_time(
            "cached_result_expiration", document.get("cached_result_expiration")
        ),
        "hashed_inputs": None if hashed is None else _mapping("hashed_inputs", hashed, _string),
    }


_EXTRA: Final[Mapping[str, Callable[[Mapping[str, Any], datetime], dict[str, Any]]]] = MappingProxyType(
    {
        "Scheduled": _startable,
        "Resume": _startable,
        "Queued": _startable,
        "Retrying": _retrying,
        "Paused": _paused,
        "Looped": _looped,
        "Mapped": _mapped,
        "Cached": _cached,
    }
)
