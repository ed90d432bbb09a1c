"""Verbs on task-run artifacts (actions.md §2.12)."""

import json
from uuid import UUID, uuid4

import pytest

from server_core.actions import artifacts
from server_core.actions.context import ActionContext
from server_core.db.session import Database
from server_core.errors import InvalidInput, NotFound, PayloadTooLarge
from tests.support.factories import Flow
from tests.support.rows import execute, fetch_all, fetch_one, make_flow, make_flow_run, task_runs_of


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=1)


@pytest.fixture
async def task_run(database: Database, flow: Flow) -> UUID:
    [task_run] = await task_runs_of(database, await make_flow_run(database, flow))
    return task_run


async def test_create_update_delete(context: ActionContext, database: Database, flow: Flow, task_run: UUID) -> None:
    artifact = await artifacts.create_task_run_artifact(
        context, task_run_id=task_run, kind="markdown", data={"markdown": "a\x00"}
    )
    row = await fetch_one(database, "task_run_artifact", artifact)
    assert (row["tenant_id"], row["task_run_id"], row["kind"]) == (flow.tenant_id, task_run, "markdown")
    assert row["data"] == {"markdown": "a\ufffd"}
    other = await artifacts.create_task_run_artifact(
        context, task_run_id=task_run, kind="link", data={"link": "x"}, tenant_id=flow.tenant_id
    )
    assert other != artifact
    large = {"markdown": "x" * 1_000_001}
    assert await artifacts.update_task_run_artifact(context, task_run_artifact_id=artifact, data=large)
    assert (await fetch_one(database, "task_run_artifact", artifact))["data"] == large
    assert await artifacts.delete_task_run_artifact(context, task_run_artifact_id=artifact)
    assert not await artifacts.delete_task_run_artifact(context, task_run_artifact_id=artifact)
    assert not await artifacts.update_task_run_artifact(context, task_run_artifact_id=artifact, data={})
    assert len(await fetch_all(database, "SELECT FROM task_run_artifact")) == 1


async def test_an_unknown_task_run_is_not_found(context: ActionContext) -> None:
    with pytest.raises(NotFound, match="not found"):
        await artifacts.create_task_run_artifact(context, task_run_id=uuid4(), kind="link", data={})


async def test_a_tenant_must_own_the_task_run(context: ActionContext, database: Database, task_run: UUID) -> None:
    with pytest.raises(InvalidInput, match="tenant"):
        await artifacts.create_task_run_artifact(context, task_run_id=task_run, kind="link", data={}, tenant_id=uuid4())
    assert await fetch_all(database, "SELECT FROM task_run_artifact") == []


async def test_task_runs_without_a_tenant_use_their_flow_runs(
    context: ActionContext, database: Database, flow: Flow, task_run: UUID
) -> None:
    await execute(database, "UPDATE task_run SET tenant_id = NULL")
    artifact = await artifacts.create_task_run_artifact(context, task_run_id=task_run, kind="link", data={})
    assert (await fetch_one(database, "task_run_artifact", artifact))["tenant_id"] == flow.tenant_id


async def test_size_limit(context: ActionContext, database: Database, task_run: UUID) -> None:
    fitting = "x" * (1_000_000 - 49 - len(json.dumps("")))
    await artifacts.create_task_run_artifact(context, task_run_id=task_run, kind="k", data=fitting)
    with pytest.raises(PayloadTooLarge):
        await artifacts.create_task_run_artifact(context, task_run_id=task_run, kind="k", data=fitting + "x")
    assert len(await fetch_all(database, "SELECT FROM task_run_artifact")) == 1
