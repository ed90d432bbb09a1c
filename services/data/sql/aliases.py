"""Names for relations in one statement: t1, t2, …"""


class Aliases:
    """Hands out a new alias each time; one per statement."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> str:
        """Return an alias not used before in the statement."""
        self._last += 1
        return f"t{self._last}"
