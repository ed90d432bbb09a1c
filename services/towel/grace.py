"""May silence be believed? Not when the database was away: then no run could tell that it lives. Called by the runner.

After the database came back, and after this process started or slept, silence counts anew: a run is only silent when it
was so for its whole limit since then. The clients that live have shown so by then (demands.md row 8).

This is what the towel knows by itself. Where the server notes in the database that clients reach it (actions.presence),
the runner goes by that: it knows of gateways that were away while towel and database were not, and a restart of the
towel alone does not begin silence anew.
"""

import logging
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)


class Grace:
    """Keeps track of how long the database has been there.

    Args:
        pause: the longest time between two contacts that is not taken for an outage.
    """

    def __init__(self, pause: timedelta) -> None:
        self._pause = pause
        self._since: datetime | None = None
        self._contact: datetime | None = None

    def reached(self, now: datetime) -> datetime:
        """Note that the database answered; return since when it has been there, as far as this process knows."""
        if self._since is None or self._contact is None or not -self._pause <= now - self._contact <= self._pause:
            self._since = now
            logger.info("silence of runs counts from %s", now)
        self._contact = now
        return self._since

    def lost(self) -> None:
        """Note that the database did not answer."""
        self._since = None
