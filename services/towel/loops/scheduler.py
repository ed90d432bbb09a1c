"""Plans the next runs of every flow whose schedule is on (actions.md §5.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.schedules import plan_flows
from server_core.store.schedules import find_active_flows

PAGE = 500
"""Flows planned in one transaction."""


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """Goes through the active flows page by page; each page is a handful of statements.

    Attributes:
        page: flows per page.
    """

    page: int = PAGE
    name: str = "scheduler"

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.scheduler_interval_seconds`."""
        return context.settings.towel.scheduler_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Plan all active flows; return how many flow runs were made.

        Raises:
            Unavailable: the database cannot be reached; pages done before are kept.
        """
        created = 0
        before: UUID | None = None
        while True:
            async with context.database.read() as session:
                flow_ids = await find_active_flows(session, before=before, limit=self.page)
            if not flow_ids:
                return {"flow_runs": created}
            scheduled = await plan_flows(
                context, flow_ids=flow_ids, max_runs=context.settings.towel.max_scheduled_runs_per_flow
            )
            created += scheduled.created
            before = flow_ids[-1]
