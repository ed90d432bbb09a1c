"""Documents of flows, and short ways to register them and to read what came of it."""

from typing import Any
from uuid import UUID

from server_core.actions import registration
from server_core.actions.context import ActionContext
from server_core.db.session import Database
from tests.support.factories import Tenant
from tests.support.rows import fetch_all, fetch_one

HOURLY = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None}]}
TASKS = [
    {"slug": "a-1", "name": "a", "tags": ["x", "y"], "cache_key": "k", "max_retries": 2, "retry_delay": 90},
    {"slug": "b-1", "name": "b", "trigger": {"fn": "prefect.triggers.all_done", "kwargs": {}}, "auto_generated": True},
    {"slug": "c-1", "name": "c", "mapped": True, "is_root_task": True},
]
EDGES = [
    {"upstream_task": {"slug": "a-1"}, "downstream_task": {"slug": "b-1"}, "key": "x"},
    {"upstream_task": "b-1", "downstream_task": "c-1", "mapped": True},
]


def document(**more: Any) -> dict[str, Any]:
    """Return the document of an empty flow, or of one with more."""
    return {"name": "f", "__version__": "1.4.1", "type": "prefect.core.flow.Flow", **more}


async def create(context: ActionContext, tenant: Tenant, flow: Any = None, **more: Any) -> UUID:
    """Register a flow; by default an empty one."""
    return await registration.create_flow(
        context, project_id=tenant.project_id, serialized_flow=document() if flow is None else flow, **more
    )


async def flow_row(database: Database, flow_id: UUID) -> dict[str, Any]:
    """Return the row of a flow."""
    return await fetch_one(database, "flow", flow_id)


async def everything(database: Database) -> list[int]:
    """Return how many rows each table has that a registration writes."""
    tables = ("flow_group", "flow", "task", "edge", "flow_run")
    return [len(await fetch_all(database, f"SELECT 1 FROM {table}")) for table in tables]


async def graph(database: Database, flow_id: UUID) -> tuple[list[str], list[tuple[str, str, str | None, bool]]]:
    """Return the slugs of the tasks of a flow, and its edges: from, to, key, mapped."""
    tasks = await fetch_all(database, "SELECT slug FROM task WHERE flow_id = $1 ORDER BY slug", flow_id)
    edges = await fetch_all(
        database,
        """
        SELECT up.slug AS up, down.slug AS down, e.key, e.mapped
        FROM edge e JOIN task up ON up.id = upstream_task_id JOIN task down ON down.id = downstream_task_id
        WHERE e.flow_id = $1 ORDER BY 1, 2
        """,
        flow_id,
    )
    return [row["slug"] for row in tasks], [(row["up"], row["down"], row["key"], row["mapped"]) for row in edges]
