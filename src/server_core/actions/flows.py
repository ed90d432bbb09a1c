"""Verbs on a registered flow: archive, schedule on and off, move, delete (actions.md §2.4). Called by the GraphQL
service; registration itself is in actions.registration.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.removal import refuse_pending, remove
from server_core.actions.schedules import schedule_runs_in
from server_core.actions.states import FlowRunStateWrite, write_flow_run_states
from server_core.db.session import WriteSession
from server_core.errors import InvalidInput, NotFound
from server_core.rules import flows as rules
from server_core.rules.arguments import require
from server_core.rules.group_settings import heartbeat_switch
from server_core.states import make_state
from server_core.store import flow_groups, schedules
from server_core.store import flows as store

RUNS_AT_ACTIVATION = 10
"""Runs planned at once when a schedule is turned on, whatever the towel is set to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Activation:
    """What turning a schedule on did.

    Attributes:
        activated: whether the flow has a schedule at all.
        changes: states of the runs that were planned; for cloud_hooks.notify after the commit.
    """

    activated: bool
    changes: Sequence[FlowRunStateChange] = ()


async def archive_flow(context: ActionContext, *, flow_id: UUID) -> bool:
    """Archive a flow; return whether it exists.

    Its planned runs are deleted, its manual runs that still wait end Cancelled. The schedule flag stays as it is.
    """
    require(flow_id=flow_id)
    async with context.database.transaction() as session:
        found = await store.lock_flows(session, flow_ids=[flow_id])
        changes = await archive_flows_in(session, context, flow_ids=found)
    notify(context, changes)
    return bool(found)


async def unarchive_flow(context: ActionContext, *, flow_id: UUID) -> bool:
    """Take a flow out of the archive; return whether it exists. If its schedule is on, runs are planned at once."""
    require(flow_id=flow_id)
    activation = Activation(activated=False)
    async with context.database.transaction() as session:
        found = await store.lock_flows(session, flow_ids=[flow_id])
        rows = await store.set_archived(session, flow_ids=found, archived=False)
        if rows and rows[0]["is_schedule_active"]:
            await schedules.free_cancelled_slots(session, flow_ids=[flow_id], now=context.clock())
            activation = await activate_schedule_in(session, context, flow_id=flow_id)
    notify(context, activation.changes)
    return bool(rows)


async def set_schedule_active(context: ActionContext, *, flow_id: UUID) -> bool:
    """Turn a flow's schedule on and plan its next runs at once; return whether there is a flow with a schedule.

    If it was off, events whose runs were cancelled before they ran are planned anew; the cancelled runs stay.

    Raises:
        InvalidInput: a required parameter has no value for every clock; the schedule stays as it was.
    """
    require(flow_id=flow_id)
    async with context.database.transaction() as session:
        if not await store.lock_flows(session, flow_ids=[flow_id]):
            return False
        activation = await activate_schedule_in(session, context, flow_id=flow_id)
    notify(context, activation.changes)
    return activation.activated


async def set_schedule_inactive(context: ActionContext, *, flow_id: UUID) -> bool:
    """Turn a flow's schedule off and delete its planned runs that still wait; return whether the flow exists."""
    require(flow_id=flow_id)
    async with context.database.transaction() as session:
        if not await store.lock_flows(session, flow_ids=[flow_id]):
            return False
        await store.set_schedule_flag(session, flow_id=flow_id, active=False)
        await store.delete_planned_runs(session, flow_ids=[flow_id])
    return True


async def update_flow_project(context: ActionContext, *, flow_id: UUID, project_id: UUID) -> UUID:
    """Move a flow to another project of its tenant and return its id; its version group stays.

    Raises:
        NotFound: unknown flow, or no such project in its tenant.
        InvalidInput: the project is being deleted.
    """
    require(flow_id=flow_id, project_id=project_id)
    async with context.database.transaction() as session:
        if not await store.lock_flows(session, flow_ids=[flow_id]):
            raise NotFound(f"Invalid flow: {flow_id} does not exist.")
        await refuse_pending(session, project=project_id)
        if not await store.update_project(session, flow_id=flow_id, project_id=project_id):
            raise NotFound(f"Invalid project: the flow's tenant has no project {project_id}.")
    return flow_id


