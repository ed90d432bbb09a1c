"""Verbs on flow runs and task runs but their states (actions.md §2.1, §2.6, §2.7). Called by the GraphQL service and,
for planned runs, by the scheduler.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.life import note_life, overdue_before
from server_core.actions.removal import remove_flow_run
from server_core.db.session import ReadSession, Row, WriteSession
from server_core.errors import InvalidInput, NotFound, ServerError
from server_core.ids import new_id
from server_core.rules.arguments import require
from server_core.rules.flow_runs import random_run_name, resolve_labels, resolve_parameters, resolve_run_config
from server_core.states import make_state
from server_core.storable import exact_json
from server_core.store import runs as store

logger = logging.getLogger(__name__)

SCHEDULED_MESSAGE = "Flow run scheduled."
CREATED_MESSAGE = "Task run created"
_CREATED = make_state("Pending", now=datetime.min.replace(tzinfo=UTC), message=CREATED_MESSAGE)
"""The first state of a task run; it holds no time."""
_INSERT_ATTEMPTS = 3
MAPPED_CHILDREN_SECONDS = 0.5
"""How long the children of one task run may be summed up (§2.1)."""
MAPPED_CHILDREN_SECONDS_AT_MOST = 5.0
"""The same of any number of task runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowRunSpec:
    """A flow run that is wanted (§2.6).

    Attributes:
        flow_id: the flow it runs.
        parameters: over the defaults of flow and group.
        labels: None: those of run config, group or flow; an empty list: none.
        run_config: None: that of group or flow.
        run_context: its `context` column.
        scheduled_start_time: None: now.
        idempotency_key: a run of the flow that has the same key is taken instead of a new one.
        flow_run_name: None or empty: two random words.
        auto_scheduled: made by the scheduler, not by a person.
        scheduled: give it its first state, Scheduled.
    """

    flow_id: UUID
    parameters: Mapping[str, Any] | None = None
    labels: Sequence[str] | None = None
    run_config: dict[str, Any] | None = None
    run_context: Mapping[str, Any] | None = None
    scheduled_start_time: datetime | None = None
    idempotency_key: str | None = None
    flow_run_name: str | None = None
    auto_scheduled: bool = False
    scheduled: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatedRun:
    """What became of a FlowRunSpec.

    Attributes:
        id: the new run, or the one that had the key.
        flow_id: its flow.
        created: it is new.
        change: its Scheduled state, for cloud_hooks.notify after the commit; None if it is not new.
    """

    id: UUID
    flow_id: UUID
    created: bool
    change: FlowRunStateChange | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRunInfo:
    """Where a task run stands."""

    id: UUID
    version: int
    state: str | None
    serialized_state: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class MappedChildren:
    """The children of a mapped task run, summed up."""

    min_start_time: datetime | None = None
    max_end_time: datetime | None = None
    state_counts: Mapping[str, int] = field(default_factory=dict)


async def create_flow_run(
    context: ActionContext,
    *,
    flow_id: UUID | None = None,
    version_group_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    labels: Sequence[str] | None = None,
    run_config: dict[str, Any] | None = None,
    run_context: Mapping[str, Any] | None = None,
    scheduled_start_time: datetime | None = None,
    idempotency_key: str | None = None,
    flow_run_name: str | None = None,
    scheduled: bool = True,
) -> UUID:
    """Create a flow run in state Scheduled and return its id; see FlowRunSpec for the arguments (§2.6).

    Args:
        flow_id: the flow; wins over version_group_id.
        version_group_id: the newest unarchived flow of the group.

    Raises:
        InvalidInput: neither is given, the flow is archived, a required parameter is missing, a value has a wrong type.
        NotFound: there is no such flow, or the group has no unarchived one.
    """

    def spec(flow_id: UUID) -> FlowRunSpec:
        return FlowRunSpec(
            flow_id=flow_id,
            parameters=parameters,
            labels=labels,
            run_config=run_config,
            run_context=run_context,
            scheduled_start_time=scheduled_start_time,
            idempotency_key=idempotency_key,
            flow_run_name=flow_run_name,
            scheduled=scheduled,
        )

    run = None
    if idempotency_key is not None:
        found = flow_id
        if found is None:
            async with context.database.read() as session:
                found = await _find_flow(session, flow_id=None, version_group_id=version_group_id)
        run = await _create_keyed_flow_run(context, spec(found))
    if run is None:
        async with context.database.transaction(repeatable=idempotency_key is not None) as session:
            found = await _find_flow(session, flow_id=flow_id, version_group_id=version_group_id)
            [run] = await create_flow_runs_in(session, context, [spec(found)])
    notify(context, [run.change] if run.change else [])
    return run.id


