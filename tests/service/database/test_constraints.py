"""Defaults, keys, cascades and `updated`, which hold whoever writes (schema.md §1, §4 and the end of §6)."""

from uuid import uuid4

import asyncpg
import pytest

from server_core.db.session import Database
from server_core.errors import ConstraintViolation, ForeignKeyViolation, InvalidInput, UniquenessViolation
from tests.support.cluster import TABLES
from tests.support.factories import (
    insert,
    insert_agent,
    insert_artifact,
    insert_flow_run,
    insert_log,
    insert_project,
    insert_tenant,
    make_flow,
    make_flow_run,
    task_run_of,
)


async def violated(database: Database, sql: str, *args: object) -> asyncpg.IntegrityConstraintViolationError:
    """Run a statement that must be refused and return the refusal."""
    async with database.connection() as connection:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as caught:
            await connection.execute(sql, *args)
    return caught.value


async def test_names_of_constraints_that_clients_meet(database: Database) -> None:
    async with database.transaction() as session:
        await insert_tenant(session, slug="taken")
        flow = await make_flow(session, tasks=1)
        await make_flow_run(session, flow=flow, idempotency_key="taken")
        await insert(session, "project", tenant_id=flow.tenant_id, name="taken")
    for constraint, state, sql, args in (
        ("tenant_slug_key", "23505", "INSERT INTO tenant (name, slug) VALUES ('x', 'taken')", ()),
        (
            "ix_flow_run_idempotency_key_unique",
            "23505",
            "INSERT INTO flow_run (flow_id, idempotency_key) VALUES ($1, 'taken')",
            (flow.id,),
        ),
        ("fk_flow_run_flow_id", "23503", "INSERT INTO flow_run (flow_id) VALUES ($1)", (uuid4(),)),
        (
            "project_tenant_id_name_key",
            "23505",
            "INSERT INTO project (tenant_id, name) VALUES ($1, 'taken')",
            (flow.tenant_id,),
        ),
        ("task_flow_id_slug_key", "23505", "INSERT INTO task (flow_id, slug) VALUES ($1, 'task-0')", (flow.id,)),
    ):
        error = await violated(database, sql, *args)
        assert (error.constraint_name, error.sqlstate) == (constraint, state)


async def test_refusals_are_errors_of_our_tree(database: Database) -> None:
    """§0.3: a reference to nothing has its own exact text."""
    async with database.transaction() as session:
        await insert_tenant(session, slug="taken")
    with pytest.raises(UniquenessViolation, match=r"^Uniqueness violation\.$"):
        async with database.transaction() as session:
            await insert_tenant(session, slug="taken")
    with pytest.raises(ForeignKeyViolation, match=r"^Foreign key violation\.$"):
        async with database.transaction() as session:
            await insert_project(session, tenant_id=uuid4())
    with pytest.raises(InvalidInput):
        async with database.transaction() as session:
            await insert_tenant(session, slug="x" * 256)


async def test_unique_keys_ignore_nulls(database: Database) -> None:
    async with database.transaction() as session:
        flow = await make_flow(session)
        for _ in range(2):
            await insert(session, "project", name="same")
            await make_flow_run(session, flow=flow)
        assert await session.fetch_value("SELECT count(*) FROM project WHERE name = 'same'") == 2


async def test_deleting_a_flow_and_then_its_tenant(database: Database) -> None:
    """§4.5: a flow's group stays."""
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=2, edges=[(0, 1)])
        run_id = await make_flow_run(session, flow=flow, state="Scheduled")
        task_run_id = await task_run_of(session, flow_run_id=run_id, task_id=flow.task_ids[0])
        await insert_log(session, flow_run_id=run_id, tenant_id=flow.tenant_id, task_run_id=task_run_id)
        await insert_artifact(session, task_run_id=task_run_id, tenant_id=flow.tenant_id)
        await insert_agent(session, tenant_id=flow.tenant_id)

        await session.execute("DELETE FROM flow WHERE id = $1", flow.id)
        left = {table for table in TABLES.split(", ") if await session.fetch_value(f"SELECT count(*) FROM {table}")}
        assert left == {"tenant", "project", "flow_group", "agent"}

        await session.execute("DELETE FROM tenant WHERE id = $1", flow.tenant_id)
        for table in TABLES.split(", "):
            assert await session.fetch_value(f"SELECT count(*) FROM {table}") == 0, table


