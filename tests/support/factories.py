"""Rows for tests: each function inserts one and returns its id; what is not given gets a plain value.

All take a WriteSession first (`async with database.transaction() as session`; `WriteSession(connection)` for a raw
connection prepared with `server_core.db.session.prepare`). Further columns are passed by name. Names are numbered, so
nothing here is random.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from server_core.db.session import WriteSession

NUMBERS = count(1)


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A tenant with one project.

    Attributes:
        id: the tenant.
        project_id: its project.
    """

    id: UUID
    project_id: UUID


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A registered flow with everything it hangs on.

    Attributes:
        id: the flow.
        tenant_id: its owner.
        project_id: its project.
        flow_group_id: its group.
        task_ids: its tasks, in the order of their slugs (`task-0`, `task-1`, …).
    """

    id: UUID
    tenant_id: UUID
    project_id: UUID
    flow_group_id: UUID
    task_ids: Sequence[UUID] = field(default=())


async def insert(session: WriteSession, table: str, **columns: Any) -> UUID:
    """Insert one row and return its `id`. Columns that are not named get their default in the database."""
    names = ", ".join(f'"{name}"' for name in columns)
    places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    values = f"({names}) VALUES ({places})" if columns else "DEFAULT VALUES"
    row_id: UUID = await session.fetch_value(f"INSERT INTO {table} {values} RETURNING id", *columns.values())
    return row_id


async def insert_tenant(session: WriteSession, **columns: Any) -> UUID:
    """Insert a tenant."""
    name = f"tenant-{next(NUMBERS)}"
    return await insert(session, "tenant", **{"name": name, "slug": name, **columns})


async def insert_project(session: WriteSession, *, tenant_id: UUID, **columns: Any) -> UUID:
    """Insert a project."""
    return await insert(session, "project", **{"tenant_id": tenant_id, "name": f"project-{next(NUMBERS)}", **columns})


async def make_tenant(session: WriteSession, **columns: Any) -> Tenant:
    """Insert a tenant and a project of it."""
    tenant_id = await insert_tenant(session, **columns)
    return Tenant(id=tenant_id, project_id=await insert_project(session, tenant_id=tenant_id))


async def insert_flow_group(session: WriteSession, *, tenant_id: UUID, **columns: Any) -> UUID:
    """Insert a flow group, with the settings that a registration gives it."""
    settings = {"heartbeat_enabled": True, "lazarus_enabled": True, "version_locking_enabled": False}
    name = f"group-{next(NUMBERS)}"
    return await insert(
        session, "flow_group", **{"tenant_id": tenant_id, "name": name, "settings": settings, **columns}
    )


async def insert_flow(
    session: WriteSession, *, tenant_id: UUID, project_id: UUID, flow_group_id: UUID, **columns: Any
) -> UUID:
    """Insert a flow without tasks."""
    plain = {
        "tenant_id": tenant_id,
        "project_id": project_id,
        "flow_group_id": flow_group_id,
        "name": f"flow-{next(NUMBERS)}",
        "version": 1,
        "version_group_id": str(flow_group_id),
        "core_version": "1.4.1",
        "environment": {},
        "parameters": [],
        "storage": {"type": "Local", "__version__": "1.4.1"},
        "serialized_flow": {},
    }
    return await insert(session, "flow", **{**plain, **columns})


async def insert_task(session: WriteSession, *, flow_id: UUID, tenant_id: UUID | None, **columns: Any) -> UUID:
    """Insert a task."""
    name = f"task-{next(NUMBERS)}"
    return await insert(
        session, "task", **{"flow_id": flow_id, "tenant_id": tenant_id, "name": name, "slug": name, **columns}
    )


async def insert_edge(
    session: WriteSession,
    *,
    flow_id: UUID,
    tenant_id: UUID | None,
    upstream_task_id: UUID,
    downstream_task_id: UUID,
    **columns: Any,
) -> UUID:
    """Insert an edge between two tasks."""
    return await insert(
        session,
        "edge",
        flow_id=flow_id,
        tenant_id=tenant_id,
        upstream_task_id=upstream_task_id,
        downstream_task_id=downstream_task_id,
        **columns,
    )


async def make_flow(
    session: WriteSession,
    *,
    tenant: Tenant | None = None,
    tasks: int = 0,
    edges: Sequence[tuple[int, int]] = (),
    flow_group_id: UUID | None = None,
    **columns: Any,
) -> Flow:
    """Insert a flow with its group, tasks and edges.

    Args:
        session: the transaction.
        tenant: its owner; a new one if None.
        tasks: how many tasks.
        edges: pairs (upstream, downstream) of task numbers, from 0.
        flow_group_id: the group of an earlier version; a new one if None.
        columns: of the flow.
    """
    owner = tenant or await make_tenant(session)
    group = flow_group_id or await insert_flow_group(session, tenant_id=owner.id)
    flow_id = await insert_flow(
        session, tenant_id=owner.id, project_id=owner.project_id, flow_group_id=group, **columns
    )
    task_ids = [
        await insert_task(session, flow_id=flow_id, tenant_id=owner.id, name=f"task-{number}", slug=f"task-{number}")
        for number in range(tasks)
    ]
    for upstream, downstream in edges:
        await insert_edge(
            session,
            flow_id=flow_id,
            tenant_id=owner.id,
            upstream_task_id=task_ids[upstream],
            downstream_task_id=task_ids[downstream],
        )
    return Flow(
        id=flow_id, tenant_id=owner.id, project_id=owner.project_id, flow_group_id=group, task_ids=tuple(task_ids)
    )


async def insert_flow_run(session: WriteSession, *, flow_id: UUID, tenant_id: UUID | None, **columns: Any) -> UUID:
    """Insert a flow run; the database adds a pending task run per task. The run itself has no state yet."""
    name = f"run-{next(NUMBERS)}"
    return await insert(session, "flow_run", **{"flow_id": flow_id, "tenant_id": tenant_id, "name": name, **columns})


async def make_flow_run(session: WriteSession, *, flow: Flow, state: str | None = None, **columns: Any) -> UUID:
    """Insert a run of a flow, in a state if one is named."""
    run_id = await insert_flow_run(session, flow_id=flow.id, tenant_id=flow.tenant_id, **columns)
    if state is not None:
        await insert_flow_run_state(session, flow_run_id=run_id, tenant_id=flow.tenant_id, state=state)
    return run_id


async def insert_task_run(
    session: WriteSession, *, flow_run_id: UUID, task_id: UUID, tenant_id: UUID | None, **columns: Any
) -> UUID:
    """Insert a further task run: a mapped child, with map_index 0 unless another is given."""
    plain = {"flow_run_id": flow_run_id, "task_id": task_id, "tenant_id": tenant_id, "map_index": 0}
    return await insert(session, "task_run", **{**plain, **columns})


async def task_run_of(session: WriteSession, *, flow_run_id: UUID, task_id: UUID) -> UUID:
    """Return the task run that the database made for a task of a flow run."""
    sql = "SELECT id FROM task_run WHERE flow_run_id = $1 AND task_id = $2 AND map_index = -1"
    task_run_id: UUID = await session.fetch_value(sql, flow_run_id, task_id)
    return task_run_id


async def insert_flow_run_state(
    session: WriteSession, *, flow_run_id: UUID, state: str, tenant_id: UUID | None = None, **columns: Any
) -> UUID:
    """Insert a state of a flow run; with a version that is not older than the run's it becomes the current one."""
    plain = {"flow_run_id": flow_run_id, "tenant_id": tenant_id, "state": state, "serialized_state": {"type": state}}
    return await insert(session, "flow_run_state", **{**plain, **columns})


