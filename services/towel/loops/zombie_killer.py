"""Ends task runs whose flow run is silent, then flow runs that never answered a cancellation (actions.md §5.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from server_core.actions.context import ActionContext
from server_core.actions.liveness import end_silent_cancelling_runs, end_silent_task_runs
from server_core.store.liveness import find_silent_cancelling_runs, find_silent_task_runs

BATCH = 5000
"""Most runs of each kind one pass looks at."""

CHUNK = 500
"""Runs moved in one transaction."""


@dataclass(frozen=True, kw_only=True)
class ZombieKiller:
    """Retries or fails what claims to run although its process is gone.

    Attributes:
        batch: runs of each kind per pass.
    """

    batch: int = BATCH
    name: str = "ZombieKiller"
    trusts_silence: bool = True

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.zombie_killer_interval_seconds`."""
        return context.settings.towel.zombie_killer_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """End one batch of each kind; return how many task runs and flow runs were moved.

        Raises:
            Unavailable: the database cannot be reached.
        """
        silent_since = context.clock() - timedelta(seconds=context.settings.towel.heartbeat_timeout_seconds)
        async with context.database.read() as session:
            task_runs = await find_silent_task_runs(session, silent_since=silent_since, limit=self.batch)
        ended_task_runs = 0
        for start in range(0, len(task_runs), CHUNK):
            chunk = task_runs[start : start + CHUNK]
            ended_task_runs += await end_silent_task_runs(context, task_run_ids=chunk, silent_since=silent_since)
        async with context.database.read() as session:
            flow_runs = await find_silent_cancelling_runs(session, silent_since=silent_since, limit=self.batch)
        ended_flow_runs = 0
        for start in range(0, len(flow_runs), CHUNK):
            chunk = flow_runs[start : start + CHUNK]
            ended_flow_runs += await end_silent_cancelling_runs(context, flow_run_ids=chunk, silent_since=silent_since)
        return {"task_runs": ended_task_runs, "flow_runs": ended_flow_runs}
