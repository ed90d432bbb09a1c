"""Tasks and edges that are registered after their flow: register_tasks, register_edges (actions.md §2.4)."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from server_core.actions import registration
from server_core.actions.context import ActionContext
from server_core.db.session import Database
from server_core.errors import InvalidInput, NotFound
from tests.service.actions.registering import EDGES, TASKS, create, document, flow_row, graph
from tests.support import factories
from tests.support.factories import Tenant
from tests.support.rows import execute, fetch_all


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    async with database.transaction() as session:
        return await factories.make_tenant(session)


async def test_registered_as_the_client_does(context: ActionContext, database: Database, tenant: Tenant) -> None:
    """§10: tasks and edges registered apart are all there, edges after their tasks."""
    flow_id = await create(context, tenant)
    assert await registration.register_tasks(context, flow_id=flow_id, serialized_tasks=TASKS[:2])
    assert await registration.register_tasks(context, flow_id=flow_id, serialized_tasks=TASKS[2:])
    assert await registration.register_tasks(context, flow_id=flow_id, serialized_tasks=[])
    assert await registration.register_edges(context, flow_id=flow_id, serialized_edges=EDGES)
    assert await registration.register_edges(context, flow_id=flow_id, serialized_edges=[])
    assert [len(part) for part in await graph(database, flow_id)] == [3, 2]
    row = await flow_row(database, flow_id)
    assert row["serialized_flow"] == document(tasks=TASKS)
    owners = await fetch_all(database, "SELECT tenant_id FROM task UNION ALL SELECT tenant_id FROM edge")
    assert {owner["tenant_id"] for owner in owners} == {tenant.id}


async def test_repeating_is_a_no_op(context: ActionContext, database: Database, tenant: Tenant) -> None:
    flow_id = await create(context, tenant, document(tasks=TASKS[:1]))
    for _ in range(2):
        await registration.register_tasks(context, flow_id=flow_id, serialized_tasks=[*TASKS, *TASKS])
        await registration.register_edges(context, flow_id=flow_id, serialized_edges=[*EDGES, *EDGES])
    assert [len(part) for part in await graph(database, flow_id)] == [3, 2]
    assert (await flow_row(database, flow_id))["serialized_flow"]["tasks"] == TASKS


async def test_concurrent_batches_all_end_up_in_the_document(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    flow_id = await create(context, tenant)
    batches = [[{"slug": f"t-{number}-{index}"} for index in range(5)] for number in range(8)]
    await asyncio.gather(
        *(registration.register_tasks(context, flow_id=flow_id, serialized_tasks=batch) for batch in batches)
    )
    stored = (await flow_row(database, flow_id))["serialized_flow"]["tasks"]
    assert sorted(task["slug"] for task in stored) == sorted(task["slug"] for batch in batches for task in batch)
    assert len((await graph(database, flow_id))[0]) == 40


@pytest.mark.parametrize("stored", [None, {}, {"tasks": None}])
async def test_a_document_without_a_list_gets_one(
    context: ActionContext, database: Database, tenant: Tenant, stored: Any
) -> None:
    flow_id = await create(context, tenant)
    await execute(database, "UPDATE flow SET serialized_flow = $1", stored)
    await registration.register_tasks(context, flow_id=flow_id, serialized_tasks=TASKS)
    assert (await flow_row(database, flow_id))["serialized_flow"] == {"tasks": TASKS}


async def test_edges_of_unknown_tasks(context: ActionContext, database: Database, tenant: Tenant) -> None:
    """§10: tasks and edges registered apart are all there, edges after their tasks."""
    flow_id = await create(context, tenant, document(tasks=TASKS))
    edges = [*EDGES, {"upstream_task": "a-1", "downstream_task": "nope"}]
    with pytest.raises(InvalidInput, match=r"edges reference tasks that do not exist within this flow: 'nope'"):
        await registration.register_edges(context, flow_id=flow_id, serialized_edges=edges)
    assert (await graph(database, flow_id))[1] == []


async def test_unknown_flow(context: ActionContext) -> None:
    with pytest.raises(NotFound, match="flow"):
        await registration.register_tasks(context, flow_id=uuid4(), serialized_tasks=[])
    with pytest.raises(NotFound, match="flow"):
        await registration.register_edges(context, flow_id=uuid4(), serialized_edges=[])


@pytest.mark.parametrize("entries", [None, {}, [1], "[]"])
async def test_bad_entries(context: ActionContext, database: Database, tenant: Tenant, entries: Any) -> None:
    flow_id = await create(context, tenant)
    with pytest.raises(InvalidInput):
        await registration.register_tasks(context, flow_id=flow_id, serialized_tasks=entries)
    with pytest.raises(InvalidInput):
        await registration.register_edges(context, flow_id=flow_id, serialized_edges=entries)
    assert await graph(database, flow_id) == ([], [])
