"""The system's randomness, many ids' worth at a time → a new id for a row. Called by verbs.

Asking the system each time costs more than anything else that Python does for a heartbeat or a state.
"""

import os
from typing import Final
from uuid import UUID

_AT_ONCE: Final = 256
_SIZE: Final = 16

_ready: list[bytes] = []
os.register_at_fork(after_in_child=_ready.clear)  # or else parent and child would give the same ids


def new_id() -> UUID:
    """Return a random UUID (version 4); may be called from several threads."""
    while True:
        try:
            return UUID(bytes=_ready.pop(), version=4)
        except IndexError:
            random = os.urandom(_AT_ONCE * _SIZE)
            _ready.extend([random[start : start + _SIZE] for start in range(0, len(random), _SIZE)])
