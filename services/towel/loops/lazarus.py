"""Reschedules flow runs that are under way, silent, and without a task at work (actions.md §5.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from server_core.actions.context import ActionContext
from server_core.actions.liveness import revive_flow_runs
from server_core.store.liveness import find_stalled_flow_runs

BATCH = 500
"""Most flow runs one pass looks at."""

CHUNK = 100
"""Flow runs moved in one transaction."""


@dataclass(frozen=True, kw_only=True)
class Lazarus:
    """Gives stalled flow runs back to the agents, a few times each.

    Attributes:
        batch: flow runs per pass.
    """

    batch: int = BATCH
    name: str = "Lazarus"
    trusts_silence: bool = True

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.lazarus_interval_seconds`."""
        return context.settings.towel.lazarus_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Revive one batch; return how many flow runs were rescheduled. Those that were given up do not count.

        Raises:
            Unavailable: the database cannot be reached.
        """
        silent_since = context.clock() - timedelta(seconds=context.settings.towel.heartbeat_timeout_seconds)
        async with context.database.read() as session:
            found = await find_stalled_flow_runs(session, silent_since=silent_since, limit=self.batch)
        revived = 0
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            revived += await revive_flow_runs(context, flow_run_ids=chunk, silent_since=silent_since)
        return {"flow_runs": revived}