async def _find_flow(session: ReadSession, *, flow_id: UUID | None, version_group_id: str | None) -> UUID:
    if flow_id is not None:
        return flow_id
    if not version_group_id:
        raise InvalidInput("One of `flow_id` and `version_group_id` is required.")
    newest = await store.find_newest_flow(session, version_group_id=version_group_id)
    if newest is None:
        raise NotFound(f"Version group {version_group_id!r} has no unarchived flows.")
    return newest


async def _create_keyed_flow_run(context: ActionContext, spec: FlowRunSpec) -> CreatedRun | None:
    """Create a flow run that has a key by one statement; None: its flow or group was changed after it was read.

    What a run takes from its flow is remembered from the last one. What that leads to counts only if the statement
    finds the flow unchanged: errors do not, so the flow is read before one is raised.

    One without a key is made in a transaction: if the statement breaks off, it is certain then that nothing was made.
    """
    now = context.clock()
    known = context.flows.get(spec.flow_id)
    if known is not None:
        wanted = None
        with suppress(ServerError):
            wanted = _plan(spec, known, now)
        created = wanted and await _insert_flow_run_of(context, spec, wanted, known, now)
        if created:
            return created
    async with context.database.read() as session:
        flow = await store.find_flow(session, flow_id=spec.flow_id)
    context.flows.note(spec.flow_id, flow)
    wanted = _plan(spec, flow, now)
    assert flow is not None  # noqa: S101 - there is no plan without one
    return await _insert_flow_run_of(context, spec, wanted, flow, now)


async def _insert_flow_run_of(
    context: ActionContext, spec: FlowRunSpec, wanted: store.NewFlowRun, flow: Row, now: datetime
) -> CreatedRun | None:
    async with context.database.autocommit() as session:
        row = await store.insert_flow_run_of(session, run=wanted, flow=flow, now=now)
    if row is None:
        return None
    is_new = row["id"] == wanted.id
    change = _first_change(wanted, hooks_queued=row["hooks_queued"]) if is_new and spec.scheduled else None
    return CreatedRun(id=row["id"], flow_id=spec.flow_id, created=is_new, change=change)


async def create_flow_runs_in(
    session: WriteSession, context: ActionContext, specs: Sequence[FlowRunSpec], *, skip_invalid: bool = False
) -> list[CreatedRun]:
    """Create flow runs inside the caller's transaction: two statements, however many there are.

    Args:
        specs: what is wanted.
        skip_invalid: leave out (and log) what cannot be created, instead of raising.

    Returns:
        A run per spec, in order, without those left out. The caller hands their changes to cloud_hooks.notify once it
        has committed.

    Raises:
        As create_flow_run.
    """
    now = context.clock()
    flows = await store.hold_flows(session, flow_ids=list({spec.flow_id for spec in specs}))
    planned: list[tuple[FlowRunSpec, store.NewFlowRun]] = []
    for spec in specs:
        try:
            planned.append((spec, _plan(spec, flows.get(spec.flow_id), now)))
        except ServerError as error:
            if not skip_invalid:
                raise
            logger.warning("flow %s: a run was not created: %s", spec.flow_id, error)
    wanted: dict[object, store.NewFlowRun] = {}
    for _, run in planned:
        wanted.setdefault(_identity(run), run)
    rows = await store.insert_flow_runs(session, runs=list(wanted.values()), now=now) if wanted else []
    new_ids = {row["id"] for row in rows}
    hooks_queued = any(row["hooks_queued"] for row in rows)
    by_key = {(row["flow_id"], row["idempotency_key"]): row["id"] for row in rows}
    created: list[CreatedRun] = []
    for spec, run in planned:
        is_new = run.id in new_ids
        run_id = run.id if is_new else by_key[run.flow_id, run.idempotency_key]
        change = _first_change(run, hooks_queued=hooks_queued) if is_new and spec.scheduled else None
        created.append(CreatedRun(id=run_id, flow_id=run.flow_id, created=is_new, change=change))
    return created


