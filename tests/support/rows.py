"""The factories in a transaction of their own, and rows read back: for tests of verbs that open their own sessions."""

from typing import Any
from uuid import UUID

from server_core.db.session import Database
from tests.support import factories
from tests.support.factories import Flow


async def make_flow(
    database: Database,
    *,
    tasks: int = 0,
    cache_key: str | None = None,
    group: dict[str, Any] | None = None,
    **columns: Any,
) -> Flow:
    """Insert a flow of a new tenant.

    Args:
        database: where.
        tasks: how many tasks.
        cache_key: of each task.
        group: columns of its flow group (labels, run_config, default_parameters, …).
        columns: of the flow.
    """
    async with database.transaction() as session:
        tenant = await factories.make_tenant(session)
        group_id = await factories.insert_flow_group(session, tenant_id=tenant.id, **(group or {}))
        flow = await factories.make_flow(session, tenant=tenant, tasks=tasks, flow_group_id=group_id, **columns)
        await session.execute("UPDATE task SET cache_key = $2 WHERE flow_id = $1", flow.id, cache_key)
    return flow


async def make_flow_run(database: Database, flow: Flow, **columns: Any) -> UUID:
    """Insert a run of a flow without a state, unless one is named."""
    async with database.transaction() as session:
        return await factories.make_flow_run(session, flow=flow, **columns)


async def insert(database: Database, table: str, **columns: Any) -> UUID:
    """Insert one row of any table and return its id."""
    async with database.transaction() as session:
        return await factories.insert(session, table, **columns)


async def fetch_one(database: Database, table: str, row_id: UUID) -> dict[str, Any]:
    """Return a row by id, all columns."""
    [row] = await fetch_all(database, f"SELECT * FROM {table} WHERE id = $1", row_id)
    return row


async def fetch_all(database: Database, sql: str, *args: Any) -> list[dict[str, Any]]:
    """Return the rows of a query."""
    async with database.read() as session:
        return [dict(row) for row in await session.fetch(sql, *args)]


async def execute(database: Database, sql: str, *args: Any) -> int:
    """Run a statement and return how many rows it touched."""
    async with database.transaction() as session:
        return await session.execute(sql, *args)


async def task_runs_of(database: Database, flow_run_id: UUID) -> list[UUID]:
    """Return the ids of a flow run's task runs."""
    rows = await fetch_all(database, "SELECT id FROM task_run WHERE flow_run_id = $1 ORDER BY id", flow_run_id)
    return [row["id"] for row in rows]


async def history(database: Database, kind: str, run_id: UUID) -> list[dict[str, Any]]:
    """Return the state rows of a run, oldest version first; `kind` is flow_run or task_run."""
    return await fetch_all(database, f"SELECT * FROM {kind}_state WHERE {kind}_id = $1 ORDER BY version", run_id)
