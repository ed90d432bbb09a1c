"""A JSON document of settings → the known ones, typed: what a flow group says instead of the server. Called by
actions.flow_groups (which checks what a client sends) and by whoever asks what holds for a group's runs.

Stored settings are read with tolerance: an adopted database may hold anything, and no loop may stop over it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from server_core.errors import InvalidInput
from server_core.storable import MAX_SECONDS

SilentCancellingState = Literal["Cancelled", "Failed"]
LatePolicy = Literal["run_all", "latest_only", "skip_after"]

MAX_ATTEMPTS: Final = 2**31 - 1
"""The greatest number of attempts: what an integer column holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupSettings:
    """What a flow group says; None: nothing, the server's own setting holds.

    Attributes:
        heartbeat_enabled: its runs send heartbeats and are watched by them; nothing said means yes.
        lazarus_enabled: its silent runs are rescheduled; nothing said means yes.
        version_locking_enabled: a state is refused if the version given with it is not the run's (actions.md §3.7);
            nothing said means no.
        heartbeat_timeout_seconds: how long a running run may be silent.
        submitted_timeout_seconds: how long a Submitted run may be silent.
        resurrection_attempt_limit: how often one run is rescheduled; 0 never.
        silent_cancelling_state: where a run ends that falls silent while it is Cancelling.
        late_policy: what becomes of runs that were not started in time.
        late_after_seconds: when a run counts as late.
    """

    heartbeat_enabled: bool | None = None
    lazarus_enabled: bool | None = None
    version_locking_enabled: bool | None = None
    heartbeat_timeout_seconds: float | None = None
    submitted_timeout_seconds: float | None = None
    resurrection_attempt_limit: int | None = None
    silent_cancelling_state: SilentCancellingState | None = None
    late_policy: LatePolicy | None = None
    late_after_seconds: float | None = None


def read_group_settings(stored: object) -> GroupSettings:
    """Return what the settings of a flow group's row say; whatever is not usable counts as absent, never an error."""
    if not isinstance(stored, Mapping):
        return GroupSettings()
    usable = {key: stored[key] for key, rule in _RULES.items() if key in stored and rule.accepts(stored[key])}
    return GroupSettings(**usable)


def check_group_settings(given: object) -> dict[str, Any]:
    """Return the keys to change in a flow group's settings, None for each one to remove.

    `disable_heartbeat` follows `heartbeat_enabled` as its negation, as legacy readers know it (actions.md §2.4).

    Raises:
        InvalidInput: not an object, an unknown key or a value that it cannot have; the text names the key.
    """
    if not isinstance(given, Mapping):
        raise InvalidInput("Flow group settings must be a JSON object.")
    for key, value in given.items():
        rule = _RULES.get(key)
        if rule is None:
            raise InvalidInput(f"Unknown flow group setting {key!r}; known: {', '.join(_RULES)}.")
        if value is not None and not rule.accepts(value):
            raise InvalidInput(f"Invalid flow group setting {key!r}: it must be {rule.wanted}, or null to remove it.")
    changes = dict(given)
    if "heartbeat_enabled" in changes:
        changes |= heartbeat_switch(changes["heartbeat_enabled"])
    return changes


def heartbeat_switch(enabled: bool | None) -> dict[str, bool | None]:
    """Return the two keys that say whether heartbeats are on; None: nothing is said."""
    return {"heartbeat_enabled": enabled, "disable_heartbeat": None if enabled is None else not enabled}


def inherited_flow_settings(stored: object) -> dict[str, Any]:
    """Return the settings of a new flow in a group: running clients look there whether to send heartbeats (§9.4).

    Args:
        stored: the settings of the group's row; None for a new group.
    """
    return {"heartbeat_enabled": False} if read_group_settings(stored).heartbeat_enabled is False else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rule:
    """Which values a key may have, and in words."""

    accepts: Callable[[object], bool]
    wanted: str


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool)


def _is_duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= MAX_SECONDS


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_ATTEMPTS


def _one_of(*names: str) -> _Rule:
    return _Rule(
        accepts=lambda value: isinstance(value, str) and value in names, wanted=f"one of {', '.join(map(repr, names))}"
    )


_BOOLEAN = _Rule(accepts=_is_boolean, wanted="true or false")
_DURATION = _Rule(accepts=_is_duration, wanted=f"a number of seconds above 0, at most {MAX_SECONDS}")
_COUNT = _Rule(accepts=_is_count, wanted=f"a whole number from 0 to {MAX_ATTEMPTS}")

_RULES: Final[Mapping[str, _Rule]] = {
    "heartbeat_enabled": _BOOLEAN,
    "lazarus_enabled": _BOOLEAN,
    "version_locking_enabled": _BOOLEAN,
    "heartbeat_timeout_seconds": _DURATION,
    "submitted_timeout_seconds": _DURATION,
    "resurrection_attempt_limit": _COUNT,
    "silent_cancelling_state": _one_of("Cancelled", "Failed"),
    "late_policy": _one_of("run_all", "latest_only", "skip_after"),
    "late_after_seconds": _DURATION,
}
