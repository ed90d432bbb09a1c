"""Settings and a database → the maintenance loops, started and stopped as one. Called by the CLI and `__main__`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.clock import Clock, utc_now
from server_core.config import Settings
from server_core.db.session import Database
from services.towel.grace import Grace
from services.towel.lease import Leases
from services.towel.loop import Loop
from services.towel.loops.lazarus import Lazarus
from services.towel.loops.removal import Removal
from services.towel.loops.scheduler import Scheduler
from services.towel.loops.zombie_killer import ZombieKiller
from services.towel.runner import Runner

DEBUG_VARIABLE = "PREFECT__LOOP_SERVICE__DEBUG_MODE"
"""Set to anything, it makes every loop run each second (actions.md §5.1)."""

DEBUG_SECONDS = 1.0

LOOPS: Sequence[Loop] = (Scheduler(), Lazarus(), ZombieKiller(), Removal())


class Towel:
    """The loops with what they need: connections, hook delivery, leases.

    Args:
        settings: intervals and limits.
        dsn: the database.
        loops: what to run.
        clock: returns the current time.
        interval_seconds: the interval of every loop; None: each its own.
    """

    def __init__(
        self,
        settings: Settings,
        dsn: str,
        *,
        loops: Sequence[Loop] = LOOPS,
        clock: Clock = utc_now,
        interval_seconds: float | None = None,
    ) -> None:
        self._database = Database(dsn, settings.database)
        self._lease_database = Database(dsn, replace(settings.database, pool_size=1))
        self._hooks = HookDelivery(self._database, api_url=settings.api.url, clock=clock)
        context = ActionContext(database=self._database, settings=settings, clock=clock, hook_delivery=self._hooks)
        period = timedelta(seconds=settings.towel.heartbeat_timeout_seconds)
        # With a timeout shorter than the intervals, the time between two ticks must not look like an outage.
        ticks = interval_seconds or min(loop.interval_seconds(context) for loop in loops)
        self.loops = loops
        self.runner = Runner(
            loops,
            context,
            leases=Leases(self._lease_database),
            grace=Grace(max(period, timedelta(seconds=ticks * 3))),
            interval_seconds=interval_seconds,
        )

    async def open(self) -> None:
        """Open the connections without starting the loops.

        Raises:
            Unavailable, ConfigError: the database cannot be used.
        """
        await self._database.open()
        await self._lease_database.open()

    async def start(self) -> None:
        """Open the connections and start the loops; each makes its first pass at once."""
        await self.open()
        self.runner.start()

    async def stop(self) -> None:
        """Stop within a few seconds: passes in progress finish, or are rolled back; leases are given back."""
        await self.runner.stop()
        await self._hooks.stop()
        await self._lease_database.close()
        await self._database.close()


def create_towel(settings: Settings, dsn: str, *, environ: Mapping[str, str] = os.environ) -> Towel:
    """Return the maintenance loops, not started.

    Raises:
        ConfigError: an interval is not positive.
    """
    return Towel(settings, dsn, interval_seconds=DEBUG_SECONDS if DEBUG_VARIABLE in environ else None)
