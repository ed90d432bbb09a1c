"""Plans the next runs of the flows whose schedule is on, each when one of its events has passed (actions.md §5.2), and
cancels those that nobody took in time, where a flow group says so (demand 29).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from server_core.actions.context import ActionContext
from server_core.actions.lateness import cancel_late_runs
from server_core.actions.schedules import note_unplanned_flows, plan_due_flows

BATCH = 500
"""Flows planned in one transaction."""

INVENTORY_EVERY: Final = timedelta(hours=1)
"""How often to look for active flows of which nothing is noted: rows that were restored while triggers were off."""


class Scheduler:
    """Plans the flows that are due, batch by batch; each batch is a handful of statements.

    Args:
        batch: flows per batch.
    """

    name = "scheduler"

    def __init__(self, *, batch: int = BATCH) -> None:
        self._batch = batch
        self._inventory: datetime | None = None

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.scheduler_interval_seconds`."""
        return context.settings.towel.scheduler_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Plan the flows that are due and cancel the planned runs that come too late; return how many of each.

        A scheduler's first pass, and one an hour, leaves no active flow out.

        Raises:
            Unavailable: the database cannot be reached; batches done before are kept.
        """
        now = context.clock()
        if self._inventory is None or abs(now - self._inventory) >= INVENTORY_EVERY:
            await note_unplanned_flows(context)
            self._inventory = now
        created = 0
        while (planned := await plan_due_flows(context, limit=self._batch)).flows:
            created += planned.created
        late = 0
        while count := await cancel_late_runs(context, limit=self._batch):
            late += count
        return {"flow_runs": created, "late_flow_runs": late} if late else {"flow_runs": created}
