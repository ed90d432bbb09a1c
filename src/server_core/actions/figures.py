"""The verb that takes the figures which metrics show (demand 33). Called by the towel, while somebody asks for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from server_core.actions.context import ActionContext
from server_core.store import figures as store

LATE_AFTER = timedelta(seconds=15)
"""A run that waits longer than this after its time is late: an agent polls every ten seconds at most."""

SILENT_AFTER = timedelta(seconds=60)
"""An agent that did not ask for runs for so long is silent."""

LONGEST_SECONDS = 5.0
"""A statement that takes longer is given up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What is going on in the database at one time.

    Attributes:
        flow_runs: their number by state; those in final states are an estimate.
        task_runs: the same of task runs.
        late_flow_runs: flow runs that were due more than 15 s ago and still wait.
        oldest_late_seconds: how long ago the first of them was due; 0 if there is none.
        active_agents: agents that asked for runs within the last minute.
        silent_agents: the others.
        waiting_hook_events: events that wait to be told to a cloud hook.
        hook_overdue_seconds: how late the first of them is.
    """

    flow_runs: Mapping[str, int]
    task_runs: Mapping[str, int]
    late_flow_runs: int
    oldest_late_seconds: float
    active_agents: int
    silent_agents: int
    waiting_hook_events: int
    hook_overdue_seconds: float


async def take_figures(context: ActionContext) -> Figures:
    """Count what is going on.

    Raises:
        Unavailable: the database cannot be reached, or a statement took too long.
    """
    now = context.clock()
    async with context.database.read() as session:
        runs = {
            table: {
                row["state"]: row["count"]
                for row in (
                    *await store.estimate_finished(session, table),
                    *await store.count_unfinished(session, table, seconds=LONGEST_SECONDS),
                )
            }
            for table in ("flow_run", "task_run")
        }
        late = await store.count_late(session, now=now, before=now - LATE_AFTER, seconds=LONGEST_SECONDS)
        agents = await store.count_agents(session, heard_since=now - SILENT_AFTER)
        hooks = await store.count_hook_events(session, now=now)
    return Figures(
        flow_runs=runs["flow_run"],
        task_runs=runs["task_run"],
        late_flow_runs=late["count"],
        oldest_late_seconds=late["oldest_seconds"],
        active_agents=agents["active"],
        silent_agents=agents["silent"],
        waiting_hook_events=hooks["waiting"],
        hook_overdue_seconds=hooks["overdue_seconds"],
    )