async def delete_flow_run(context: ActionContext, *, flow_run_id: UUID) -> bool:
    """Delete a flow run with its task runs, states, logs and artifacts; return whether it existed.

    One with very many of these goes to no agent any more, and is deleted little by little; until then it exists.
    """
    require(flow_run_id=flow_run_id)
    return await remove_flow_run(context, flow_run_id=flow_run_id)


async def set_flow_run_name(context: ActionContext, *, flow_run_id: UUID, name: str) -> bool:
    """Rename a flow run; return whether it exists.

    Raises:
        InvalidInput: the name is empty.
    """
    require(flow_run_id=flow_run_id, name=name)
    async with context.database.autocommit() as session:
        return await store.update_flow_run_name(session, flow_run_id=flow_run_id, name=name)


async def set_flow_run_labels(context: ActionContext, *, flow_run_id: UUID, labels: Sequence[str]) -> bool:
    """Replace the labels of a flow run, stored sorted; return whether it exists."""
    require(flow_run_id=flow_run_id)
    async with context.database.autocommit() as session:
        return await store.update_flow_run_labels(session, flow_run_id=flow_run_id, labels=sorted(labels))


async def set_task_run_name(context: ActionContext, *, task_run_id: UUID, name: str) -> bool:
    """Rename a task run; return whether it exists.

    Raises:
        InvalidInput: the name is empty.
    """
    require(task_run_id=task_run_id, name=name)
    async with context.database.autocommit() as session:
        return await store.update_task_run_name(session, task_run_id=task_run_id, name=name)


async def update_flow_run_heartbeat(context: ActionContext, *, flow_run_id: UUID) -> bool:
    """Note that a flow run is alive; always True, also for a run that does not exist (§2.7)."""
    require(flow_run_id=flow_run_id)
    async with context.database.autocommit() as session:
        await store.update_flow_run_heartbeat(session, flow_run_id=flow_run_id, now=context.clock())
    return True


async def update_task_run_heartbeat(context: ActionContext, *, task_run_id: UUID) -> bool:
    """Note that a task run is alive; always True, also for a run that does not exist (§2.7)."""
    require(task_run_id=task_run_id)
    async with context.database.autocommit() as session:
        overdue = await store.update_task_run_heartbeat(
            session, task_run_id=task_run_id, now=context.clock(), overdue_before=overdue_before(context)
        )
    if overdue is not None:
        await note_life(context, [overdue])
    return True


async def get_or_create_task_run(
    context: ActionContext, *, flow_run_id: UUID, task_id: UUID, map_index: int | None = None
) -> UUID:
    """Return the id of a task run; see get_or_create_task_run_info."""
    info = await get_or_create_task_run_info(context, flow_run_id=flow_run_id, task_id=task_id, map_index=map_index)
    return info.id


async def get_or_create_task_run_info(
    context: ActionContext, *, flow_run_id: UUID, task_id: UUID, map_index: int | None = None
) -> TaskRunInfo:
    """Return where the task run of (flow run, task, map index) stands; make it, Pending, if there is none (§2.7).

    Args:
        map_index: None is -1, the task itself.

    Raises:
        NotFound: there is no such flow run or task.
    """
    require(flow_run_id=flow_run_id, task_id=task_id)
    if map_index is None:
        map_index = -1
    now = context.clock()
    overdue = overdue_before(context)
    row = None
    async with context.database.autocommit() as session:
        if map_index < 0:  # it was made with the flow run, as good as always; children of a mapped task were not
            row = await store.find_task_run_of(
                session, flow_run_id=flow_run_id, task_id=task_id, map_index=map_index, overdue_before=overdue
            )
        attempts = _INSERT_ATTEMPTS
        while row is None and attempts:
            attempts -= 1
            row = await store.find_or_insert_task_run(
                session,
                task_run_id=new_id(),
                flow_run_id=flow_run_id,
                task_id=task_id,
                map_index=map_index,
                state_id=new_id(),
                state=_CREATED,
                now=now,
                overdue_before=overdue,
            )
    if row is None:
        raise NotFound(f"Invalid ID: there is no flow run {flow_run_id} or no task {task_id}.")
    if row["overdue"] is not None:
        await note_life(context, [row["overdue"]])
    return TaskRunInfo(
        id=row["id"], version=row["version"], state=row["state"], serialized_state=row["serialized_state"]
    )


