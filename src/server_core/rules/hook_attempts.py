"""Decides what follows from an attempt to tell a hook's receiver. Called by actions/hook_attempts.

Pure. Every status below 400 is a delivery: redirects are not followed, and some receivers answer with one after they
took the event. What may pass is tried again (408, 425, 429, 5xx, a network that fails); every other status is the
receiver's last word. The legacy server looked at no status and tried once.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from server_core.config import HookSettings

PASSING = frozenset({408, 425, 429})
REFUSED_FROM = 400
SERVER_ERRORS_FROM = 500
JITTER = 0.25
MOST_DOUBLINGS = 30


def may_pass(status: int) -> bool:
    """Say whether a receiver that answered with this HTTP status may take the same event later."""
    return status in PASSING or status >= SERVER_ERRORS_FROM


def is_refusal(status: int) -> bool:
    """Say whether this HTTP status means that the event was not taken and never will be."""
    return status >= REFUSED_FROM and not may_pass(status)


def refusals(answers: Mapping[str, int]) -> str | None:
    """Say which of a delivery's requests were refused for good, by their statuses; None if none was."""
    refused = sorted({status for status in answers.values() if is_refusal(status)})
    return f"The receiver refused it with status {', '.join(map(str, refused))}." if refused else None


def pause(attempts: int, *, settings: HookSettings, chance: float) -> timedelta:
    """Return how long to wait after a failed attempt: doubling each time up to a limit, a quarter more or less.

    Args:
        attempts: how many were made, from 1.
        chance: a random number from 0 to 1, so that events that failed together do not come back together.
    """
    seconds = settings.retry_seconds * 2.0 ** min(attempts - 1, MOST_DOUBLINGS)
    return timedelta(seconds=min(seconds, settings.retry_max_seconds) * (1 - JITTER + 2 * JITTER * chance))


def next_attempt(
    *, attempts: int, created: datetime, now: datetime, settings: HookSettings, chance: float
) -> datetime | None:
    """Return when to try again, or None: it is time to give up.

    Args:
        attempts: how many were made, from 1.
        created: when the event happened.
        chance: a random number from 0 to 1.
    """
    if attempts >= settings.max_attempts:
        return None
    due = now + pause(attempts, settings=settings, chance=chance)
    return due if due - created <= timedelta(seconds=settings.max_age_seconds) else None
