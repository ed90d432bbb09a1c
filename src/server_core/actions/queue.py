"""The verb that agents poll (actions.md §2.8). Called by the GraphQL service."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.rules.arguments import require
from server_core.store import queue as store


async def get_runs_in_queue(
    context: ActionContext,
    *,
    tenant_id: UUID,
    before: datetime | None = None,
    labels: Sequence[str] | None = None,
    agent_id: UUID | None = None,
) -> list[UUID]:
    """Return the flow runs an agent should take, longest due first; takes none off the queue.

    A run's labels must all be among the agent's; a run without labels goes only to an agent without labels.

    Args:
        before: runs due until then; None: until now.
        labels: the agent's; None: none.
        agent_id: the agent that asks; it is noted as alive. An unknown one is ignored.
    """
    require(tenant_id=tenant_id)
    now = context.clock()
    async with context.database.autocommit() as session:
        return await store.fetch_due_runs(
            session,
            tenant_id=tenant_id,
            before=before or now,
            labels=sorted(set(labels or ())),
            limit=context.settings.queued_runs_returned_limit,
            agent_id=agent_id,
            now=now,
        )
