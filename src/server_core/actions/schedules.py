"""Verbs that plan the runs of schedules (actions.md §5.2). Called by the towel's scheduler for pages of flows, and by
the verbs that turn a schedule on or change one.

Statements do not grow with the number of flows; a run, its state and its flag are one transaction; a flow that cannot
be planned is logged and left out.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.runs import FlowRunSpec, create_flow_runs_in
from server_core.db.session import Row, WriteSession
from server_core.errors import ServerError, Unavailable
from server_core.rules.schedules.planning import PlannedRun, plan_runs
from server_core.store import schedules as store

logger = logging.getLogger(__name__)

Plan = tuple[UUID, PlannedRun]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduledRuns:
    """What planning did.

    Attributes:
        ids: the runs that are planned, new ones and those found with the key of a plan.
        created: how many of them are new.
        changes: first states of the new ones; for cloud_hooks.notify after the commit.
    """

    ids: Sequence[UUID] = ()
    created: int = 0
    changes: Sequence[FlowRunStateChange] = ()


async def schedule_flow_runs(context: ActionContext, *, flow_ids: Sequence[UUID], max_runs: int = 10) -> list[UUID]:
    """Plan the next runs of flows and return the ids of the runs planned.

    Args:
        flow_ids: unknown, archived and inactive flows and flows without a schedule are left out.
        max_runs: how many events per flow to look ahead; those planned before count.

    Raises:
        Unavailable: the database cannot be reached.
    """
    return list((await plan_flows(context, flow_ids=flow_ids, max_runs=max_runs)).ids)


async def plan_flows(context: ActionContext, *, flow_ids: Sequence[UUID], max_runs: int) -> ScheduledRuns:
    """Plan the next runs of flows in a transaction of its own; as schedule_flow_runs, but tells all it did.

    If the database refuses the batch, its halves are tried, so that one flow cannot hold up the others.
    """
    try:
        async with context.database.transaction() as session:
            scheduled = await schedule_runs_in(session, context, flow_ids=flow_ids, max_runs=max_runs, hold_groups=True)
    except Unavailable:
        raise
    except Exception:
        if len(flow_ids) <= 1:
            logger.exception("flow %s could not be scheduled", *flow_ids)
            return ScheduledRuns()
        middle = len(flow_ids) // 2
        halves = [
            await plan_flows(context, flow_ids=half, max_runs=max_runs)
            for half in (flow_ids[:middle], flow_ids[middle:])
        ]
        return ScheduledRuns(
            ids=[run_id for half in halves for run_id in half.ids], created=sum(half.created for half in halves)
        )
    notify(context, scheduled.changes)
    return scheduled


async def schedule_runs_in(
    session: WriteSession,
    context: ActionContext,
    *,
    flow_ids: Sequence[UUID],
    max_runs: int,
    hold_groups: bool = False,
) -> ScheduledRuns:
    """Plan the next runs of flows inside the caller's transaction: at most five statements, however many flows.

    The caller hands the changes to cloud_hooks.notify once it has committed.

    Args:
        hold_groups: keep the flow groups from changing meanwhile; not for a caller that has locked a flow.
    """
    rows = await store.fetch_plans(session, flow_ids=flow_ids)
    if not rows:
        return ScheduledRuns()
    plans = await asyncio.to_thread(_plan_all, rows, context.clock(), max_runs)
    found = await _find_repeated(session, plans)
    missing = [plan for plan in plans if (plan[0], plan[1].idempotency_key) not in found]
    if not missing:
        return ScheduledRuns(ids=list(found.values()))
    schedules = {row["flow_id"]: row["schedule"] for row in rows}
    held = await store.hold_plans(session, flow_ids=list({flow_id for flow_id, _ in missing}), groups=hold_groups)
    specs = [_spec(flow_id, run) for flow_id, run in missing if flow_id in held and held[flow_id] == schedules[flow_id]]
    runs = await create_flow_runs_in(session, context, specs, skip_invalid=True)
    return ScheduledRuns(
        ids=[*found.values(), *dict.fromkeys(run.id for run in runs)],
        created=len({run.id for run in runs if run.created}),
        changes=[run.change for run in runs if run.change is not None],
    )


def _plan_all(rows: Iterable[Row], now: datetime, max_runs: int) -> list[Plan]:
    plans: list[Plan] = []
    for row in rows:
        try:
            planned = plan_runs(row["schedule"], last=row["last"], now=now, max_runs=max_runs)
        except ServerError as error:
            logger.warning("flow %s is not scheduled: %s", row["flow_id"], error)
        except Exception:
            logger.exception("flow %s is not scheduled", row["flow_id"])
        else:
            plans.extend((row["flow_id"], run) for run in planned)
    return plans


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
