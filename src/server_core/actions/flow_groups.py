"""Verbs on flow groups, what all versions of a flow share (actions.md §2.5). Called by the GraphQL service.

Each returns whether the group exists; an unknown one is no error.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.removal import remove
from server_core.actions.schedules import schedule_runs_in
from server_core.errors import InvalidInput
from server_core.rules.arguments import require
from server_core.rules.group_settings import check_group_settings
from server_core.rules.schedules.groups import CronClockInput, IntervalClockInput, group_schedule_document
from server_core.store import flow_groups as store
from server_core.store import flows, schedules


async def set_flow_group_default_parameters(context: ActionContext, *, flow_group_id: UUID, parameters: object) -> bool:
    """Replace the default parameters; an empty object clears them.

    Raises:
        InvalidInput: the parameters are not an object.
    """
    require(flow_group_id=flow_group_id)
    if not isinstance(parameters, dict):
        raise InvalidInput("Default parameters must be a JSON object.")
    async with context.database.transaction() as session:
        return bool(await store.update_default_parameters(session, flow_group_id=flow_group_id, parameters=parameters))


async def set_flow_group_description(context: ActionContext, *, flow_group_id: UUID, description: str | None) -> bool:
    """Set the description, or with None clear it."""
    require(flow_group_id=flow_group_id)
    async with context.database.transaction() as session:
        return bool(await store.update_description(session, flow_group_id=flow_group_id, description=description))


async def set_flow_group_labels(context: ActionContext, *, flow_group_id: UUID, labels: Sequence[str] | None) -> bool:
    """Replace the labels, each once; None removes them (runs then take the flow's), an empty list means none."""
    require(flow_group_id=flow_group_id)
    distinct = None if labels is None else sorted(set(labels))
    async with context.database.transaction() as session:
        return bool(await store.update_labels(session, flow_group_id=flow_group_id, labels=distinct))


async def set_flow_group_run_config(context: ActionContext, *, flow_group_id: UUID, run_config: Any) -> bool:
    """Replace the run config as it comes, or with None remove it."""
    require(flow_group_id=flow_group_id)
    async with context.database.transaction() as session:
        return bool(await store.update_run_config(session, flow_group_id=flow_group_id, run_config=run_config))


async def set_flow_group_settings(context: ActionContext, *, flow_group_id: UUID, settings: object) -> bool:
    """Set the keys that are given, remove those that are null, keep all others (an operation of our own).

    `heartbeat_enabled` is written into the group's flows as well, where running clients look (§9.4).

    Args:
        context: the seams.
        flow_group_id: the group.
        settings: known keys and their values, see rules.group_settings.

    Raises:
        InvalidInput: an unknown key or a bad value; nothing changes.
    """
    require(flow_group_id=flow_group_id)
    changes = check_group_settings(settings)
    async with context.database.transaction() as session:
        found = await store.merge_settings(
            session,
            flow_group_id=flow_group_id,
            settings={key: value for key, value in changes.items() if value is not None},
            removed=[key for key, value in changes.items() if value is None],
        )
        if found and "heartbeat_enabled" in changes:
            await store.set_heartbeat_of_flows(
                session, flow_group_id=flow_group_id, enabled=changes["heartbeat_enabled"]
            )
    return bool(found)


async def set_flow_group_schedule(
    context: ActionContext,
    *,
    flow_group_id: UUID,
    cron_clocks: Sequence[CronClockInput] = (),
    interval_clocks: Sequence[IntervalClockInput] = (),
    timezone: str | None = None,
) -> bool:
    """Replace the schedule, delete the runs planned by the one before, and plan new ones for flows that are on.

    Events whose runs were cancelled before they ran are planned anew. No flow's schedule is turned on or off by this.

    Raises:
        InvalidInput: a clock cannot be loaded, or the timezone is unknown.
    """
    require(flow_group_id=flow_group_id)
    schedule = group_schedule_document(
        cron_clocks=cron_clocks, interval_clocks=interval_clocks, timezone=timezone, now=context.clock()
    )
    return await _replace_schedule(context, flow_group_id, schedule)


async def delete_flow_group_schedule(context: ActionContext, *, flow_group_id: UUID) -> bool:
    """Remove the schedule and delete the runs it planned; flows that are on go back to their own."""
    require(flow_group_id=flow_group_id)
    return await _replace_schedule(context, flow_group_id, None)


async def delete_flow_group(context: ActionContext, *, flow_group_id: UUID) -> bool:
    """Delete a flow group with its flows and their runs.

    With very many runs it is out of the way at once, and its rows go little by little; until then it exists.
    """
    require(flow_group_id=flow_group_id)
    return await remove(context, kind="flow_group", id=flow_group_id)


async def _replace_schedule(context: ActionContext, flow_group_id: UUID, schedule: dict[str, Any] | None) -> bool:
    changes: Sequence[FlowRunStateChange] = ()
    async with context.database.transaction() as session:
        if not await store.update_schedule(session, flow_group_id=flow_group_id, schedule=schedule):
            return False
        rows = await store.lock_flows(session, flow_group_id=flow_group_id)
        flow_ids = [row["id"] for row in rows]
        await flows.delete_planned_runs(session, flow_ids=flow_ids)
        await schedules.free_cancelled_slots(session, flow_ids=flow_ids, now=context.clock())
        active = [row["id"] for row in rows if row["is_planned"]]
        if schedule is not None and active:
            planned = await schedule_runs_in(
                session, context, flow_ids=active, max_runs=context.settings.towel.max_scheduled_runs_per_flow
            )
            changes = planned.changes
    notify(context, changes)
    return True
