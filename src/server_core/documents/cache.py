"""A cache bounded twice, by entries and by weight, so that a few huge documents cannot fill memory."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """Keeps the most recently used values; may be used from several threads.

    Args:
        entries: most values kept.
        weight: most weight kept in all, in the unit that put is given (characters, bytes).
        heaviest: values heavier than this are never kept.
    """

    def __init__(self, *, entries: int, weight: int | None = None, heaviest: int | None = None) -> None:
        self._entries = entries
        self._weight = entries if weight is None else weight
        self._heaviest = self._weight if heaviest is None else heaviest
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def held(self) -> int:
        """The weight of all that is kept."""
        return self._held

    def get(self, key: K) -> V | None:
        """Return the value kept under a key, or None."""
        with self._lock:
            entry = self._kept.get(key)
            if entry is None:
                return None
            self._kept.move_to_end(key)
            return entry[0]

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value, and drop those not used for longest until all fit."""
        if weight > self._heaviest:
            return
        with self._lock:
            replaced = self._kept.pop(key, None)
            if replaced is not None:
                self._held -= replaced[1]
            self._kept[key] = (value, weight)
            self._held += weight
            while len(self._kept) > self._entries or self._held > self._weight:
                _, (_, dropped) = self._kept.popitem(last=False)
                self._held -= dropped
