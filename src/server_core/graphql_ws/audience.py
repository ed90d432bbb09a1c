"""Who watches one subscription, and what they were told last. Called by whatever asks for many watchers at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from server_core.wire import Watcher


class Audience:
    """The watchers of one subscription.

    Attributes:
        newest: the last result; None: there was none yet.
    """

    def __init__(self) -> None:
        self.newest: str | None = None
        self._watchers: dict[Watcher, None] = {}

    def add(self, watcher: Watcher) -> None:
        """Tell a further watcher; the result that is known comes at once."""
        self._watchers[watcher] = None
        if self.newest is not None:
            watcher.result(self.newest)

    def remove(self, watcher: Watcher) -> bool:
        """Tell a watcher no more; return whether it was the last."""
        return self._watchers.pop(watcher, watcher) is None and not self._watchers

    def tell(self, body: str) -> None:
        """Tell a result, if its text is another than that of the last."""
        if body != self.newest:
            self.newest = body
            for watcher in list(self._watchers):
                watcher.result(body)

    def end(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Tell the end."""
        watchers = list(self._watchers)
        self._watchers.clear()
        for watcher in watchers:
            watcher.ended(errors)

    def clear(self) -> None:
        """Forget all, without a word."""
        self._watchers.clear()
