"""Time as a constructor argument: actions and loops ask a Clock, so that tests decide what time it is."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the current time, timezone-aware in UTC."""


def utc_now() -> datetime:
    """Return the current time, timezone-aware in UTC. The Clock of a running server."""
    return datetime.now(UTC)