async def get_task_run_info(context: ActionContext, *, task_run_id: UUID) -> TaskRunInfo:
    """Return where a task run stands.

    Raises:
        NotFound: there is no such task run.
    """
    require(task_run_id=task_run_id)
    async with context.database.read() as session:
        row = await store.find_task_run(session, task_run_id=task_run_id)
    if row is None:
        raise NotFound(f"Task run {task_run_id} not found.")
    return TaskRunInfo(**row)


async def mapped_children(context: ActionContext, *, task_run_ids: Sequence[UUID]) -> list[MappedChildren]:
    """Sum up the children of mapped task runs, in the order of the ids; none for a child and for an unknown id (§2.1).

    Raises:
        Unavailable: it took too long and was stopped.
    """
    for task_run_id in task_run_ids:
        require(task_run_id=task_run_id)
    seconds = min(MAPPED_CHILDREN_SECONDS * len(task_run_ids), MAPPED_CHILDREN_SECONDS_AT_MOST)
    async with context.database.read() as session:
        rows = await store.fetch_mapped_children(session, task_run_ids=task_run_ids, seconds=seconds)
    children: defaultdict[UUID, list[Row]] = defaultdict(list)
    for row in rows:
        children[row["task_run_id"]].append(row)
    return [_sum_up(children[task_run_id]) for task_run_id in task_run_ids]


def _sum_up(rows: Sequence[Row]) -> MappedChildren:
    return MappedChildren(
        min_start_time=min((row["min_start_time"] for row in rows if row["min_start_time"]), default=None),
        max_end_time=max((row["max_end_time"] for row in rows if row["max_end_time"]), default=None),
        state_counts={row["state"]: row["count"] for row in rows if row["state"] is not None},
    )


def _plan(spec: FlowRunSpec, flow: Row | None, now: datetime) -> store.NewFlowRun:
    if flow is None:
        raise NotFound(f"Flow {spec.flow_id} not found.")
    if flow["archived"]:
        raise InvalidInput(f"Flow {flow['name']!r} ({spec.flow_id}) is archived; a run of it cannot be created.")
    for name, value in (
        ("parameters", spec.parameters),
        ("run_config", spec.run_config),
        ("context", spec.run_context),
    ):
        if value is not None and not isinstance(value, Mapping):
            raise InvalidInput(f"`{name}` must be a JSON object.")
    start = spec.scheduled_start_time or now
    run_config = resolve_run_config(
        run_config=spec.run_config, group_run_config=flow["group_run_config"], flow_run_config=flow["run_config"]
    )
    return store.NewFlowRun(
        id=new_id(),
        flow_id=spec.flow_id,
        tenant_id=flow["tenant_id"],
        parameters=exact_json(
            resolve_parameters(
                flow_parameters=flow["parameters"], group_defaults=flow["group_parameters"], given=spec.parameters
            )
        ),
        labels=exact_json(
            resolve_labels(
                labels=spec.labels,
                run_config=spec.run_config,
                group_labels=flow["group_labels"],
                group_run_config=flow["group_run_config"],
                flow_run_config=flow["run_config"],
                flow_environment=flow["environment"],
            )
        ),
        run_config=None if run_config is None else exact_json(run_config),
        run_context=exact_json(dict(spec.run_context or {})),
        scheduled_start_time=start,
        idempotency_key=spec.idempotency_key,
        name=spec.flow_run_name or random_run_name(),
        auto_scheduled=spec.auto_scheduled,
        state_id=new_id(),
        state=make_state("Scheduled", now=now, message=SCHEDULED_MESSAGE, start_time=start) if spec.scheduled else None,
    )


def _identity(run: store.NewFlowRun) -> object:
    return run.id if run.idempotency_key is None else (run.flow_id, run.idempotency_key)


def _first_change(run: store.NewFlowRun, *, hooks_queued: bool) -> FlowRunStateChange | None:
    if run.state is None:
        return None
    return FlowRunStateChange(
        flow_run_id=run.id, state_id=run.state_id, version=1, state=run.state.name, hooks_queued=hooks_queued
    )
