"""Ends task runs whose flow run is silent, then flow runs that never answered a cancellation (actions.md §5.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from server_core.actions.context import ActionContext
from server_core.actions.liveness import end_silent_cancelling_runs, end_silent_task_runs, silence_of
from server_core.store.liveness import find_silent_cancelling_runs, find_silent_task_runs

CHUNK = 500
"""Runs moved in one transaction."""


@dataclass(frozen=True, kw_only=True)
class ZombieKiller:
    """Retries or fails what claims to run although its process is gone."""

    name: str = "zombie_killer"

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.zombie_killer_interval_seconds`."""
        return context.settings.towel.zombie_killer_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """End one batch of each kind; return how many task runs and flow runs were moved.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return await self.run_since(context, counts_from=None)

    async def run_since(self, context: ActionContext, *, counts_from: datetime | None) -> Mapping[str, int]:
        """Make a pass as run_once does; what was silent before `counts_from` does not count."""
        silence = silence_of(context, counts_from=counts_from)
        limit = context.settings.towel.zombie_killer_batch_size
        async with context.database.read() as session:
            task_runs = await find_silent_task_runs(session, silence=silence, limit=limit)
        ended_task_runs = 0
        for start in range(0, len(task_runs), CHUNK):
            chunk = task_runs[start : start + CHUNK]
            ended_task_runs += await end_silent_task_runs(context, task_run_ids=chunk, silence=silence)
        async with context.database.read() as session:
            flow_runs = await find_silent_cancelling_runs(session, silence=silence, limit=limit)
        ended_flow_runs = 0
        for start in range(0, len(flow_runs), CHUNK):
            chunk = flow_runs[start : start + CHUNK]
            ended_flow_runs += await end_silent_cancelling_runs(context, flow_run_ids=chunk, silence=silence)
        return {"task_runs": ended_task_runs, "flow_runs": ended_flow_runs}
