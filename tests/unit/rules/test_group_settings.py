"""Settings of flow groups: what a client may set, and what stored ones mean (actions.md §2.4, §3.7, §9.4)."""

from dataclasses import asdict, fields
from typing import Any

import pytest

from server_core.errors import InvalidInput
from server_core.rules.group_settings import (
    GroupSettings,
    check_group_settings,
    inherited_flow_settings,
    read_group_settings,
)

GOOD: dict[str, list[Any]] = {
    "heartbeat_enabled": [True, False],
    "lazarus_enabled": [True, False],
    "version_locking_enabled": [True, False],
    "heartbeat_timeout_seconds": [1, 0.5, 600, 1_000_000_000],
    "submitted_timeout_seconds": [1, 0.5, 1200],
    "resurrection_attempt_limit": [0, 1, 3, 2**31 - 1],
    "silent_cancelling_state": ["Cancelled", "Failed"],
    "late_policy": ["run_all", "latest_only", "skip_after"],
    "late_after_seconds": [1, 0.25],
}
BOOLEAN = [0, 1, "true", "", [], {}, 1.0]
DURATION = [0, -1, 0.0, -0.5, True, "60", [], {}, float("inf"), float("nan"), 1_000_000_001, 10**400]
BAD: dict[str, list[Any]] = {
    "heartbeat_enabled": BOOLEAN,
    "lazarus_enabled": BOOLEAN,
    "version_locking_enabled": BOOLEAN,
    "heartbeat_timeout_seconds": DURATION,
    "submitted_timeout_seconds": DURATION,
    "resurrection_attempt_limit": [-1, 1.0, 0.5, True, "3", [], {}, 2**31],
    "silent_cancelling_state": ["cancelled", "Success", "", True, 1, ["Failed"], {}],
    "late_policy": ["RUN_ALL", "skip", "", 1, ["run_all"], {}],
    "late_after_seconds": DURATION,
}
KEYS = [field.name for field in fields(GroupSettings)]


def cases(of: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(key, value, id=f"{key}-{position}")
        for key, values in of.items()
        for position, value in enumerate(values)
    ]


def test_every_key_is_covered() -> None:
    assert list(GOOD) == list(BAD) == KEYS


@pytest.mark.parametrize(("key", "value"), cases(GOOD))
def test_what_can_be_set_is_read_back(key: str, value: Any) -> None:
    changes = check_group_settings({key: value})
    assert changes[key] == value
    read = read_group_settings({**changes, "idempotency_key": "k"})
    assert {name: told for name, told in asdict(read).items() if told is not None} == {key: value}


@pytest.mark.parametrize(("key", "value"), cases(BAD))
def test_a_bad_value_is_refused_by_its_key_and_absent_when_stored(key: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=key):
        check_group_settings({"lazarus_enabled": True, key: value})
    assert read_group_settings({"lazarus_enabled": True, **{key: value}}) == (
        GroupSettings() if key == "lazarus_enabled" else GroupSettings(lazarus_enabled=True)
    )


@pytest.mark.parametrize("key", KEYS)
def test_null_removes_a_key(key: str) -> None:
    changes = check_group_settings({key: None})
    assert set(changes.values()) == {None}
    assert key in changes


@pytest.mark.parametrize("key", ["nonsense", "disable_heartbeat", "idempotency_key", "", "Heartbeat_Enabled"])
@pytest.mark.parametrize("value", [None, True])
def test_an_unknown_key_is_refused(key: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match="Unknown flow group setting"):
        check_group_settings({key: value})


@pytest.mark.parametrize("given", [None, [], "x", 1, True, [{"lazarus_enabled": True}]])
def test_settings_are_an_object(given: Any) -> None:
    with pytest.raises(InvalidInput, match="object"):
        check_group_settings(given)
    assert read_group_settings(given) == GroupSettings()


@pytest.mark.parametrize(
    ("enabled", "negation"), [(True, False), (False, True), (None, None)], ids=["on", "off", "removed"]
)
def test_disable_heartbeat_is_the_negation(enabled: bool | None, negation: bool | None) -> None:
    """§2.4: both keys are kept in step."""
    assert check_group_settings({"heartbeat_enabled": enabled}) == {
        "heartbeat_enabled": enabled,
        "disable_heartbeat": negation,
    }


@pytest.mark.parametrize(
    ("stored", "inherited"),
    [
        ({"heartbeat_enabled": False}, {"heartbeat_enabled": False}),
        ({"heartbeat_enabled": True}, {}),
        ({"heartbeat_enabled": 0}, {}),
        ({}, {}),
        (None, {}),
        ([False], {}),
    ],
)
def test_a_new_flow_inherits_that_heartbeats_are_off(stored: Any, inherited: dict[str, Any]) -> None:
    """§9.4: the client looks at the flow."""
    assert inherited_flow_settings(stored) == inherited
