"""Verbs on agents and agent configs (actions.md §2.11, §7.5)."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from server_core.actions import agents
from server_core.actions.context import ActionContext
from server_core.db.session import Database
from server_core.errors import ForeignKeyViolation, InvalidInput
from tests.support import factories
from tests.support.factories import Tenant
from tests.support.rows import fetch_all, fetch_one, insert, make_flow, make_flow_run

GIVEN: dict[str, Any] = {"type": "LocalAgent", "name": "agent", "labels": ["b", "a"], "core_version": "1.4.1"}


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    async with database.transaction() as session:
        return await factories.make_tenant(session)


async def test_an_agent_is_added(context: ActionContext, database: Database, tenant: Tenant) -> None:
    config = await agents.create_agent_config(context, tenant_id=tenant.id)
    agent = await agents.register_agent(context, tenant_id=tenant.id, agent_config_id=config, **GIVEN)
    row = await fetch_one(database, "agent", agent)
    assert row["labels"] == ["a", "b"]
    assert (row["tenant_id"], row["agent_config_id"]) == (tenant.id, config)
    assert (row["type"], row["name"], row["core_version"]) == ("LocalAgent", "agent", "1.4.1")
    assert row["last_queried"] is not None


async def test_an_agent_keeps_its_row(context: ActionContext, database: Database, tenant: Tenant) -> None:
    agent = await agents.register_agent(context, tenant_id=tenant.id, **GIVEN)
    before = await fetch_one(database, "agent", agent)
    config = await agents.create_agent_config(context, tenant_id=tenant.id)
    again = await agents.register_agent(
        context, tenant_id=tenant.id, agent_config_id=config, **{**GIVEN, "labels": ["a", "b"]}
    )
    assert again == agent
    assert await fetch_one(database, "agent", agent) == before


@pytest.mark.parametrize(
    "other", [{"type": "DockerAgent"}, {"name": "x"}, {"labels": ["a"]}, {"labels": None}, {"core_version": "1.4.0"}]
)
async def test_another_identity_is_another_agent(context: ActionContext, tenant: Tenant, other: dict[str, Any]) -> None:
    agent = await agents.register_agent(context, tenant_id=tenant.id, **GIVEN)
    assert await agents.register_agent(context, tenant_id=tenant.id, **{**GIVEN, **other}) != agent


async def test_another_tenant_has_other_agents(context: ActionContext, database: Database, tenant: Tenant) -> None:
    other = await insert(database, "tenant", name="other", slug="other")
    agent = await agents.register_agent(context, tenant_id=tenant.id, **GIVEN)
    assert await agents.register_agent(context, tenant_id=other, **GIVEN) != agent


async def test_null_matches_null_and_anything_else(context: ActionContext, tenant: Tenant) -> None:
    given = {**GIVEN, "name": None, "core_version": None}
    named = await agents.register_agent(context, tenant_id=tenant.id, **GIVEN)
    assert await agents.register_agent(context, tenant_id=tenant.id, **given) == named
    bare = await agents.register_agent(context, tenant_id=tenant.id, **{**given, "labels": None})
    assert await agents.register_agent(context, tenant_id=tenant.id, **{**given, "labels": []}) == bare
    await agents.register_agent(context, tenant_id=tenant.id, **{**GIVEN, "labels": []})
    assert await agents.register_agent(context, tenant_id=tenant.id, **{**given, "labels": []}) == bare


async def test_agents_that_start_at_once_share_a_row(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    made = await asyncio.gather(*(agents.register_agent(context, tenant_id=tenant.id, **GIVEN) for _ in range(20)))
    assert len(set(made)) == 1
    assert len(await fetch_all(database, "SELECT FROM agent")) == 1


async def test_the_only_tenant_need_not_be_named(context: ActionContext, database: Database, tenant: Tenant) -> None:
    agent = await agents.register_agent(context, **GIVEN)
    assert (await fetch_one(database, "agent", agent))["tenant_id"] == tenant.id
    await insert(database, "tenant", name="other", slug="other")
    with pytest.raises(InvalidInput):
        await agents.register_agent(context, **GIVEN)


async def test_unknown_tenant_and_config(context: ActionContext, database: Database, tenant: Tenant) -> None:
    with pytest.raises(ForeignKeyViolation):
        await agents.register_agent(context, tenant_id=uuid4(), **GIVEN)
    with pytest.raises(ForeignKeyViolation):
        await agents.register_agent(context, tenant_id=tenant.id, agent_config_id=uuid4(), **GIVEN)
    with pytest.raises(InvalidInput):
        await agents.register_agent(context, tenant_id=tenant.id, **{**GIVEN, "type": ""})
    assert await fetch_all(database, "SELECT FROM agent") == []


async def test_delete_agent(context: ActionContext, database: Database) -> None:
    flow = await make_flow(database)
    agent = await agents.register_agent(context, tenant_id=flow.tenant_id, **GIVEN)
    run = await make_flow_run(database, flow, agent_id=agent)
    assert await agents.delete_agent(context, agent_id=agent)
    assert (await fetch_one(database, "flow_run", run))["agent_id"] is None
    assert not await agents.delete_agent(context, agent_id=agent)


async def test_agent_configs(context: ActionContext, database: Database, tenant: Tenant) -> None:
    config = await agents.create_agent_config(context, tenant_id=tenant.id)
    row = await fetch_one(database, "agent_config", config)
    assert (row["name"], row["settings"]) == (None, {})
    assert await agents.update_agent_config(context, agent_config_id=config, name="n", settings={"a": 1})
    assert await agents.update_agent_config(context, agent_config_id=config, settings={"b": 2})
    assert await agents.update_agent_config(context, agent_config_id=config)
    row = await fetch_one(database, "agent_config", config)
    assert (row["name"], row["settings"]) == ("n", {"b": 2})
    agent = await agents.register_agent(context, tenant_id=tenant.id, agent_config_id=config, **GIVEN)
    assert await agents.delete_agent_config(context, agent_config_id=config)
    assert (await fetch_one(database, "agent", agent))["agent_config_id"] is None
    assert not await agents.delete_agent_config(context, agent_config_id=config)
    assert not await agents.update_agent_config(context, agent_config_id=config, name="x")


async def test_agent_configs_that_cannot_be(context: ActionContext, tenant: Tenant) -> None:
    with pytest.raises(ForeignKeyViolation):
        await agents.create_agent_config(context, tenant_id=uuid4())
    for settings in ("x", [1], 5, {"x": "\x00"}):
        with pytest.raises(InvalidInput):
            await agents.create_agent_config(context, tenant_id=tenant.id, settings=settings)
