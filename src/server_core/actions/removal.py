"""Deletes many flow runs in batches, a transaction each. Called by the verbs that delete flows and what holds them."""

from collections.abc import Sequence
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.store import flows as store

BATCH_SIZE = 200
"""Flow runs per statement; each takes its task runs, states and logs along."""


async def delete_runs_of_flows(
    context: ActionContext, *, flow_ids: Sequence[UUID], batch_size: int = BATCH_SIZE
) -> int:
    """Delete all runs of some flows and return how many there were (demand 20).

    Not one transaction: a call that is interrupted has deleted part of the runs, and a repeated one the rest.
    """
    deleted = 0
    while flow_ids:
        async with context.database.transaction() as session:
            count = await store.delete_some_runs(session, flow_ids=flow_ids, limit=batch_size)
        deleted += count
        if count < batch_size:
            break
    return deleted
