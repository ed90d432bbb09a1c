"""A cache bounded twice, by entries and by weight, so that a few huge documents cannot fill memory; who is let in."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Entry(Generic[V]):
    """A value that is kept, its weight, and whether it was asked for since somebody last looked for room."""

    __slots__ = ("used", "value", "weight")

    def __init__(self, value: V, weight: int) -> None:
        self.value = value
        self.weight = weight
        self.used = False


class BoundedCache(Generic[K, V]):
    """Keeps values that were used lately; may be used from several threads.

    Looking up is on the path of every request, so it takes no lock and moves nothing: it only marks the entry. Who
    needs room passes over marked entries once, oldest first ("second chance"), and drops the first that has no mark.

    Args:
        entries: most values kept.
        weight: most weight kept in all, in the unit that put is given (characters, bytes).
        heaviest: values heavier than this are never kept.
    """

    __slots__ = ("_entries", "_heaviest", "_held", "_kept", "_lock", "_weight")

    def __init__(self, *, entries: int, weight: int | None = None, heaviest: int | None = None) -> None:
        self._entries = entries
        self._weight = entries if weight is None else weight
        self._heaviest = self._weight if heaviest is None else min(heaviest, self._weight)
        self._kept: OrderedDict[K, _Entry[V]] = OrderedDict()
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
        entry = self._kept.get(key)
        if entry is None:
            return None
        entry.used = True
        return entry.value

    def put(self, key: K, value: V, weight: int = 1) -> None:
        """Keep a value, and drop those not used lately until all fit."""
        if weight > self._heaviest:
            return
        with self._lock:
            replaced = self._kept.pop(key, None)
            if replaced is not None:
                self._held -= replaced.weight
            while self._kept and (len(self._kept) >= self._entries or self._held + weight > self._weight):
                oldest, entry = self._kept.popitem(last=False)
                if entry.used:
                    entry.used = False
                    self._kept[oldest] = entry
                else:
                    self._held -= entry.weight
            self._kept[key] = _Entry(value, weight)
            self._held += weight


class Doorkeeper:
    """Tells who comes for the second time, so that what comes once only is not kept.

    It remembers one hash per slot, the last that fell on it, so it may forget, and take one for another: good enough to
    decide what is worth keeping, and for nothing else.

    Args:
        slots: how many it remembers at most.
    """

    __slots__ = ("_slots",)

    def __init__(self, *, slots: int = 4096) -> None:
        self._slots = [-1] * slots  # what no hash is

    def knows(self, key: Hashable) -> bool:
        """Tell whether it came before, not long ago; remember that it came."""
        hashed = hash(key)
        at = hashed % len(self._slots)
        if self._slots[at] == hashed:
            return True
        self._slots[at] = hashed
        return False
