"""Reschedules flow runs that are under way, silent, and without a task at work (actions.md §5.3)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from server_core.actions.context import ActionContext
from server_core.actions.liveness import revive_flow_runs, silence_of
from server_core.store.liveness import find_stalled_flow_runs

CHUNK = 100
"""Flow runs moved in one transaction."""


@dataclass(frozen=True, kw_only=True)
class Lazarus:
    """Gives stalled flow runs back to the agents, a few times each."""

    name: str = "lazarus"

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.lazarus_interval_seconds`."""
        return context.settings.towel.lazarus_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Revive one batch; return how many flow runs were rescheduled. Those that were given up do not count.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return await self.run_since(context, counts_from=None)

    async def run_since(self, context: ActionContext, *, counts_from: datetime | None) -> Mapping[str, int]:
        """Make a pass as run_once does; what was silent before `counts_from` does not count."""
        silence = silence_of(context, counts_from=counts_from)
        limit = context.settings.towel.lazarus_batch_size
        async with context.database.read() as session:
            found = await find_stalled_flow_runs(session, silence=silence, limit=limit)
        revived = 0
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            revived += await revive_flow_runs(context, flow_run_ids=chunk, silence=silence)
        return {"flow_runs": revived}
