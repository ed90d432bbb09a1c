"""A dict that forgets what was not asked for longest. Used by request."""

from collections import OrderedDict
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Lru(OrderedDict[K, V]):
    """Keeps the `size` entries used last; use `get` and item assignment."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def get(self, key: K, default: V | None = None) -> V | None:  # type: ignore[override]
        """Return the entry and count it as used."""
        try:
            self.move_to_end(key)
        except KeyError:
            return default
        return super().__getitem__(key)

    def __setitem__(self, key: K, value: V) -> None:
        super().__setitem__(key, value)
        if len(self) > self._size:
            self.popitem(last=False)