async def set_flow_heartbeat(context: ActionContext, *, flow_id: UUID, enabled: bool) -> bool:
    """Turn heartbeats and the watching of them on or off for the flow's whole group; return True.

    It is written into the group's flows as well: running clients look there (§9.4).

    Raises:
        NotFound: unknown flow.
    """
    async with context.database.transaction() as session:
        flow_group_id = await _set_switches(session, flow_id, heartbeat_switch(enabled))
        await flow_groups.set_heartbeat_of_flows(session, flow_group_id=flow_group_id, enabled=enabled)
    return True


async def set_flow_lazarus_process(context: ActionContext, *, flow_id: UUID, enabled: bool) -> bool:
    """Turn the rescheduling of silent runs on or off for the flow's whole group; return True.

    Raises:
        NotFound: unknown flow.
    """
    async with context.database.transaction() as session:
        await _set_switches(session, flow_id, {"lazarus_enabled": enabled})
    return True


async def delete_flow(context: ActionContext, *, flow_id: UUID) -> bool:
    """Delete a flow and its runs, not its flow group; return whether it existed.

    With very many runs it is out of the way at once, and its rows go little by little; until then it exists.
    """
    require(flow_id=flow_id)
    return await remove(context, kind="flow", id=flow_id)


async def archive_flows_in(
    session: WriteSession, context: ActionContext, *, flow_ids: Sequence[UUID]
) -> list[FlowRunStateChange]:
    """Archive flows that the caller's transaction has locked; return the changes for notify after the commit."""
    if not flow_ids:
        return []
    await store.set_archived(session, flow_ids=flow_ids, archived=True)
    await store.delete_planned_runs(session, flow_ids=flow_ids)
    waiting = await store.find_waiting_runs(session, flow_ids=flow_ids)
    now = context.clock()
    writes = [
        FlowRunStateWrite(
            flow_run_id=row["id"],
            state=make_state("Cancelled", now=now, message=f"Flow {row['flow_name']!r} was archived."),
        )
        for row in waiting
    ]
    written = await write_flow_run_states(session, context, writes)
    return [outcome for outcome in written if isinstance(outcome, FlowRunStateChange)]


async def activate_schedule_in(session: WriteSession, context: ActionContext, *, flow_id: UUID) -> Activation:
    """Turn a schedule on inside the caller's transaction, which has the flow locked.

    Raises:
        InvalidInput: a required parameter has no value for every clock.
    """
    found = await store.find_schedule(session, flow_id=flow_id)
    if found is None:
        return Activation(activated=False)
    missing = rules.missing_parameters(
        parameters=found.parameters, schedule=found.schedule, group_defaults=found.group_defaults
    )
    if missing:
        raise InvalidInput(
            "Can not schedule a flow that has required parameters without a default for every clock:"
            f" {', '.join(missing)}."
        )
    if found.schedule is None and found.group_schedule is None:
        return Activation(activated=False)
    if not found.is_schedule_active:
        if await _stays_off(session, context, flow_id):
            return Activation(activated=False)
        await schedules.free_cancelled_slots(session, flow_ids=[flow_id], now=context.clock())
    await store.set_schedule_flag(session, flow_id=flow_id, active=True)
    planned = await schedule_runs_in(session, context, flow_ids=[flow_id], max_runs=RUNS_AT_ACTIVATION)
    return Activation(activated=True, changes=planned.changes)


async def _stays_off(session: WriteSession, context: ActionContext, flow_id: UUID) -> bool:
    """Tell whether a flow was registered just now and inherits that its schedule is off (demand 11).

    The client that registers a flow turns its schedule on right after, which cannot be told from a person who does; so
    it is the time that decides, and a person may have to wait for it.
    """
    seconds = context.settings.graphql.keep_schedule_off_seconds
    return seconds > 0 and await store.is_successor_of_inactive(
        session, flow_id=flow_id, registered_after=context.clock() - timedelta(seconds=seconds)
    )


async def _set_switches(session: WriteSession, flow_id: UUID, settings: Mapping[str, bool | None]) -> UUID:
    """Overlay switches on the settings of a flow's group and return the group."""
    require(flow_id=flow_id)
    flow_group_id = await flow_groups.merge_settings_of_flow(session, flow_id=flow_id, settings=settings)
    if flow_group_id is None:
        raise NotFound(f"Invalid flow: {flow_id} does not exist.")
    return flow_group_id
