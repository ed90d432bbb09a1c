"""The verb that cancels planned runs which come too late by their flow group's `late_policy` (demand 29).

Called by the towel's scheduler. An agent's poll leaves such runs out by itself; this is what shows them as settled.
"""

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.states import FlowRunStateWrite, write_flow_run_states
from server_core.states import make_state
from server_core.store import lateness as store

MESSAGES = {
    "latest_only": "Skipped: the next run of the schedule is due too, and only the latest is run.",
    "skip_after": "Skipped: the run was not started in time.",
}


async def cancel_late_runs(context: ActionContext, *, limit: int) -> int:
    """Cancel a batch of planned runs that must not be run any more; return how many, fewer than the limit at the end.

    Raises:
        Unavailable: the database cannot be reached.
    """
    now = context.clock()
    async with context.database.transaction() as session:
        rows = await store.lock_late_runs(session, now=now, limit=limit)
        if not rows:
            return 0
        writes = [
            FlowRunStateWrite(
                flow_run_id=row["id"], state=make_state("Cancelled", now=now, message=MESSAGES[row["late_policy"]])
            )
            for row in rows
        ]
        outcomes = await write_flow_run_states(session, context, writes)
    changes = [outcome for outcome in outcomes if isinstance(outcome, FlowRunStateChange)]
    notify(context, changes)
    return len(changes)
