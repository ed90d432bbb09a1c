"""Verbs that plan the runs of schedules (actions.md §5.2). Called by the towel's scheduler for the flows that are due,
and by the verbs that turn a schedule on or change one.

Statements do not grow with the number of flows; a run, its state and its flag are one transaction; a flow that cannot
be planned is logged and left out.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.runs import FlowRunSpec, create_flow_runs_in
from server_core.db.session import Row, WriteSession
from server_core.errors import ServerError, Unavailable
from server_core.rules.schedules.planning import PlannedRun, plan_runs
from server_core.store import schedules as store
from server_core.store.planner import prefer_indexes
from server_core.store.schedules import NextLook

logger = logging.getLogger(__name__)

RETRY_AFTER = timedelta(hours=1)
"""When a flow that could not be planned is tried again, unless something changes before."""

HELD_AFTER = timedelta(seconds=1)
"""When a flow that somebody was changing is tried again: at the next pass."""

Plan = tuple[UUID, PlannedRun]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduledRuns:
    """What planning did.

    Attributes:
        ids: the runs that are planned, new ones and those found with the key of a plan.
        created: how many of them are new.
        changes: first states of the new ones; for cloud_hooks.notify after the commit.
        looks: when each flow must be planned again; flows that are off are not among them.
    """

    ids: Sequence[UUID] = ()
    created: int = 0
    changes: Sequence[FlowRunStateChange] = ()
    looks: Sequence[NextLook] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBatch:
    """What plan_due_flows did: how many flows it looked at, how many runs it made."""

    flows: int = 0
    created: int = 0

    def __add__(self, other: "PlannedBatch") -> "PlannedBatch":
        return PlannedBatch(flows=self.flows + other.flows, created=self.created + other.created)


async def schedule_flow_runs(context: ActionContext, *, flow_ids: Sequence[UUID], max_runs: int = 10) -> list[UUID]:
    """Plan the next runs of flows and return the ids of the runs planned.

    Args:
        flow_ids: unknown, archived and inactive flows and flows without a schedule are left out.
        max_runs: how many events per flow to look ahead; those planned before count.

    Raises:
        Unavailable: the database cannot be reached.
    """
    async with context.database.transaction() as session:
        scheduled = await schedule_runs_in(session, context, flow_ids=flow_ids, max_runs=max_runs, hold_groups=True)
    notify(context, scheduled.changes)
    return list(scheduled.ids)


async def plan_due_flows(context: ActionContext, *, limit: int) -> PlannedBatch:
    """Plan a batch of the flows that are due, in one transaction, and note when to look at each again.

    What it returns has no flows when nothing is due, or when another scheduler is at work on it. If the database
    refuses the batch, its halves are tried, so that one flow cannot hold up the others.

    Args:
        limit: most flows to take.

    Raises:
        Unavailable: the database cannot be reached.
    """
    max_runs = context.settings.towel.max_scheduled_runs_per_flow
    async with context.database.read() as session:
        flow_ids = await store.find_due_flows(session, now=context.clock(), max_runs=max_runs, limit=limit)
    return await _plan_batch(context, flow_ids, max_runs) if flow_ids else PlannedBatch()


async def note_unplanned_flows(context: ActionContext) -> int:
    """Make active flows due of which nothing is noted; return how many there were. For a scheduler that starts."""
    async with context.database.autocommit() as session:
        return await store.note_unplanned_flows(session)


async def _plan_batch(context: ActionContext, flow_ids: Sequence[UUID], max_runs: int) -> PlannedBatch:
    try:
        async with context.database.transaction() as session:
            claimed = await store.claim_flow_plans(session, flow_ids=flow_ids)
            if not claimed:
                return PlannedBatch()
            await prefer_indexes(session)
            claimed_ids = list({row["flow_id"] for row in claimed})
            scheduled = await schedule_runs_in(
                session, context, flow_ids=claimed_ids, max_runs=max_runs, hold_groups=True, wait=False
            )
            await store.replace_flow_plans(
                session, plan_ids=[row["id"] for row in claimed], looks=scheduled.looks, max_runs=max_runs
            )
    except Unavailable:
        raise
    except Exception:
        if len(flow_ids) == 1:
            return await _put_off(context, flow_ids[0], max_runs)
        middle = len(flow_ids) // 2
        first = await _plan_batch(context, flow_ids[:middle], max_runs)
        return first + await _plan_batch(context, flow_ids[middle:], max_runs)
    notify(context, scheduled.changes)
    return PlannedBatch(flows=len(claimed_ids), created=scheduled.created)


async def _put_off(context: ActionContext, flow_id: UUID, max_runs: int) -> PlannedBatch:
    """Note that a flow could not be planned, from inside the handler of what went wrong."""
    logger.exception("flow %s could not be scheduled; tried again in %s", flow_id, RETRY_AFTER)
    look = NextLook(flow_id=flow_id, due=context.clock() + RETRY_AFTER)
    async with context.database.transaction() as session:
        claimed = await store.claim_flow_plans(session, flow_ids=[flow_id])
        await store.replace_flow_plans(
            session, plan_ids=[row["id"] for row in claimed], looks=[look] if claimed else [], max_runs=max_runs
        )
    return PlannedBatch(flows=len(claimed))


async def schedule_runs_in(
    session: WriteSession,
    context: ActionContext,
    *,
    flow_ids: Sequence[UUID],
    max_runs: int,
    hold_groups: bool = False,
    wait: bool = True,
) -> ScheduledRuns:
    """Plan the next runs of flows inside the caller's transaction: at most five statements, however many flows.

    The caller hands the changes to cloud_hooks.notify once it has committed.

    Args:
        hold_groups: keep the flow groups from changing meanwhile; not for a caller that has locked a flow.
        wait: wait for flows that somebody else is changing; else they are to be looked at again soon.
    """
    rows = await store.fetch_plans(session, flow_ids=flow_ids)
    if not rows:
        return ScheduledRuns()
    now = context.clock()
    plans, looks = await asyncio.to_thread(_plan_all, rows, now, max_runs)
    found = await _find_repeated(session, plans)
    missing = [plan for plan in plans if (plan[0], plan[1].idempotency_key) not in found]
    if not missing:
        return ScheduledRuns(ids=list(found.values()), looks=_next_looks(looks))
    schedules = {row["flow_id"]: row["schedule"] for row in rows}
    wanted = {flow_id for flow_id, _ in missing}
    held = await store.hold_plans(session, flow_ids=list(wanted), groups=hold_groups, wait=wait)
    looks |= dict.fromkeys(wanted.difference(held), now + HELD_AFTER)
    specs = [_spec(flow_id, run) for flow_id, run in missing if flow_id in held and held[flow_id] == schedules[flow_id]]
    runs = await create_flow_runs_in(session, context, specs, skip_invalid=True)
    # A run that cannot be created now may be possible later, for example with a default for a parameter.
    refused = Counter(spec.flow_id for spec in specs) - Counter(run.flow_id for run in runs)
    for flow_id in refused:
        due = looks[flow_id]
        looks[flow_id] = now + RETRY_AFTER if due is None else min(due, now + RETRY_AFTER)
    return ScheduledRuns(
        ids=[*found.values(), *dict.fromkeys(run.id for run in runs)],
        created=len({run.id for run in runs if run.created}),
        changes=[run.change for run in runs if run.change is not None],
        looks=_next_looks(looks),
    )


def _plan_all(rows: Iterable[Row], now: datetime, max_runs: int) -> tuple[list[Plan], dict[UUID, datetime | None]]:
    """Return the runs that the flows want, and when each flow must be looked at again (None: when it changes)."""
    plans: list[Plan] = []
    looks: dict[UUID, datetime | None] = {}
    for row in rows:
        flow_id = row["flow_id"]
        looks[flow_id] = None
        if row["schedule"] is None:
            continue
        try:
            planned = plan_runs(row["schedule"], last=row["last"], now=now, max_runs=max_runs)
        except Exception as error:
            looks[flow_id] = now + RETRY_AFTER
            logger.warning("flow %s is not scheduled: %s", flow_id, error, exc_info=not isinstance(error, ServerError))
        else:
            looks[flow_id] = planned.due
            plans.extend((flow_id, run) for run in planned.runs)
    return plans, looks


def _next_looks(looks: Mapping[UUID, datetime | None]) -> list[NextLook]:
    return [NextLook(flow_id=flow_id, due=due) for flow_id, due in looks.items()]


async def _find_repeated(session: WriteSession, plans: Sequence[Plan]) -> dict[tuple[UUID, str], UUID]:
    """Return the plans that every pass makes anew and that are runs already, so that nothing is written for them."""
    repeated = [(flow_id, run.idempotency_key) for flow_id, run in plans if run.repeats]
    if not repeated:
        return {}
    return await store.find_planned_runs(
        session,
        flow_ids=[flow_id for flow_id, _ in repeated],
        idempotency_keys=[key for _, key in repeated],
    )


def _spec(flow_id: UUID, run: PlannedRun) -> FlowRunSpec:
    return FlowRunSpec(
        flow_id=flow_id,
        scheduled_start_time=run.event.start_time,
        parameters=run.event.parameter_defaults,
        labels=run.event.labels,
        idempotency_key=run.idempotency_key,
        auto_scheduled=True,
    )
