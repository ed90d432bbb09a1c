"""Decides what a cloud hook may be. Called by actions/cloud_hooks.

Pure (actions.md §7.1); which state changes concern a hook is decided by store/hook_outbox, in the statement that writes
them, and what a receiver is sent by rules/hook_events.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from server_core.errors import InvalidInput
from server_core.rules.hook_targets import check_url
from server_core.states import CONCRETE

CONFIG_KEYS: Mapping[str, frozenset[str]] = {
    "WEBHOOK": frozenset({"url"}),
    "SLACK_WEBHOOK": frozenset({"url"}),
    "TWILIO": frozenset({"account_sid", "auth_token", "messaging_service_sid", "to"}),
    "PAGERDUTY": frozenset({"api_token", "routing_key", "severity"}),
}
PREFECT_MESSAGE = "PREFECT_MESSAGE"
HOOK_TYPES = frozenset({*CONFIG_KEYS, PREFECT_MESSAGE})
STATE_NAMES = frozenset(name.upper() for name in CONCRETE)
SEVERITIES = ("info", "warning", "error", "critical")


@dataclass(frozen=True, kw_only=True, slots=True)
class CloudHook:
    """A hook as it is stored; `states` are upper-case class names."""

    id: UUID
    tenant_id: UUID
    type: str
    states: Collection[str]
    config: Mapping[str, Any]
    active: bool = True
    version_group_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The run an event is about, with the names of what it belongs to."""

    flow_run_id: UUID
    flow_run_name: str | None
    flow_id: UUID
    flow_name: str
    flow_group_id: UUID
    version_group_id: str | None
    tenant_id: UUID
    tenant_slug: str


def check_states(states: Sequence[str]) -> list[str]:
    """Return the states as they are stored: upper case, each once, in the order given (§7.1).

    Raises:
        InvalidInput: none was given, or one is not the name of a state class.
    """
    names = list(dict.fromkeys(state.upper() for state in states))
    if not names:
        raise InvalidInput("A cloud hook needs at least one state.")
    unknown = [name for name in names if name not in STATE_NAMES]
    if unknown:
        raise InvalidInput(f"Unknown states for a cloud hook: {', '.join(unknown)}")
    return names


def check_config(hook_type: str, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the configuration of a hook after checking that it is complete for its type (§7.1).

    Raises:
        InvalidInput: the type is unknown; a key is missing, null or not of this type; a value cannot be used.
    """
    if hook_type not in HOOK_TYPES:
        raise InvalidInput(f"Unknown cloud hook type: {hook_type}")
    if config is not None and not isinstance(config, Mapping):
        raise InvalidInput("The config of a cloud hook must be an object.")
    given = dict(config or {})
    if hook_type == PREFECT_MESSAGE:
        return given
    expected = CONFIG_KEYS[hook_type]
    missing = sorted(key for key in expected if given.get(key) is None)
    extra = sorted(given.keys() - expected)
    if missing:
        raise InvalidInput(f"The config of a {hook_type} cloud hook lacks: {', '.join(missing)}")
    if extra:
        raise InvalidInput(f"The config of a {hook_type} cloud hook has unknown keys: {', '.join(extra)}")
    for key in sorted(expected - {"to"}):
        if not isinstance(given[key], str):
            raise InvalidInput(f"`{key}` of a {hook_type} cloud hook must be a string.")
    if "url" in expected:
        check_url(given["url"])
    if "to" in expected:
        _check_numbers(given["to"])
    if "severity" in expected and given["severity"] not in SEVERITIES:
        raise InvalidInput(f"`severity` must be one of: {', '.join(SEVERITIES)}")
    return given


def _check_numbers(numbers: object) -> None:
    if not isinstance(numbers, list) or not numbers or not all(isinstance(number, str) for number in numbers):
        raise InvalidInput("`to` of a TWILIO cloud hook must be a non-empty list of phone numbers.")
