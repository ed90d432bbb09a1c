"""A planned event → the idempotency key of its run, character for character the legacy text (actions.md §5.2)."""

import hashlib
import json
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any


def idempotency_key(start_time: datetime, parameter_defaults: dict[str, Any] | None, labels: list[str] | None) -> str:
    """Return `auto-scheduled:<time>`, with a digest appended when the clock has parameters or labels of its own.

    The digest is over the sorted characters of two JSON texts, so anagrams share a key; it must stay so, because runs
    planned by the legacy server carry these keys and a changed key would plan them twice.
    """
    key = f"auto-scheduled:{start_time.astimezone(UTC).isoformat()}"
    if not has_own_attributes(parameter_defaults, labels):
        return key
    return f"{key}:{attribute_digest(parameter_defaults, labels)}"


def has_own_attributes(parameter_defaults: dict[str, Any] | None, labels: list[str] | None) -> bool:
    """Tell whether an event differs from a plain one: parameters that are not empty, or labels, even none."""
    return bool(parameter_defaults) or labels is not None


def attribute_digest(parameter_defaults: dict[str, Any] | None, labels: list[str] | None) -> str:
    """Return the md5 of an event's parameters and labels."""
    return _digest(json.dumps(parameter_defaults), json.dumps(labels))


@lru_cache(maxsize=4096)
def _digest(parameter_defaults: str, labels: str) -> str:
    text = str(sorted(parameter_defaults)) + str(sorted(labels))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
