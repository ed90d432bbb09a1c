"""Our additions are a chain of their own: the legacy server still finds its database after them (schema.md §1)."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

import services.data
from server_core.cli.readiness import wait_for_schema
from server_core.config_loader import load_settings
from server_core.db.connection import engine
from server_core.db.folders import migrations_folder
from server_core.db.legacy import BASELINE
from server_core.db.migrate import current_revisions, downgrade, upgrade
from server_core.db.revisions import (
    LEGACY,
    VERSION_TABLES,
    Revisions,
    chain,
    head_revisions,
)
from server_core.db.session import Database
from server_core.db.waits import Patience
from server_core.errors import ConfigError
from tests.service.database.catalog import ADDITIONS, describe, expected
from tests.support.cluster import connected
from tests.support.factories import insert_flow_group, insert_log, make_flow, make_flow_run, make_tenant
from tests.support.waiting import wait_until

LEGACY_ENV = """
from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""

LEGACY_HEAD = f"""
revision = "{BASELINE}"
down_revision = None


def upgrade():
    raise AssertionError("the database is there already")
"""


async def migrate(dsn: str, config: Config) -> None:
    """Upgrade to the end of a chain, without our checks."""

    def work(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    migrations = engine(dsn)
    try:
        async with migrations.connect() as connection:
            await connection.run_sync(work)
            await connection.commit()
    finally:
        await migrations.dispose()


async def facts(dsn: str) -> Counter[str]:
    """Return the schema of a database."""
    async with connected(dsn) as connection:
        return Counter(await describe(connection))


async def rows(dsn: str) -> list[str]:
    """Return what a legacy database holds, and its revision."""
    async with connected(dsn) as connection:
        found = []
        for table in ("alembic_version", "flow", "task", "flow_run", "task_run", "task_run_state"):
            found += await connection.fetch(f"SELECT row_to_json(r)::text AS row FROM {table} AS r ORDER BY 1")
    return [row["row"] for row in found]


@pytest.fixture
async def legacy_url(empty_database_url: str) -> str:
    """DSN of a database as the last legacy release left it, with a run."""
    await migrate(empty_database_url, chain(LEGACY))
    async with Database(empty_database_url) as database, database.transaction() as session:
        flow = await make_flow(session, tasks=2, edges=[(0, 1)])
        await make_flow_run(session, flow=flow, state="Running", version=1)
    return empty_database_url


@pytest.fixture
def legacy_server(tmp_path: Path) -> Config:
    """The migrations of a program that knows the legacy chain only, and refuses a revision that it does not know."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(LEGACY_ENV)
    (tmp_path / "versions" / "head.py").write_text(LEGACY_HEAD)
    config = Config()
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "newline")
    return config


async def test_a_legacy_database_is_taken_as_it_is_and_added_to(legacy_url: str) -> None:
    before, held = await facts(legacy_url), await rows(legacy_url)
    async with connected(legacy_url) as connection:
        trigrams = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
    assert before == Counter(expected(trigrams=trigrams, additions=False))
    await asyncio.gather(upgrade(legacy_url), upgrade(legacy_url))
    after = await facts(legacy_url)
    assert after - before == Counter(ADDITIONS.read_text(encoding="utf-8").splitlines())
    assert before - after == Counter()
    assert await rows(legacy_url) == held
    assert await current_revisions(legacy_url) == head_revisions()
    assert head_revisions().legacy == BASELINE


async def test_the_legacy_server_starts_on_an_upgraded_database(legacy_url: str, legacy_server: Config) -> None:
    await upgrade(legacy_url)
    before, held = await facts(legacy_url), await rows(legacy_url)
    await migrate(legacy_url, legacy_server)
    assert await facts(legacy_url) == before
    assert await rows(legacy_url) == held
    await upgrade(legacy_url)
    assert await current_revisions(legacy_url) == head_revisions()


async def test_the_legacy_server_would_refuse_a_revision_of_ours(legacy_url: str, legacy_server: Config) -> None:
    async with connected(legacy_url) as connection:
        await connection.execute("UPDATE alembic_version SET version_num = $1", head_revisions().additions)
    with pytest.raises(CommandError, match="Can't locate revision"):
        await migrate(legacy_url, legacy_server)


async def test_the_additions_can_be_taken_back_and_made_again(legacy_url: str) -> None:
    before, held = await facts(legacy_url), await rows(legacy_url)
    await upgrade(legacy_url)
    added = await facts(legacy_url)
    await asyncio.gather(downgrade(legacy_url), downgrade(legacy_url))
    assert await facts(legacy_url) == before
    assert await rows(legacy_url) == held
    assert await current_revisions(legacy_url) == Revisions(legacy=BASELINE, additions=None)
    await upgrade(legacy_url)
    assert await facts(legacy_url) == added


async def test_flows_are_told_that_their_heartbeats_are_off(legacy_url: str) -> None:
    """The legacy switch wrote to the group only, clients look at the flow (actions.md §9.4)."""
    silent = {"heartbeat_enabled": False, "disable_heartbeat": True}
    async with Database(legacy_url) as database, database.transaction() as session:
        off = await insert_flow_group(session, tenant_id=(await make_tenant(session)).id, settings=silent)
        odd = await insert_flow_group(session, tenant_id=(await make_tenant(session)).id, settings=["odd"])
        flows = [
            (await make_flow(session, flow_group_id=off)).id,
            (await make_flow(session, flow_group_id=off, settings={"mine": 1})).id,
            (await make_flow(session, flow_group_id=off, settings=["odd"])).id,
            (await make_flow(session, flow_group_id=odd)).id,
            (await make_flow(session)).id,
        ]

    async def settings() -> list[str]:
        async with connected(legacy_url) as connection:
            return [await connection.fetchval("SELECT settings FROM flow WHERE id = $1", each) for each in flows]

    await upgrade(legacy_url)
    assert await settings() == [
        '{"heartbeat_enabled": false}',
        '{"mine": 1, "heartbeat_enabled": false}',
        '{"heartbeat_enabled": false}',
        "{}",
        "{}",
    ]
    await downgrade(legacy_url)
    assert await settings() == ["{}", '{"mine": 1}', "{}", "{}", "{}"]


async def test_functions_that_we_made_are_renewed_and_no_others(legacy_url: str) -> None:
    """schema.md §3: what the legacy server made stays its own; the texts of ours do the same with fewer writes."""
    theirs = "BEGIN NEW.updated := now(); RETURN NEW; END"
    before = (Path(__file__).parent / "functions_before.sql").read_text(encoding="utf-8")
    async with connected(legacy_url) as connection:
        await connection.execute(before)
        await connection.execute(
            "CREATE OR REPLACE FUNCTION public.update_task_run_details_on_state_insert() RETURNS trigger"
            f" LANGUAGE plpgsql AS '{theirs}'"
        )
    await upgrade(legacy_url)
    async with connected(legacy_url) as connection:
        names = ("insert_task_runs_after_flow_run_insert", "update_flow_run_details_on_state_insert")
        for name in names:
            text = (migrations_folder() / f"sql/functions/{name}.sql").read_text(encoding="utf-8")
            body = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE proname = $1", name)
            assert body
            assert body in text
            assert body not in before
        assert theirs == await connection.fetchval(
            "SELECT prosrc FROM pg_proc WHERE proname = 'update_task_run_details_on_state_insert'"
        )


async def test_functions_of_a_later_release_are_renewed_too(legacy_url: str) -> None:
    """schema.md §3: those that made first states with a look at each run."""
    before = (Path(__file__).parent / "functions_at_a41d7c93e6b0.sql").read_text(encoding="utf-8")
    await upgrade(legacy_url)
    async with connected(legacy_url) as connection:
        await connection.execute(before)
        await connection.execute("UPDATE prefect_server_version SET version_num = 'a41d7c93e6b0'")
    await upgrade(legacy_url)
    async with connected(legacy_url) as connection:
        for name in ("insert_task_runs_after_flow_run_insert", "update_task_run_details_on_state_insert"):
            text = (migrations_folder() / f"sql/functions/{name}.sql").read_text(encoding="utf-8")
            body = await connection.fetchval("SELECT prosrc FROM pg_proc WHERE proname = $1", name)
            assert body
            assert body in text
            assert body not in before


async def test_functions_that_somebody_set_options_of_stay_as_they_are(legacy_url: str) -> None:
    """Giving them a new text would drop the options, and with `search_path` the way to the tables."""
    before = (Path(__file__).parent / "functions_before.sql").read_text(encoding="utf-8")
    name = "insert_task_runs_after_flow_run_insert"
    async with connected(legacy_url) as connection:
        await connection.execute(before)
        await connection.execute(f"ALTER FUNCTION public.{name}() SET search_path = public")
    await upgrade(legacy_url)
    async with connected(legacy_url) as connection:
        row = await connection.fetchrow("SELECT prosrc, proconfig FROM pg_proc WHERE proname = $1", name)
    assert row is not None
    assert row["prosrc"] in before
    assert row["proconfig"] == ["search_path=public"]


async def test_nothing_is_taken_back_from_a_newer_database(legacy_url: str) -> None:
    await upgrade(legacy_url)
    async with connected(legacy_url) as connection:
        await connection.execute("UPDATE prefect_server_version SET version_num = 'f'")
    before = await facts(legacy_url)
    with pytest.raises(ConfigError, match="newer prefect-server"):
        await downgrade(legacy_url)
    assert await facts(legacy_url) == before


async def test_without_additions_there_is_nothing_to_take_back(empty_database_url: str) -> None:
    await downgrade(empty_database_url)
    assert await facts(empty_database_url) == Counter()


async def test_a_service_does_not_wait_for_a_schema_that_never_comes(legacy_url: str) -> None:
    await upgrade(legacy_url)
    async with connected(legacy_url) as connection:
        await connection.execute("UPDATE prefect_server_version SET version_num = 'f'")
    with pytest.raises(ConfigError, match="newer prefect-server"):
        await asyncio.wait_for(wait_for_schema(load_settings(), legacy_url), 30)


async def test_an_index_whose_build_was_cut_short_is_built_again(legacy_url: str) -> None:
    async with Database(legacy_url) as database, database.transaction() as session:
        flow = await make_flow(session)
        for _ in range(2):
            await make_flow_run(session, flow=flow)
    async with connected(legacy_url) as connection:
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY ix_flow_run_running ON flow_run (tenant_id)")
        invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
        assert await connection.fetchval(invalid) == "ix_flow_run_running"
    await upgrade(legacy_url)
    async with connected(legacy_url) as connection:
        assert await connection.fetchval(invalid) is None
    added = [line for line in await facts(legacy_url) if line.startswith("index")]
    assert set(added) >= {line for line in ADDITIONS.read_text("utf-8").splitlines() if line.startswith("index")}


async def test_lines_of_one_id_are_kept_under_others(legacy_url: str) -> None:
    async with Database(legacy_url) as database, database.transaction() as session:
        flow = await make_flow(session)
        run_id = await make_flow_run(session, flow=flow)
        await insert_log(session, flow_run_id=run_id)
        await session.execute("INSERT INTO log SELECT log.* FROM log, generate_series(1, 3)")
        await insert_log(session, flow_run_id=None)
    await upgrade(legacy_url)
    async with connected(legacy_url) as connection:
        counts = "SELECT (count(*), count(DISTINCT id), count(DISTINCT message), count(flow_run_id))::text FROM log"
        assert await connection.fetchval(counts) == "(5,5,1,4)"
    assert await current_revisions(legacy_url) == head_revisions()


async def test_writers_go_on_while_an_index_is_built(legacy_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(legacy_url) as early, connected(legacy_url) as late:
        transaction = early.transaction(isolation="repeatable_read")
        await transaction.start()
        await early.execute("SELECT 1")  # the build has to wait for its snapshot
        building = asyncio.create_task(upgrade(legacy_url, patience=Patience(tell_seconds=0.05)))
        waits = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"
        )
        await wait_until(lambda: late.fetchval(waits), seconds=10, what="the build waits for the older transaction")
        await late.execute("SET lock_timeout = '5s'")
        await late.execute("UPDATE task_run SET name = 'late'")
        await late.execute("UPDATE flow SET name = 'late'")
        assert not building.done()
        pid = await early.fetchval("SELECT pg_backend_pid()")
        told = f"waits for the transaction of another connection: process {pid} of Postgres"
        await wait_until(lambda: told in caplog.text, seconds=10, what="it is told who is waited for")
        await transaction.commit()
        await building
    assert await current_revisions(legacy_url) == head_revisions()


@pytest.mark.parametrize("direction", [upgrade, downgrade])
async def test_a_writer_that_takes_tables_the_other_way_round(
    legacy_url: str, direction: Callable[[str], Coroutine[Any, Any, None]]
) -> None:
    """Postgres ends the change of the schema, which is then made anew: a server may go on writing meanwhile."""
    if direction is downgrade:
        await upgrade(legacy_url)
    async with connected(legacy_url) as writer, connected(legacy_url) as watcher:
        await writer.execute("SET deadlock_timeout = '60s'")  # so that it is not the writer that is ended
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("LOCK TABLE message IN ROW EXCLUSIVE MODE")
        changing = asyncio.create_task(direction(legacy_url))
        await wait_until(lambda: watcher.fetchval(WAITS_FOR_TABLE), seconds=10, what="the change waits for the writer")
        held = await watcher.fetchval(HELD_TABLE)
        await writer.execute(f"LOCK TABLE {held} IN ROW EXCLUSIVE MODE")
        await transaction.commit()
        await asyncio.wait_for(changing, 30)
    expected = head_revisions() if direction is upgrade else Revisions(legacy=BASELINE, additions=None)
    assert await current_revisions(legacy_url) == expected


WAITS_FOR_TABLE = """
SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE application_name = 'prefect-server migrations' AND datname = current_database()
    AND locktype = 'relation' AND NOT granted
"""
HELD_TABLE = """
SELECT relname
FROM pg_locks JOIN pg_stat_activity USING (pid) JOIN pg_class ON pg_class.oid = relation
WHERE application_name = 'prefect-server migrations' AND datname = current_database()
    AND granted AND mode IN ('ShareRowExclusiveLock', 'AccessExclusiveLock')
    AND relkind = 'r' AND relnamespace = 'public'::regnamespace
LIMIT 1
"""


async def test_the_data_api_shows_no_version_table() -> None:
    with (Path(services.data.__file__).parent / "metadata.yaml").open(encoding="utf-8") as file:
        (source,) = yaml.safe_load(file)["sources"]
    tracked = {table["table"]["name"] for table in source["tables"]}
    assert "flow_run" in tracked
    assert not tracked & set(VERSION_TABLES.values())


async def by_hand(dsn: str, *words: str) -> tuple[int, str]:
    """Run the alembic command in the folder of the migrations; return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "alembic.config", "-x", f"dsn={dsn}", *words),
        cwd=migrations_folder(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_both_chains_by_hand(empty_database_url: str, database_url: str) -> None:
    code, said = await by_hand(empty_database_url, "upgrade", "head")
    assert code != 0
    assert f"The additions build on {BASELINE}" in said
    assert await facts(empty_database_url) == Counter()
    for words in (["-n", "baseline", "upgrade", "head"], ["upgrade", "head"]):
        code, said = await by_hand(empty_database_url, *words)
        assert code == 0, said
    assert "_version" not in (await by_hand(empty_database_url, "check"))[1]
    assert await facts(empty_database_url) == await facts(database_url)
    assert await current_revisions(empty_database_url) == head_revisions()
    assert (await by_hand(empty_database_url, "downgrade", "base"))[0] == 0
    assert await current_revisions(empty_database_url) == Revisions(legacy=BASELINE, additions=None)
