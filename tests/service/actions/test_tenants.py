"""Tenants and projects: actions.md §2.2 and §2.3."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.actions import projects, tenants
from server_core.actions.context import ActionContext
from server_core.db.session import Database
from server_core.errors import ForeignKeyViolation, InvalidInput, NotFound, UniquenessViolation
from tests.support.rows import fetch_all, fetch_one, insert, make_flow, make_flow_run


@pytest.fixture
async def tenant_id(context: ActionContext) -> UUID:
    return await tenants.create_tenant(context, name="My Team", slug="my-team")


@pytest.fixture
async def project_id(context: ActionContext, tenant_id: UUID) -> UUID:
    return await projects.create_project(context, tenant_id=tenant_id, name="p", description="d")


# --- tenants -----------------------------------------------------------------------------------------------------


async def test_a_new_tenant(database: Database, tenant_id: UUID) -> None:
    row = await fetch_one(database, "tenant", tenant_id)
    assert (row["name"], row["slug"], row["settings"]) == ("My Team", "my-team", {})


async def test_names_need_not_be_unique_and_slugs_come_from_names(context: ActionContext, database: Database) -> None:
    await tenants.create_tenant(context, name="My Team", slug="other")
    made = await tenants.create_tenant(context, name="My Team")
    assert (await fetch_one(database, "tenant", made))["slug"] == "my-team"


async def test_slugs_are_unique(context: ActionContext, tenant_id: UUID) -> None:
    with pytest.raises(UniquenessViolation, match=r"^Uniqueness violation\.$"):
        await tenants.create_tenant(context, name="x", slug="my-team")


@pytest.mark.parametrize("slug", ["", "My-Team", "my team", "my_team", "-a", "a--b", "é", "a/b", "x" * 300])
async def test_slugs_must_be_slugified(context: ActionContext, database: Database, tenant_id: UUID, slug: str) -> None:
    with pytest.raises(InvalidInput):
        await tenants.create_tenant(context, name="x", slug=slug)
    with pytest.raises(InvalidInput):
        await tenants.update_tenant_slug(context, tenant_id=tenant_id, slug=slug)
    assert [row["slug"] for row in await fetch_all(database, "SELECT slug FROM tenant")] == ["my-team"]


async def test_updates(context: ActionContext, database: Database, tenant_id: UUID) -> None:
    assert await tenants.update_tenant_name(context, tenant_id=tenant_id, name="New") == tenant_id
    assert await tenants.update_tenant_slug(context, tenant_id=tenant_id, slug="new") == tenant_id
    for settings in ({"a": {"x": 1}, "b": 2}, {"a": {"y": 1}}, {}):
        assert await tenants.update_tenant_settings(context, tenant_id=tenant_id, settings=settings) == tenant_id
    row = await fetch_one(database, "tenant", tenant_id)
    assert (row["name"], row["slug"], row["settings"]) == ("New", "new", {"a": {"y": 1}, "b": 2})


async def test_a_taken_slug_changes_nothing(context: ActionContext, database: Database, tenant_id: UUID) -> None:
    await tenants.create_tenant(context, name="x", slug="taken")
    with pytest.raises(UniquenessViolation):
        await tenants.update_tenant_slug(context, tenant_id=tenant_id, slug="taken")
    assert (await fetch_one(database, "tenant", tenant_id))["slug"] == "my-team"


async def test_unknown_tenants(context: ActionContext, tenant_id: UUID) -> None:
    with pytest.raises(NotFound, match="Update failed"):
        await tenants.update_tenant_name(context, tenant_id=uuid4(), name="x")
    with pytest.raises(NotFound, match="Update failed"):
        await tenants.update_tenant_slug(context, tenant_id=uuid4(), slug="x")
    with pytest.raises(NotFound, match="Update failed"):
        await tenants.update_tenant_settings(context, tenant_id=uuid4(), settings={})
    assert await tenants.delete_tenant(context, tenant_id=uuid4(), confirm=True) is False


@pytest.mark.parametrize("settings", [None, [], "x", 1])
async def test_settings_must_be_an_object(context: ActionContext, tenant_id: UUID, settings: Any) -> None:
    with pytest.raises(InvalidInput):
        await tenants.update_tenant_settings(context, tenant_id=tenant_id, settings=settings)


@pytest.mark.parametrize("missing", [None, ""])
async def test_ids_are_required(context: ActionContext, missing: Any) -> None:
    """§0.4: a null or empty id is an error in every verb."""
    for call in (
        tenants.update_tenant_name(context, tenant_id=missing, name="x"),
        tenants.update_tenant_slug(context, tenant_id=missing, slug="x"),
        tenants.update_tenant_settings(context, tenant_id=missing, settings={}),
        tenants.delete_tenant(context, tenant_id=missing, confirm=True),
        projects.create_project(context, tenant_id=missing, name="x"),
        projects.set_project_name(context, project_id=missing, name="x"),
        projects.set_project_description(context, project_id=missing, description="x"),
        projects.delete_project(context, project_id=missing),
    ):
        with pytest.raises(InvalidInput, match="required"):
            await call


async def test_deleting_must_be_confirmed(context: ActionContext, database: Database, tenant_id: UUID) -> None:
    with pytest.raises(InvalidInput, match="confirm"):
        await tenants.delete_tenant(context, tenant_id=tenant_id, confirm=False)
    assert await fetch_one(database, "tenant", tenant_id)


async def test_deleting_takes_everything_along(context: ActionContext, database: Database) -> None:
    """§10: a tenant's flows, groups, projects and hooks go with it."""
    flow = await make_flow(database, tasks=2)
    for _ in range(3):
        await make_flow_run(database, flow)
    await insert(database, "cloud_hook", tenant_id=flow.tenant_id, type="WEBHOOK", states=["FAILED"])
    assert await tenants.delete_tenant(context, tenant_id=flow.tenant_id, confirm=True) is True
    for table in ("tenant", "project", "flow_group", "flow", "task", "flow_run", "task_run", "cloud_hook"):
        assert await fetch_all(database, f"SELECT 1 FROM {table}") == [], table