async def test_deleting_a_flow_group_deletes_its_flows(database: Database) -> None:
    """actions.md §4.5: by the key itself, whoever deletes the row."""
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=1)
        other = await make_flow(session)
        await make_flow_run(session, flow=flow)
        await session.execute("DELETE FROM flow_group WHERE id = $1", flow.flow_group_id)
        assert [row["id"] for row in await session.fetch("SELECT id FROM flow")] == [other.id]
        assert await session.fetch("SELECT FROM task UNION ALL SELECT FROM flow_run") == []


async def test_deleting_an_agent_keeps_its_runs(database: Database) -> None:
    async with database.transaction() as session:
        flow = await make_flow(session)
        config_id = await insert(session, "agent_config", tenant_id=flow.tenant_id)
        agent_id = await insert_agent(session, tenant_id=flow.tenant_id, agent_config_id=config_id)
        run_id = await make_flow_run(session, flow=flow, agent_id=agent_id)
        await session.execute("DELETE FROM agent_config WHERE id = $1", config_id)
        assert await session.fetch_value("SELECT agent_config_id FROM agent WHERE id = $1", agent_id) is None
        await session.execute("DELETE FROM agent WHERE id = $1", agent_id)
        assert await session.fetch_value("SELECT agent_id FROM flow_run WHERE id = $1", run_id) is None


async def test_updated_is_the_time_of_the_transaction_whatever_is_set(database: Database) -> None:
    """§4.3: every update sets `updated`."""
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=2, edges=[(0, 1)])
        run_id = await make_flow_run(session, flow=flow, state="Scheduled")
        task_run_id = await task_run_of(session, flow_run_id=run_id, task_id=flow.task_ids[0])
        await insert_log(session, flow_run_id=run_id)
        await insert_artifact(session, task_run_id=task_run_id, tenant_id=flow.tenant_id)
        await insert_agent(session, tenant_id=flow.tenant_id)
        for table in ("agent_config", "message"):
            await insert(session, table, tenant_id=flow.tenant_id)
        await insert(session, "cloud_hook", type="WEBHOOK")
    for table in TABLES.split(", "):
        async with database.transaction() as session:
            sql = f"UPDATE {table} SET updated = '2000-01-01' RETURNING updated, now() AS now, created"
            rows = await session.fetch(sql)
        assert rows, table
        for row in rows:
            assert row["updated"] == row["now"] > row["created"], table


async def test_defaults(database: Database) -> None:
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=1)
        run_id = await insert_flow_run(session, flow_id=flow.id, tenant_id=flow.tenant_id)
        run = await session.fetch_row("SELECT *, now() FROM flow_run WHERE id = $1", run_id)
        agent_id = await insert(session, "agent", tenant_id=flow.tenant_id)
        agent = await session.fetch_row("SELECT * FROM agent WHERE id = $1", agent_id)
        bare_id = await insert(session, "flow", name="x", project_id=flow.project_id, flow_group_id=flow.flow_group_id)
        bare = await session.fetch_row("SELECT * FROM flow WHERE id = $1", bare_id)
    assert run is not None
    assert agent is not None
    assert bare is not None
    # clock_timestamp is the time of the row, now() that of the transaction.
    assert run["scheduled_start_time"] > run["now"] == run["created"]
    assert run["auto_scheduled"] is False
    assert (agent["labels"], agent["last_queried"]) == ([], agent["created"])
    assert (bare["parameters"], bare["settings"], bare["archived"]) == ({}, {}, False)
    assert (bare["is_schedule_active"], bare["tenant_id"], bare["version"]) == (False, None, None)


@pytest.mark.parametrize("value", ["no number", 2**40, None])
async def test_a_value_that_does_not_fit_is_the_clients_mistake(database: Database, value: object) -> None:
    async with database.transaction() as session:
        flow = await make_flow(session)
    with pytest.raises((InvalidInput, ConstraintViolation)):
        async with database.transaction() as session:
            await make_flow_run(session, flow=flow, version=value)


async def test_a_zero_character_is_the_clients_mistake(database: Database) -> None:
    with pytest.raises(InvalidInput):
        async with database.transaction() as session:
            await insert_tenant(session, name="a\0b")
