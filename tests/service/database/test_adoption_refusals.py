"""Legacy databases that cannot be adopted are refused with one sentence and not changed (schema.md §1, §2)."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest

from server_core.db.embedded import EmbeddedPostgres
from server_core.db.legacy import BASELINE
from server_core.db.migrate import current_revisions, downgrade, upgrade
from server_core.db.revisions import head_revisions
from server_core.db.waits import Patience
from server_core.errors import ConfigError
from tests.service.database.catalog import describe, expected
from tests.support.cluster import FAST, connected
from tests.support.legacy_data import TABLES, fill, snapshot
from tests.support.legacy_schema import build

VERSIONS = "SELECT row_to_json(v)::text FROM alembic_version AS v ORDER BY 1"


async def refused(dsn: str, match: str) -> None:
    """See that an upgrade refuses a database with one sentence and changes nothing."""
    async with connected(dsn) as connection:
        before = await describe(connection), await snapshot(connection), await connection.fetch(VERSIONS)
    with pytest.raises(ConfigError, match=match) as caught:
        await upgrade(dsn)
    assert "\n" not in caught.value.message
    async with connected(dsn) as connection:
        assert (await describe(connection), await snapshot(connection), await connection.fetch(VERSIONS)) == before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ("DROP TABLE message", r"at legacy revision 24f10aeee83e, but its schema is another: no column message\."),
        ("ALTER TABLE flow_run ADD run_config jsonb", "column flow_run.run_config is there, which revision 7ca57ea2fd"),
        ("ALTER TABLE flow_run DROP COLUMN labels", "no column flow_run.labels"),
        ("ALTER TABLE flow_run ALTER heartbeat TYPE timestamp", "heartbeat is timestamp without time zone, not timest"),
        ("ALTER TABLE flow_run ALTER labels DROP NOT NULL", "labels is jsonb, not jsonb not null"),
        ("CREATE TABLE task_run_artifact (id int)", "table task_run_artifact is there, which revision 3c87ad7e0b71 br"),
        ("DROP TRIGGER update_flow_run_details_on_state_insert ON flow_run_state", "no trigger that keeps flow_run up"),
        ("INSERT INTO alembic_version VALUES ('ac5747fb571c')", r"several rows \(24f10aeee83e, ac5747fb571c\)"),
        ("UPDATE alembic_version SET version_num = 'f00'", "f00, which this release does not know"),
        ("ALTER TABLE alembic_version RENAME version_num TO version", "no column version_num"),
        ("CREATE TABLE prefect_server_version AS SELECT '2b6f8d0c4a93' AS version_num", "made anew"),
    ],
)
async def test_what_cannot_be_adopted_is_refused(empty_database_url: str, change: str, match: str) -> None:
    async with connected(empty_database_url) as connection:
        await build(connection, "24f10aeee83e")
        await connection.execute(change)
    await refused(empty_database_url, match)


async def test_texts_of_another_length_are_taken(empty_database_url: str) -> None:
    """What somebody made wider by hand does not matter to any step."""
    async with connected(empty_database_url) as connection:
        await build(connection, "24f10aeee83e")
        await connection.execute(
            "ALTER TABLE log ALTER message TYPE text; ALTER TABLE tenant ALTER name TYPE varchar(500)"
        )
    await upgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == head_revisions()


async def test_a_replica_is_refused(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path, FAST)
    dsn = postgres.start()
    try:
        async with connected(dsn) as connection:
            await build(connection, "24f10aeee83e")
        postgres.stop()
        (tmp_path / "postgres" / "standby.signal").touch()
        await asyncio.to_thread(postgres.start)
        await refused(dsn, "is a read-only replica")
    finally:
        postgres.stop()


async def test_tables_of_another_owner_are_refused(empty_database_url: str) -> None:
    role = f"stranger_{uuid4().hex[:8]}"
    async with connected(empty_database_url) as connection:
        if not await connection.fetchval("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"):
            pytest.skip("the role of TEST_DATABASE_URL may not create roles")
        await build(connection, "24f10aeee83e")
        await connection.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON SCHEMA public TO {role};"
            f" GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; ALTER TABLE edge OWNER TO {role}"
        )
    parts = urlsplit(empty_database_url)
    dsn = urlunsplit(parts._replace(netloc=f"{role}:x@{parts.netloc.rpartition('@')[2]}"))
    try:
        await refused(dsn, rf"The role {role} may not change .*does not own agent, .*flow_run, .*Nothing was changed")
    finally:
        async with connected(empty_database_url) as connection:
            await connection.execute(
                f"REASSIGN OWNED BY {role} TO current_user; DROP OWNED BY {role}; DROP ROLE {role}"
            )


async def test_tables_restored_under_our_additions(empty_database_url: str) -> None:
    """A dump restored over an upgraded database is told from an upgraded one, and the way out that is named works."""
    await upgrade(empty_database_url)
    for revision in (BASELINE, "3c87ad7e0b71"):
        async with connected(empty_database_url) as connection:
            await connection.execute(f"DROP TABLE {', '.join(TABLES)}, alembic_version CASCADE")
            await connection.execute("DROP SCHEMA utility CASCADE; DROP EXTENSION IF EXISTS pg_trgm CASCADE")
            for function in ("set_updated_timestamp", "insert_task_runs_after_flow_run_insert"):
                await connection.execute(f"DROP FUNCTION {function}")
            for kind in ("flow_run", "task_run"):
                await connection.execute(f"DROP FUNCTION update_{kind}_details_on_state_insert")
            await build(connection, revision)
        await refused(empty_database_url, f"is at legacy revision {revision}, but has our additions too.*downgrade")
        await downgrade(empty_database_url)
        await upgrade(empty_database_url)
        assert await current_revisions(empty_database_url) == head_revisions()
        async with connected(empty_database_url) as connection:
            trigrams = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
            assert sorted(await describe(connection)) == sorted(expected(trigrams=trigrams))


async def test_programs_that_are_connected_are_told(empty_database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(empty_database_url) as connection:
        await build(connection, "a666a3f4e422")
        await connection.execute("SET application_name = 'old server'")
        await upgrade(empty_database_url)
    assert "other programs are connected to the database: old server" in caplog.text


@pytest.mark.parametrize("revision", [BASELINE, "a666a3f4e422"])
async def test_an_upgrade_does_not_wait_for_ever(empty_database_url: str, revision: str) -> None:
    """An index waits for a snapshot, a legacy step for a table: it is said for whom, and nothing is half done."""
    async with connected(empty_database_url) as connection, connected(empty_database_url) as other:
        await build(connection, revision)
        await fill(connection, revision)
        before = await snapshot(connection)
        await other.execute("SET application_name = 'old towel'")
        transaction = other.transaction(isolation="repeatable_read")
        await transaction.start()
        await other.fetch("SELECT 1" if revision == BASELINE else "SELECT 1 FROM edge")
        pid = await other.fetchval("SELECT pg_backend_pid()")
        match = rf"waited 1 s .*process {pid} of Postgres \(old towel, idle in transaction since .*backend\({pid}\)"
        with pytest.raises(ConfigError, match=match):
            await upgrade(empty_database_url, patience=Patience(wait_seconds=1))
        assert await connection.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == revision
        assert await snapshot(connection) == before
        await transaction.rollback()
    await upgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == head_revisions()