async def test_one_default_tenant_whoever_starts_first(context: ActionContext, database: Database) -> None:
    ids = await asyncio.gather(*(tenants.ensure_default_tenant(context) for _ in range(8)))
    assert len(set(ids)) == 1
    assert await tenants.ensure_default_tenant(context) == ids[0]
    assert [row["slug"] for row in await fetch_all(database, "SELECT slug FROM tenant")] == ["default"]


async def test_no_default_tenant_beside_others(context: ActionContext, database: Database, tenant_id: UUID) -> None:
    await tenants.create_tenant(context, name="later", slug="a-later-one")
    assert await tenants.ensure_default_tenant(context) == tenant_id
    assert len(await fetch_all(database, "SELECT 1 FROM tenant")) == 2


# --- projects ----------------------------------------------------------------------------------------------------


async def test_project_names_are_unique_in_a_tenant(
    context: ActionContext, database: Database, tenant_id: UUID, project_id: UUID
) -> None:
    row = await fetch_one(database, "project", project_id)
    assert (row["tenant_id"], row["name"], row["description"]) == (tenant_id, "p", "d")
    with pytest.raises(UniquenessViolation, match=r"^Uniqueness violation\.$"):
        await projects.create_project(context, tenant_id=tenant_id, name="p")
    other = await tenants.create_tenant(context, name="o", slug="o")
    bare = await projects.create_project(context, tenant_id=other, name="p")
    assert (await fetch_one(database, "project", bare))["description"] is None


async def test_a_project_needs_a_tenant_and_a_name(context: ActionContext, tenant_id: UUID) -> None:
    with pytest.raises(ForeignKeyViolation, match=r"^Foreign key violation\.$"):
        await projects.create_project(context, tenant_id=uuid4(), name="p")
    with pytest.raises(InvalidInput):
        await projects.create_project(context, tenant_id=tenant_id, name="")


async def test_project_updates(context: ActionContext, database: Database, tenant_id: UUID, project_id: UUID) -> None:
    assert await projects.set_project_name(context, project_id=project_id, name="q") == project_id
    assert await projects.set_project_description(context, project_id=project_id, description=None) == project_id
    row = await fetch_one(database, "project", project_id)
    assert (row["name"], row["description"]) == ("q", None)
    await projects.create_project(context, tenant_id=tenant_id, name="taken")
    with pytest.raises(UniquenessViolation):
        await projects.set_project_name(context, project_id=project_id, name="taken")


async def test_unknown_projects(context: ActionContext, database: Database) -> None:
    with pytest.raises(NotFound, match="Update failed"):
        await projects.set_project_name(context, project_id=uuid4(), name="x")
    with pytest.raises(NotFound, match="Update failed"):
        await projects.set_project_description(context, project_id=uuid4(), description="x")
    assert await projects.delete_project(context, project_id=uuid4()) is False


async def test_deleting_a_project_leaves_flow_groups(context: ActionContext, database: Database) -> None:
    flow = await make_flow(database, tasks=1)
    for _ in range(3):
        await make_flow_run(database, flow)
    assert await projects.delete_project(context, project_id=flow.project_id) is True
    assert await fetch_all(database, "SELECT 1 FROM flow UNION ALL SELECT 1 FROM flow_run") == []
    assert await fetch_one(database, "flow_group", flow.flow_group_id)


async def test_an_unreachable_database_is_worth_another_try(database: Database) -> None:
    closed = replace(ActionContext(database=database), database=Database("postgresql://nobody@127.0.0.1:1/none"))
    with pytest.raises(Exception, match="database") as caught:
        await tenants.create_tenant(closed, name="x")
    assert getattr(caught.value, "code", None) == "API_ERROR"


@pytest.mark.parametrize("name", ["x" * 1_000_000, "half \ud800", "nul \0"])
async def test_names_that_no_index_or_column_takes(
    context: ActionContext, database: Database, project_id: UUID, name: str
) -> None:
    tenant_id = (await fetch_one(database, "project", project_id))["tenant_id"]
    with pytest.raises(InvalidInput) as made:
        await projects.create_project(context, tenant_id=tenant_id, name=name)
    with pytest.raises(InvalidInput) as renamed:
        await projects.set_project_name(context, project_id=project_id, name=name)
    assert "argument" not in f"{made.value} {renamed.value}"
    assert [row["name"] for row in await fetch_all(database, "SELECT name FROM project")] == ["p"]
