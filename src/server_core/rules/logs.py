"""Lines of a log → the ids under which they are stored, so that a line sent twice is stored once (actions.md §2.9).
Called by actions.logs.

A client keeps a batch whose answer it did not get, and sends it again with what came after it; its HTTP layer sends the
very same one again while the first may still be at work. So an id says what the line is, not that it came.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from secrets import token_bytes
from uuid import UUID

_PLACE_BYTES = 3
_HASH_BYTES = 16 - _PLACE_BYTES
_HASH_BITS = 8 * _HASH_BYTES
_LAST_PLACE = (1 << 8 * _PLACE_BYTES) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FREE = ~(0xF000 << 64 | 0xC000 << 48)
_CUSTOM = 0x8000 << 64 | 0x8000 << 48
"""Version 8 of RFC 9562, "custom", and its variant."""


def line_id(
    *,
    flow_run_id: UUID,
    task_run_id: UUID | None,
    timestamp: datetime,
    texts: Sequence[str | None],
    place: int,
) -> UUID:
    """Return the id of a line that has a time of its own: the same for the same line in the same place.

    Args:
        flow_run_id: whose line it is.
        task_run_id: the task run it came from.
        timestamp: aware.
        texts: all else that is stored of it, without NULs.
        place: how many lines of the flow run with this very time stand before it in its batch. Lines that are equal in
            all else differ in it; and it leads the id, so that lines of one time are in order of id as they were sent.
    """
    since = timestamp - _EPOCH
    origin = f"{flow_run_id.int} {None if task_run_id is None else task_run_id.int}"
    content = f"{origin} {since.days} {since.seconds} {since.microseconds} {place}"
    for text in texts:
        content += "\0-" if text is None else "\0+" + text
    return _id(place, blake2b(content.encode(), digest_size=_HASH_BYTES).digest())


def random_line_id(place: int) -> UUID:
    """Return an id for a line without a time of its own: nothing tells it from an equal one that came later."""
    return _id(place, token_bytes(_HASH_BYTES))


def _id(place: int, rest: bytes) -> UUID:
    leading = place if place < _LAST_PLACE else _LAST_PLACE
    return UUID(int=(leading << _HASH_BITS | int.from_bytes(rest, "big")) & _FREE | _CUSTOM)
