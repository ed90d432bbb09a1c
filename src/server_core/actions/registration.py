"""Verbs that register a flow: its row, its tasks, its edges (actions.md §2.4). Called by the GraphQL service.

A client registers in one call (`prefect register`: everything inside the document) or in many (`flow.register()`: the
document without tasks and edges, then both in lists of up to 500, then set_schedule_active).
"""

import logging
from collections.abc import Sequence
from uuid import UUID, uuid4

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.flows import activate_schedule_in, archive_flows_in
from server_core.actions.removal import refuse_pending
from server_core.db.session import Row, WriteSession
from server_core.errors import InvalidInput, NotFound
from server_core.flow_document import Edge, Task
from server_core.rules import flows as rules
from server_core.rules.arguments import require
from server_core.rules.compression import inflate_json
from server_core.rules.group_settings import inherited_flow_settings
from server_core.store import flow_groups, locks, tasks
from server_core.store import flows as store

logger = logging.getLogger(__name__)

SHOWN_SLUGS = 5


async def create_flow(
    context: ActionContext,
    *,
    project_id: UUID,
    serialized_flow: object,
    version_group_id: str | None = None,
    set_schedule_active: bool = True,
    description: str | None = None,
    idempotency_key: str | None = None,
) -> UUID:
    """Register a new version of a flow, archive the versions before it, and return its id.

    Concurrent registrations of one flow wait for each other: they get different versions in one flow group.

    Args:
        context: the seams.
        project_id: where the flow goes; its tenant is the flow's.
        serialized_flow: the decoded document.
        version_group_id: which flow this is a version of; default: the project's latest of the same name, else new.
        set_schedule_active: whether to turn the schedule on; a failure of that alone is only logged.
        description: for people.
        idempotency_key: if it equals the key of the registration before, that flow's id is returned, nothing created.

    Raises:
        InvalidInput: the document cannot be used, or project or tenant is being deleted; nothing was created.
        NotFound: unknown project.
    """
    require(project_id=project_id)
    flow = rules.parse_flow(serialized_flow, core_version_cutoff=context.settings.core_version_cutoff)
    async with context.database.transaction(repeatable=bool(idempotency_key)) as session:
        tenant_id = await store.find_project_tenant(session, project_id=project_id)
        if tenant_id is None:
            raise NotFound(f"Invalid project: {project_id} does not exist.")
        await refuse_pending(session, project=project_id, tenant=tenant_id)
        group_name = version_group_id or await _find_version_group(session, project_id, flow.name)
        is_new = group_name is None
        group_name = group_name or str(uuid4())
        await locks.wait_for(session, f"flow_group:{tenant_id}:{group_name}")
        group = await flow_groups.find_flow_group(session, tenant_id=tenant_id, name=group_name)
        flow_id = await _already_registered(session, group, idempotency_key)
        changes: list[FlowRunStateChange] = []
        if flow_id is None:
            group_id = await _open_group(session, group, tenant_id, group_name, idempotency_key)
            flow_id = await store.insert_flow(
                session,
                flow,
                tenant_id=tenant_id,
                project_id=project_id,
                flow_group_id=group_id,
                version_group_id=group_name,
                version=await store.next_version(session, tenant_id=tenant_id, version_group_id=group_name),
                description=description,
                settings=inherited_flow_settings(None if group is None else group["settings"]),
            )
            await _insert_graph(session, context, flow.tasks, flow.edges, flow_id=flow_id, tenant_id=tenant_id)
            has_schedule = flow.schedule is not None or (group is not None and group["schedule"] is not None)
            if set_schedule_active and has_schedule:
                changes += await _try_activate(session, context, flow_id)
        if not is_new:
            others = await store.find_other_versions(
                session, tenant_id=tenant_id, version_group_id=group_name, flow_id=flow_id
            )
            locked = await store.lock_flows(session, flow_ids=others)
            changes += await archive_flows_in(session, context, flow_ids=locked)
    notify(context, changes)
    return flow_id


async def create_flow_from_compressed_string(
    context: ActionContext,
    *,
    project_id: UUID,
    serialized_flow: str,
    version_group_id: str | None = None,
    set_schedule_active: bool = True,
    description: str | None = None,
    idempotency_key: str | None = None,
) -> UUID:
    """Register a flow whose document comes as base64(gzip(json)); otherwise create_flow.

    Raises:
        InvalidInput: it cannot be decoded, or the document cannot be used.
        NotFound: unknown project.
    """
    return await create_flow(
        context,
        project_id=project_id,
        serialized_flow=inflate_json(serialized_flow),
        version_group_id=version_group_id,
        set_schedule_active=set_schedule_active,
        description=description,
        idempotency_key=idempotency_key,
    )


