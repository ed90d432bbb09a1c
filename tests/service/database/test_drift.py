"""Where a schema differs from what this release expects: `database check`."""

from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from server_core.cli.drift import differences, expected_functions, expected_triggers
from server_core.db.folders import migrations_folder
from server_core.db.migrate import current_revisions
from server_core.db.revisions import head_revisions
from tests.support.cluster import Cluster, connected


async def look(dsn: str) -> list[str]:
    return await differences(dsn, await current_revisions(dsn))


async def test_an_upgraded_database_differs_nowhere(database_url: str) -> None:
    assert await look(database_url) == []


async def test_an_empty_database_has_no_schema(empty_database_url: str) -> None:
    head = head_revisions()
    assert await look(empty_database_url) == [
        f"alembic_version: none, expected {head.legacy}",
        f"prefect_server_version: none, expected {head.additions}",
        "there is no schema",
    ]


DIFFERENCES = {
    "DROP TABLE message": "table message is missing",
    "ALTER TABLE agent DROP COLUMN type": "column public.agent.type is missing",
    "ALTER TABLE agent ADD COLUMN extra int": "column public.agent.extra is not ours",
    "ALTER TABLE flow ALTER name DROP NOT NULL": "column public.flow.name: may be null is True, expected False",
    "ALTER TABLE flow ALTER version TYPE bigint": "column public.flow.version: type is BIGINT, expected INTEGER",
    "DROP INDEX ix_flow_run_queue": "index ix_flow_run_queue on flow_run is missing, or another one has its name",
    "ALTER TABLE project DROP CONSTRAINT project_tenant_id_name_key": (
        "constraint project_tenant_id_name_key on project is missing"
    ),
    "ALTER TABLE edge DROP CONSTRAINT edge_pkey": "primary key of edge is not (id)",
    "DROP FUNCTION utility.upstream_tasks": "function utility.upstream_tasks is missing",
    "CREATE OR REPLACE FUNCTION forget_flow_plan() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'": (
        "function public.forget_flow_plan has another text"
    ),
    "DROP TRIGGER update_timestamp ON task": "trigger update_timestamp on public.task is missing",
    "ALTER TABLE task_run_state DISABLE TRIGGER update_task_run_details_on_state_insert": (
        "trigger update_task_run_details_on_state_insert on public.task_run_state is disabled"
    ),
    "DROP TRIGGER update_timestamp ON edge; CREATE TRIGGER update_timestamp BEFORE UPDATE ON edge FOR EACH ROW"
    " EXECUTE PROCEDURE plan_flow_anew()": (
        "trigger update_timestamp on public.edge runs public.plan_flow_anew, expected public.set_updated_timestamp"
    ),
    "UPDATE alembic_version SET version_num = 'x'": "alembic_version: x, expected ac5747fb571c",
}
"""What is done to a schema → the line about it."""

THEIRS = (
    "CREATE TABLE theirs (id int)",
    "CREATE INDEX theirs_too ON flow (created, id)",
    "CREATE OR REPLACE FUNCTION set_updated_timestamp() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN NEW.updated = now(); RETURN NEW; END'",
)
"""What is no difference (schema.md §1): unknown tables and indexes, the legacy server's texts of its functions."""


async def test_each_difference_is_a_line_and_what_others_added_is_none(cluster: Cluster) -> None:
    name = f"{cluster.run}_{uuid4().hex[:12]}"
    dsn = await cluster.create(name, template=cluster.template)
    async with connected(dsn) as connection:
        for change in (*DIFFERENCES, *THEIRS):
            await connection.execute(change)
        await connection.execute("INSERT INTO tenant (name, slug) VALUES ('a', 'a'), ('a', 'b')")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY cut_short ON tenant (name)")
    broken = "index public.cut_short is not valid: its build was cut short; prefect-server database upgrade"
    assert sorted(await look(dsn)) == sorted([*DIFFERENCES.values(), broken])
    await cluster.drop(name)


def test_all_functions_and_triggers_are_read() -> None:
    """One per file at least, and the text of those that the legacy server never had."""
    folder: Path = migrations_folder()
    functions = expected_functions(folder)
    assert len(functions) == len(list((folder / "sql/functions").glob("*.sql")))
    assert {name for name, body in functions.items() if body is not None} >= {"public.plan_flow_anew"}
    assert functions["public.set_updated_timestamp"] is None
    made = sum(path.read_text().count("CREATE TRIGGER") for path in (folder / "sql/triggers").glob("*.sql"))
    assert len(list(expected_triggers(folder))) == made
