"""Settings and a database → the maintenance loops, started and stopped as one, and their `/health` and `/metrics`.

Called by the CLI and `__main__`. The whole server in one process shows the same facts at the gateway's port.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from server_core.actions.context import ActionContext
from server_core.actions.hook_delivery import HookDelivery
from server_core.clock import Clock, utc_now
from server_core.config import Settings
from server_core.db.session import Database
from server_core.errors import ConfigError
from server_core.metrics import PoolCollector
from server_core.observe import server_version
from services.towel.figures import FiguresCollector
from services.towel.grace import Grace
from services.towel.lease import Leases
from services.towel.logbook import Logbook
from services.towel.loop import Loop
from services.towel.loops.lazarus import Lazarus
from services.towel.loops.removal import Removal
from services.towel.loops.retention import Retention
from services.towel.loops.scheduler import Scheduler
from services.towel.loops.statistics import Statistics
from services.towel.loops.zombie_killer import ZombieKiller
from services.towel.runner import Runner

DEBUG_VARIABLE = "PREFECT__LOOP_SERVICE__DEBUG_MODE"
"""Set to anything, it makes every loop run each second (actions.md §5.1)."""

DEBUG_SECONDS = 1.0

LOOPS: Mapping[str, Callable[[], Loop]] = {
    "scheduler": Scheduler,
    "lazarus": Lazarus,
    "zombie_killer": ZombieKiller,
    "removal": Removal,
    "retention": Retention,
    "statistics": Statistics,
}
"""How each loop is made, by name. Every towel has its own: some remember where they are."""


class Towel:
    """The loops with what they need: connections, hook delivery, leases.

    Args:
        settings: intervals and limits.
        dsn: the database.
        loops: what to run; None: all.
        registry: of the process's metrics; None: one that nobody reads.
        clock: returns the current time.
        interval_seconds: the interval of every loop; None: each its own.
    """

    def __init__(
        self,
        settings: Settings,
        dsn: str,
        *,
        loops: Sequence[Loop] | None = None,
        registry: CollectorRegistry | None = None,
        clock: Clock = utc_now,
        interval_seconds: float | None = None,
    ) -> None:
        self._database = Database(dsn, settings.database)
        self._lease_database = Database(settings.database.direct_url or dsn, replace(settings.database, pool_size=1))
        self._lease_database.contact = self._database.contact
        self._hooks = HookDelivery(self._database, api_url=settings.api.url, settings=settings.hooks, clock=clock)
        context = ActionContext(database=self._database, settings=settings, clock=clock, hook_delivery=self._hooks)
        registry = registry or CollectorRegistry()
        self._figures = FiguresCollector(context, registry)
        PoolCollector({"towel": self._database.open_pool, "towel leases": self._lease_database.open_pool}, registry)
        period = timedelta(seconds=settings.towel.heartbeat_timeout_seconds)
        self.loops = select_loops(None) if loops is None else loops
        # With a timeout shorter than the intervals, the time between two ticks must not look like an outage.
        ticks = interval_seconds or min(loop.interval_seconds(context) for loop in self.loops)
        self.runner = Runner(
            self.loops,
            context,
            leases=Leases(self._lease_database),
            grace=Grace(max(period, timedelta(seconds=ticks * 3))),
            logbook=Logbook(registry),
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
        self._hooks.start()
        self.runner.start()
        await self._figures.start()

    async def stop(self) -> None:
        """Stop within a few seconds: passes in progress finish, or are rolled back; leases are given back."""
        await self._figures.stop()
        await self.runner.stop()
        await self._hooks.stop()
        await self._lease_database.close()
        await self._database.close()

    async def health(self, _request: Request) -> Response:
        """Answer how the loops are doing; 503 when one that this process should run has not for three intervals."""
        loops = self.runner.health()
        failing = any(each["failing"] for each in loops.values())
        body = {"status": "failing" if failing else "ok", "version": server_version(), "loops": loops}
        return JSONResponse(body, status_code=503 if failing else 200)


def create_towel(
    settings: Settings,
    dsn: str,
    *,
    registry: CollectorRegistry | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Towel:
    """Return the maintenance loops that `towel.loops` names, not started.

    Raises:
        ConfigError: an interval is not positive, or a name is unknown.
    """
    return Towel(
        settings,
        dsn,
        loops=select_loops(settings.towel.loops),
        registry=registry,
        interval_seconds=DEBUG_SECONDS if DEBUG_VARIABLE in environ else None,
    )


def create_app(towel: Towel) -> Starlette:
    """Return the loops as an ASGI application: it runs them while it lives, and answers `/health`."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await towel.start()
        try:
            yield
        finally:
            await towel.stop()

    return Starlette(routes=[Route("/health", towel.health)], lifespan=lifespan)


def loop_names() -> list[str]:
    """Return the names of all loops, in their order."""
    return list(LOOPS)


def select_loops(names: str | None) -> list[Loop]:
    """Return the loops of comma-separated names; None: all.

    Raises:
        ConfigError: a name is unknown, or there is none.
    """
    if names is None:
        return [make() for make in LOOPS.values()]
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    unknown = sorted(wanted.difference(loop_names()))
    if unknown or not wanted:
        what = f"Unknown loop {', '.join(unknown)}" if unknown else "No loop is named"
        raise ConfigError(f"{what}; the loops are {', '.join(loop_names())}.")
    return [make() for name, make in LOOPS.items() if name in wanted]
