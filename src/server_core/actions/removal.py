"""Deletes flow runs, flows and what holds them, however many rows that is (demand 20). Called by the verbs that delete
and by the towel, which goes on with what a call left.

A removal is a mark and then statements of bounded size. The mark takes what is to be deleted out of the way: its flows
are archived and off, its runs go to no agent, its name is free. A call deletes as long as its budget lasts, which is
enough for all but the largest; so what is small is gone when the call answers. What was interrupted, by a spent budget
or by `kill -9`, stays marked for the next call or pass.
"""

import logging
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.erasure import Budget, Eraser, TimeBudget
from server_core.db.session import WriteSession
from server_core.errors import InvalidInput, Unavailable
from server_core.store import removal as store
from server_core.store.removal import Kind

logger = logging.getLogger(__name__)

SMALL_TASK_RUNS = 200
SMALL_LOGS = 2000
"""A flow run that holds no more than this is deleted by one statement."""

REMOVALS_AT_ONCE = 500
"""Marked things of one kind that are deleted together."""

FLOWS_AT_ONCE = 500
"""Flows archived by one statement."""

REST = 0.1
"""Pause of the towel per time at work."""


async def remove(context: ActionContext, *, kind: Kind, id: UUID, budget: Budget | None = None) -> bool:
    """Delete something with all it holds; return whether it existed. While that goes on, it does.

    Args:
        budget: of this call; None: `removal.call_seconds`.

    Raises:
        Unavailable: the database cannot be reached; nothing is marked.
    """
    budget = budget or TimeBudget(context.settings.removal.call_seconds)
    if not await _mark(context, kind, id):
        return False
    try:
        await _retire_flows(context, kind, id)
        if not await _erase(context, Eraser(context.database, budget), kind, [id]):
            logger.info("%s %s is deleted in the background", kind, id)
    except Unavailable as error:
        logger.warning("%s %s is deleted in the background: %s", kind, id, error)
    return True


async def remove_flow_run(context: ActionContext, *, flow_run_id: UUID) -> bool:
    """Delete a flow run with all it holds, by one statement unless it is large; return whether it existed."""
    async with context.database.autocommit() as session:
        if await store.delete_small_flow_run(
            session, flow_run_id=flow_run_id, most_task_runs=SMALL_TASK_RUNS, most_logs=SMALL_LOGS
        ):
            return True
    return await remove(context, kind="flow_run", id=flow_run_id)


async def remove_pending(context: ActionContext, *, budget: Budget, rest: float = REST) -> dict[str, int]:
    """Go on with all removals, the oldest first, until the budget is spent.

    Returns:
        rows: how many were deleted; removals: how many came to their end.

    Raises:
        Unavailable: the database cannot be reached.
    """
    async with context.database.read() as session:
        pending = await store.find_pending(session)
    if not pending:
        return {"rows": 0, "removals": 0}
    eraser = Eraser(context.database, budget, rest=rest)
    ended, failure = 0, None
    for kind, group in groupby(pending, key=itemgetter("kind")):
        ids = [row["id"] for row in group]
        for some in (ids[start : start + REMOVALS_AT_ONCE] for start in range(0, len(ids), REMOVALS_AT_ONCE)):
            if budget.is_spent():
                break
            try:
                for id in some:
                    await _retire_flows(context, kind, id)
                ended += len(some) if await _erase(context, eraser, kind, some) else 0
            except Unavailable as error:
                failure = error
    if failure is not None:
        raise failure
    return {"rows": eraser.deleted.total(), "removals": ended}


async def refuse_pending(session: WriteSession, **ids: UUID | None) -> None:
    """Refuse to put something into what is being deleted.

    Args:
        session: the caller's transaction.
        ids: by what they are of, for the message: `project=…`.

    Raises:
        InvalidInput: one of these is being deleted.
    """
    if await store.is_pending(session, ids=[id for id in ids.values() if id is not None]):
        shown = " or ".join(f"{name} {id}" for name, id in ids.items() if id is not None)
        raise InvalidInput(f"The {shown} is being deleted; nothing can be added to it.")


async def _mark(context: ActionContext, kind: Kind, id: UUID) -> bool:
    """Say for good that something is to be deleted; return whether it exists."""
    async with context.database.transaction() as session:
        if not await store.lock(session, kind=kind, id=id):
            return False
        if kind == "flow":
            await store.retire_some_flows(session, kind=kind, id=id, limit=1)
        elif await store.mark(session, kind=kind, ids=[id]):
            await store.give_name_free(session, kind=kind, id=id)
    return True


async def _retire_flows(context: ActionContext, kind: Kind, id: UUID) -> None:
    """Archive and mark the flows in what is marked.

    In transactions that hold nothing but flows: whoever else holds one may be waiting for its project or its tenant.
    """
    if kind in store.FLOWS_OF and kind != "flow":
        retired = FLOWS_AT_ONCE
        while retired == FLOWS_AT_ONCE:
            async with context.database.transaction() as session:
                retired = await store.retire_some_flows(session, kind=kind, id=id, limit=FLOWS_AT_ONCE)


async def _erase(context: ActionContext, eraser: Eraser, kind: Kind, ids: Sequence[UUID]) -> bool:
    """Delete what is marked until it is gone or the budget is spent; return whether it is gone."""
    if not await eraser.erase(kind, ids):
        return False
    async with context.database.transaction() as session:
        await store.forget_absent(session, kind=kind, ids=ids)
    return True
