"""The rows of a run's history, in the order in which they were written → what the run must be then, in plain Python
(actions.md §4.2). Used by tests that compare it with what the database made of them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

WITH_END = {"Success", "Failed", "Cached", "TimedOut", "Looped", "Cancelled"}
"""The states that end a run."""

COPIED = {
    "state": "state",
    "serialized_state": "serialized_state",
    "state_timestamp": "timestamp",
    "state_message": "message",
    "state_result": "result",
    "state_start_time": "start_time",
}
"""Columns of the run that are the row's, and which one each is."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The columns of a run that follow its history; a new run has these defaults."""

    version: int = 0
    state: str | None = None
    serialized_state: Any = None
    state_timestamp: datetime | None = None
    state_message: str | None = None
    state_result: Any = None
    state_start_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None

    def after(self, row: Mapping[str, Any]) -> "Expected":
        """Return what becomes of the run when a row comes; an older row, or one without a version, changes nothing."""
        if row["version"] is None or row["version"] < self.version:
            return self
        started = row["timestamp"] if row["state"] == "Running" else None
        ended = row["timestamp"] if row["state"] in WITH_END else None
        return Expected(
            version=row["version"],
            start_time=min((time for time in (self.start_time, started) if time), default=None),
            end_time=max((time for time in (self.end_time, ended) if time), default=None),
            **{column: row[name] for column, name in COPIED.items()},
        )


def evaluate(rows: Iterable[Mapping[str, Any]]) -> Expected:
    """Return what a run is after all rows of its history, given in the order in which they were written."""
    expected = Expected()
    for row in rows:
        expected = expected.after(row)
    return expected
