"""Large flows: the work of a call does not grow with what is registered already (demands.md row 17)."""

from typing import Any

import pytest

from server_core.actions import registration
from server_core.actions.context import ActionContext
from server_core.db.session import Database, WriteSession
from server_core.rules.flows import parse_edges, parse_tasks
from server_core.store import tasks as store
from tests.support import factories
from tests.support.factories import Flow, Tenant
from tests.support.recorder import Recorder, recorded
from tests.support.rows import fetch_all

BATCH = 500


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    async with database.transaction() as session:
        return await factories.make_tenant(session)


def tasks(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"slug": f"task-{number}", "name": f"task {number}", "tags": ["x"]} for number in range(first, first + count)
    ]


def chain(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {"upstream_task": {"slug": f"task-{number}"}, "downstream_task": {"slug": f"task-{number + 1}"}}
        for number in range(first, first + count)
    ]


def statements(recorder: Recorder) -> list[str]:
    """What the verb sent; without the driver's own questions about array types, asked once per connection."""
    return [
        text for text in recorder.statements if not any(word in text for word in ("pg_type", "pg_catalog", "'jit'"))
    ]


async def test_every_batch_costs_the_same(context: ActionContext, database: Database, tenant: Tenant) -> None:
    flow_id = await registration.create_flow(
        context, project_id=tenant.project_id, serialized_flow={"name": "f"}, set_schedule_active=False
    )
    counts = []
    for first in range(0, 4 * BATCH, BATCH):
        async with recorded(database) as recorder:
            await registration.register_tasks(context, flow_id=flow_id, serialized_tasks=tasks(first, BATCH))
        counts.append(len(statements(recorder)))
    assert counts == [5] * 4  # the flow, three times 200 tasks, the document
    counts = []
    for first in range(0, 3 * BATCH, BATCH):
        async with recorded(database) as recorder:
            await registration.register_edges(context, flow_id=flow_id, serialized_edges=chain(first, BATCH))
        counts.append(len(statements(recorder)))
    assert counts == [5] * 3  # the flow, the slugs, three times 200 edges
    assert len(await fetch_all(database, "SELECT 1 FROM task")) == 4 * BATCH
    assert len(await fetch_all(database, "SELECT 1 FROM edge")) == 3 * BATCH
    [row] = await fetch_all(database, "SELECT serialized_flow FROM flow")
    assert row["serialized_flow"]["tasks"] == tasks(0, 4 * BATCH)


async def test_a_whole_flow_at_once(context: ActionContext, database: Database, tenant: Tenant) -> None:
    flow = {"name": "f", "tasks": tasks(0, 1000), "edges": chain(0, 999)}
    async with recorded(database) as recorder:
        await registration.create_flow(context, project_id=tenant.project_id, serialized_flow=flow)
    assert sum("INSERT INTO task" in text for text in recorder.statements) == 5
    assert sum("INSERT INTO edge" in text for text in recorder.statements) == 5
    assert len(statements(recorder)) <= 20


async def test_an_edge_costs_the_same_in_a_flow_of_any_size(database: Database, tenant: Tenant) -> None:
    """A plan made while the tables were small, as a young server's connections keep it, does not read a whole flow."""
    read = "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables"
    async with database.transaction() as session:
        for _ in range(8):  # Postgres settles for one plan at the sixth time
            small = await factories.make_flow(session, tenant=tenant)
            await register(session, small, tenant, tasks(0, 2), chain(0, 1))
        large = await factories.make_flow(session, tenant=tenant)
        await register(session, large, tenant, tasks(0, 1000), [])
        before = await session.fetch_value(f"{read} WHERE relname = 'task'")
        await register(session, large, tenant, [], chain(0, 200))
        after = await session.fetch_value(f"{read} WHERE relname = 'task'")
    assert after - before <= 1000 + 200 * 2  # the flow's tasks at most once; two of an edge by the foreign keys


async def register(
    session: WriteSession, flow: Flow, tenant: Tenant, new: list[dict[str, Any]], edges: list[dict[str, Any]]
) -> None:
    """Insert tasks and edges of a flow, as the verbs do."""
    await store.insert_tasks(session, parse_tasks(new), flow_id=flow.id, tenant_id=tenant.id, batch_size=200)
    chained = parse_edges(edges)
    known = await store.find_tasks_of_edges(session, chained, flow_id=flow.id)
    await store.insert_edges(session, chained, task_ids=known, flow_id=flow.id, tenant_id=tenant.id, batch_size=200)
