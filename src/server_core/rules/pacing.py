"""How many rows the next statement of a long deletion takes, judged by the last one. Called by actions.erasure."""

FIRST_ROWS = 500
LEAST_ROWS = 20
MOST_ROWS = 20_000
_FASTEST_GROWTH = 2.0


def next_rows(rows: int, *, took: int, seconds: float, target_seconds: float) -> int:
    """Return the most rows of the next statement, so that it takes about the time wanted.

    Args:
        rows: the most that the last statement might take.
        took: how many it took.
        seconds: how long that lasted.
        target_seconds: how long a statement should last.
    """
    if seconds > target_seconds:
        # What it took, not what it might have taken, is what lasted so long.
        wanted = max(took, 1) * target_seconds / seconds
        return min(rows, max(LEAST_ROWS, int(wanted)))
    if took < rows:
        return rows  # it found no more: that says nothing about a larger one
    growth = min(_FASTEST_GROWTH, target_seconds / seconds) if seconds > 0 else _FASTEST_GROWTH
    return max(rows, min(MOST_ROWS, int(rows * growth)))