async def register_tasks(context: ActionContext, *, flow_id: UUID, serialized_tasks: object) -> bool:
    """Add tasks to a flow and to its stored document; those whose slug the flow has are left alone.

    Raises:
        InvalidInput: a task cannot be used; nothing was added.
        NotFound: unknown flow.
    """
    require(flow_id=flow_id)
    entries = rules.parse_tasks(serialized_tasks)
    async with context.database.transaction() as session:
        flow = await _lock_flow(session, flow_id)
        new = await tasks.insert_tasks(
            session,
            entries,
            flow_id=flow_id,
            tenant_id=flow.tenant_id,
            batch_size=context.settings.insert_many_batch_size,
        )
        if new:
            first_of_slug = {task.slug: task for task in reversed(entries)}
            added = [task for task in entries if task.slug in new and first_of_slug[task.slug] is task]
            await tasks.append_to_document(session, added, flow_id=flow_id)
    return True


async def register_edges(context: ActionContext, *, flow_id: UUID, serialized_edges: object) -> bool:
    """Add edges to a flow whose tasks are registered; of several between the same two tasks the first stays.

    Raises:
        InvalidInput: an edge cannot be used or names an unknown task; nothing was added.
        NotFound: unknown flow.
    """
    require(flow_id=flow_id)
    entries = rules.parse_edges(serialized_edges)
    async with context.database.transaction() as session:
        flow = await _lock_flow(session, flow_id)
        await _insert_edges(session, context, entries, flow_id=flow_id, tenant_id=flow.tenant_id)
    return True


async def _find_version_group(session: WriteSession, project_id: UUID, name: str) -> str | None:
    """Look for the flow's earlier versions, once those being registered right now are there."""
    await locks.wait_for(session, f"flow:{project_id}:{name}")
    return await store.find_version_group(session, project_id=project_id, name=name)


async def _already_registered(session: WriteSession, group: Row | None, idempotency_key: str | None) -> UUID | None:
    """Return the flow that a repeated registration made before: only the key before this one counts."""
    if group is None or not idempotency_key or not isinstance(group["settings"], dict):
        return None
    if group["settings"].get("idempotency_key") != idempotency_key:
        return None
    return await store.find_latest_of_group(session, flow_group_id=group["id"])


async def _open_group(
    session: WriteSession, group: Row | None, tenant_id: UUID, name: str, idempotency_key: str | None
) -> UUID:
    if group is None:
        settings = {
            "heartbeat_enabled": True,
            "lazarus_enabled": True,
            "version_locking_enabled": False,
            "idempotency_key": idempotency_key,
        }
        return await flow_groups.insert_flow_group(session, tenant_id=tenant_id, name=name, settings=settings)
    group_id: UUID = group["id"]
    await flow_groups.merge_settings(session, flow_group_id=group_id, settings={"idempotency_key": idempotency_key})
    return group_id


async def _try_activate(session: WriteSession, context: ActionContext, flow_id: UUID) -> Sequence[FlowRunStateChange]:
    """Turn the schedule on; a flow that cannot be scheduled (a parameter has no value, say) is registered anyway."""
    try:
        async with session.savepoint():
            return (await activate_schedule_in(session, context, flow_id=flow_id)).changes
    except Exception as error:
        logger.warning("flow %s is registered with its schedule off: %s", flow_id, error)
        return []


async def _insert_graph(
    session: WriteSession,
    context: ActionContext,
    task_rows: list[Task],
    edges: list[Edge],
    *,
    flow_id: UUID,
    tenant_id: UUID,
) -> None:
    await tasks.insert_tasks(
        session,
        task_rows,
        flow_id=flow_id,
        tenant_id=tenant_id,
        batch_size=context.settings.insert_many_batch_size,
    )
    await _insert_edges(session, context, edges, flow_id=flow_id, tenant_id=tenant_id)


async def _insert_edges(
    session: WriteSession,
    context: ActionContext,
    edges: list[Edge],
    *,
    flow_id: UUID,
    tenant_id: UUID | None,
) -> None:
    if not edges:
        return
    task_ids = await tasks.find_tasks_of_edges(session, edges, flow_id=flow_id)
    unknown = sorted({slug for edge in edges for slug in (edge.upstream, edge.downstream)}.difference(task_ids))
    if unknown:
        shown = ", ".join(repr(slug) for slug in unknown[:SHOWN_SLUGS]) + (", …" if len(unknown) > SHOWN_SLUGS else "")
        raise InvalidInput(f"Some edges reference tasks that do not exist within this flow: {shown}.")
    await tasks.insert_edges(
        session,
        edges,
        task_ids=task_ids,
        flow_id=flow_id,
        tenant_id=tenant_id,
        batch_size=context.settings.insert_many_batch_size,
    )


async def _lock_flow(session: WriteSession, flow_id: UUID) -> store.FlowHome:
    flow = await store.lock_flow(session, flow_id=flow_id)
    if flow is None:
        raise NotFound(f"Invalid flow: {flow_id} does not exist.")
    return flow
