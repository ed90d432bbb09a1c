"""May silence be believed? Not when the database was away: then no run could tell that it lives. Called by the runner.

After the database came back, and after this process started or slept, loops that end silent runs wait as long as a run
may be silent. The clients that live have shown so by then (demands.md row 8).
"""

import logging
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)


class Grace:
    """Keeps track of how long the database has been there.

    Args:
        period: how long it must have been there before silence counts.
        pause: the longest time between two contacts that is not taken for an outage; None: the period.
    """

    def __init__(self, period: timedelta, *, pause: timedelta | None = None) -> None:
        self._period = period
        self._pause = period if pause is None else pause
        self._since: datetime | None = None
        self._contact: datetime | None = None

    def reached(self, now: datetime) -> None:
        """Note that the database answered."""
        if self._since is None or self._contact is None or now - self._contact > self._pause:
            self._since = now
            logger.info("runs without heartbeat are left alone until %s", now + self._period)
        self._contact = now

    def lost(self) -> None:
        """Note that the database did not answer."""
        self._since = None

    def is_over(self, now: datetime) -> bool:
        """Tell whether the database has been there long enough to believe silence."""
        return self._since is not None and now - self._since >= self._period