async def insert_task_run_state(
    session: WriteSession, *, task_run_id: UUID, state: str, tenant_id: UUID | None = None, **columns: Any
) -> UUID:
    """Insert a state of a task run; see insert_flow_run_state."""
    plain = {"task_run_id": task_run_id, "tenant_id": tenant_id, "state": state, "serialized_state": {"type": state}}
    return await insert(session, "task_run_state", **{**plain, **columns})


async def insert_agent(session: WriteSession, *, tenant_id: UUID, **columns: Any) -> UUID:
    """Insert an agent."""
    plain = {"tenant_id": tenant_id, "name": "agent", "type": "LocalAgent", "core_version": "1.4.1"}
    return await insert(session, "agent", **{**plain, **columns})


async def insert_log(
    session: WriteSession, *, flow_run_id: UUID | None, tenant_id: UUID | None = None, **columns: Any
) -> UUID:
    """Insert a log line."""
    plain = {"flow_run_id": flow_run_id, "tenant_id": tenant_id, "name": "prefect", "level": "INFO", "message": "hello"}
    return await insert(session, "log", **{**plain, **columns})


async def insert_artifact(session: WriteSession, *, task_run_id: UUID, tenant_id: UUID, **columns: Any) -> UUID:
    """Insert an artifact of a task run."""
    plain = {"task_run_id": task_run_id, "tenant_id": tenant_id, "kind": "markdown", "data": {"markdown": "# hello"}}
    return await insert(session, "task_run_artifact", **{**plain, **columns})
