"""When the loops run: each at once and then from start to start at its interval or a little sooner, so that the loops
of many towels spread; never twice at a time.

One job per loop in an APScheduler on the running event loop. Built by app; tests call `tick` and need no time to pass.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger
from prometheus_client import CollectorRegistry

from server_core.actions.context import ActionContext
from server_core.actions.presence import reachable_since
from server_core.errors import ConfigError, Unavailable
from services.towel.grace import Grace
from services.towel.lease import Leases
from services.towel.logbook import Logbook
from services.towel.loop import Loop, SilenceLoop

logger = logging.getLogger(__name__)

STOP_SECONDS = 2.5
"""A pass in progress has this long to finish; then it is cancelled, which rolls its transaction back."""

ALIVE_EVERY = timedelta(minutes=5)
"""How often a loop says that it is still there, at most."""


class Runner:
    """Runs loops until it is stopped, whatever happens in them.

    Args:
        loops: what to run.
        context: handed to each pass.
        leases: decides which of several towels runs a loop.
        grace: says since when silence counts.
        logbook: told what the loops do; None: one that nobody reads.
        interval_seconds: the interval of every loop; None: each its own.
        stop_seconds: how long a pass in progress may take to finish when the runner is stopped.

    Raises:
        ConfigError: an interval is not positive.
    """

    def __init__(
        self,
        loops: Sequence[Loop],
        context: ActionContext,
        *,
        leases: Leases,
        grace: Grace,
        logbook: Logbook | None = None,
        interval_seconds: float | None = None,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._stop_seconds = stop_seconds
        self._loops = loops
        self._context = context
        self._leases = leases
        self._grace = grace
        self.intervals: Mapping[str, float] = {
            loop.name: float(loop.interval_seconds(context) if interval_seconds is None else interval_seconds)
            for loop in loops
        }
        for name, seconds in self.intervals.items():
            if seconds <= 0:
                raise ConfigError(f"The interval of {name} must be more than 0 seconds.")
        self.logbook = logbook or Logbook(CollectorRegistry())
        for name, seconds in self.intervals.items():
            self.logbook.add(name, interval=seconds, now=context.clock())
        # Skipped starts are told by the pass that was too long; APScheduler need not tell them again.
        quiet = logging.getLogger(f"{__name__}.apscheduler")
        quiet.setLevel(logging.ERROR)
        self._scheduler = AsyncIOScheduler(timezone=UTC, logger=quiet)
        self._passes: set[asyncio.Task[None]] = set()
        self._said: dict[str, datetime] = {}

    def start(self) -> None:
        """Start all loops; the first pass of each begins at once."""
        for loop in self._loops:
            self._scheduler.add_job(
                self._run,
                _trigger(self.intervals[loop.name], self._context.settings.towel.interval_jitter),
                args=[loop],
                id=loop.name,
                next_run_time=datetime.now(UTC),
                max_instances=1,
                coalesce=True,
                misfire_grace_time=None,
            )
        self._scheduler.start()

    async def stop(self) -> None:
        """Start no more passes, let those in progress finish for a moment, and give the leases back."""
        if self._scheduler.running:
            self._scheduler.remove_all_jobs()
            await asyncio.sleep(0)  # passes that were handed over just now begin, and are among these
            passes = set(self._passes)
            if passes:
                _, late = await asyncio.wait(passes, timeout=self._stop_seconds)
                for each in late:
                    each.cancel()
                await asyncio.gather(*late, return_exceptions=True)
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # the scheduler shuts down in the next round of the event loop
        await self._leases.release()

    async def tick(self, loop: Loop) -> Mapping[str, int] | None:
        """Make one pass of a loop if it is this towel's turn; return what changed, None if it was not made.

        Never raises but for cancellation: an error is logged and the next pass tries again.
        """
        try:
            counts_from = await self._is_our_turn(loop)
        except Unavailable as error:
            self._say(loop, error)
            return None
        except Exception:
            logger.exception("%s: its lease cannot be asked for; the next pass tries again", loop.name)
            return None
        if counts_from is None:
            return None
        clock = asyncio.get_running_loop().time
        started = clock()
        self.logbook.began(loop.name, now=self._context.clock())
        try:
            if isinstance(loop, SilenceLoop):
                reachable = await reachable_since(self._context)
                counts = await loop.run_since(self._context, counts_from=reachable or counts_from)
            else:
                counts = await loop.run_once(self._context)
        except Unavailable as error:
            self._say(loop, error)
            self.logbook.failed(loop.name, seconds=clock() - started)
            with contextlib.suppress(Exception):  # an outage, or only a deadlock? the lease will tell
                await self._is_our_turn(loop)
            return None
        except Exception:
            logger.exception("%s failed; the next pass tries again", loop.name)
            self.logbook.failed(loop.name, seconds=clock() - started)
            return None
        self.logbook.succeeded(loop.name, counts, now=self._context.clock(), seconds=clock() - started)
        if any(counts.values()):
            logger.info("%s: %s", loop.name, ", ".join(f"{count} {kind}" for kind, count in counts.items()))
        return counts

    def _say(self, loop: Loop, error: Unavailable) -> None:
        """Log that a pass could not be made; that the database is away has been said once, for all passes."""
        level = logging.DEBUG if self._context.database.contact.lost_it else logging.WARNING
        logger.log(level, "%s: %s", loop.name, error)

    def health(self) -> dict[str, Any]:
        """Return what is known of each loop, by name (Logbook.health)."""
        jobs = self._scheduler.get_jobs()
        return self.logbook.health(
            now=self._context.clock(), next_runs={job.id: getattr(job, "next_run_time", None) for job in jobs}
        )

    async def _is_our_turn(self, loop: Loop) -> datetime | None:
        """Return since when silence counts if this towel runs the loop; note that the database answered, or did not."""
        try:
            ours = await self._leases.hold(loop.name)
        except Exception:
            self._grace.lost()
            self.logbook.leads(loop.name, None, now=self._context.clock())
            self.logbook.failed(loop.name)
            raise
        self.logbook.leads(loop.name, ours, now=self._context.clock())
        counts_from = self._grace.reached(self._context.clock())
        if not ours:
            logger.debug("%s is run by another towel", loop.name)
            return None
        return counts_from

    async def _run(self, loop: Loop) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - APScheduler makes one
        self._passes.add(task)
        try:
            await self._timed(loop)
        except asyncio.CancelledError:
            # By stop, or with the whole process. APScheduler would log it as an error of the pass.
            logger.warning("%s was cut short: the towel stops", loop.name)
        finally:
            self._passes.discard(task)

    async def _timed(self, loop: Loop) -> None:
        """Tick; when that took longer than the interval, say so and have the next pass begin at once."""
        interval = self.intervals[loop.name]
        clock = asyncio.get_running_loop().time
        started = clock()
        await self.tick(loop)
        now = datetime.now(UTC)
        job = self._scheduler.get_job(loop.name)
        if job is None:
            return
        if clock() - started > interval:
            logger.warning("%s took longer than its interval of %g seconds", loop.name, interval)
            job.modify(next_run_time=now)
        if now - self._said.get(loop.name, datetime.min.replace(tzinfo=UTC)) >= ALIVE_EVERY:
            self._said[loop.name] = now
            logger.debug("%s is still alive, next run at %s", loop.name, job.next_run_time)


def _trigger(interval: float, jitter: float) -> IntervalTrigger:
    """Return when a loop runs: each time after the interval at the latest, and after it less `jitter` (0-1) at the
    soonest. APScheduler's own jitter only delays, so that a take-over could take longer than the interval.
    """
    return IntervalTrigger(seconds=interval * (1 - jitter), jitter=interval * jitter or None, timezone=UTC)
