"""Which databases are taken, made and refused (schema.md §1, §2), and by whom."""

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from uuid import uuid4

import pytest

from server_core.config import Settings
from server_core.db.connection import APPLICATION
from server_core.db.legacy import BASELINE
from server_core.db.migrate import LOCK, current_revisions, upgrade
from server_core.db.revisions import Revisions, head_revisions
from server_core.db.session import Database
from server_core.errors import ConfigError
from server_core.wire import GraphQLRequest
from services.data.app import create_service
from tests.service.database.catalog import describe, expected
from tests.support.cluster import Cluster, connected
from tests.support.factories import make_flow, make_flow_run
from tests.support.waiting import wait_until

NOTHING = Revisions(legacy=None, additions=None)


async def stamp(dsn: str, revision: str, table: str = "alembic_version") -> None:
    """Make a database that says it is at a revision and holds nothing else."""
    async with connected(dsn) as connection:
        await connection.execute(f"CREATE TABLE {table} (version_num varchar(32) PRIMARY KEY)")
        await connection.execute(f"INSERT INTO {table} VALUES ($1)", revision)


async def test_an_empty_database_gets_everything(empty_database_url: str) -> None:
    assert await current_revisions(empty_database_url) == NOTHING
    await upgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == head_revisions()


async def test_no_table_counts_as_small_because_it_was_measured_empty(empty_database_url: str) -> None:
    """Plans made for it would read all of it, and be kept while it grows. Postgres 14 tells it from an unknown size."""
    await upgrade(empty_database_url)
    async with connected(empty_database_url) as connection:
        unknown = -1 if connection.get_server_version().major >= 14 else 0
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            " AND reltuples <> $1 AND relname NOT LIKE '%_version'",
            unknown,
        )
    assert tables == []


async def test_servers_that_start_at_once_do_not_collide(empty_database_url: str) -> None:
    await asyncio.gather(*(upgrade(empty_database_url) for _ in range(4)))
    assert await current_revisions(empty_database_url) == head_revisions()


async def test_who_waits_for_another_upgrade_leaves_no_transaction_open(empty_database_url: str) -> None:
    """The other one may build an index CONCURRENTLY, which would wait for the end of that transaction."""

    async def out_of_transactions() -> bool:
        states = await onlooker.fetch(
            "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1",
            APPLICATION,
        )
        return any(row["state"] == "idle" for row in states)

    async with connected(empty_database_url) as other, connected(empty_database_url) as onlooker:
        async with other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            waiting = asyncio.create_task(upgrade(empty_database_url))
            await wait_until(out_of_transactions, seconds=20, what="the one who waits is in no transaction")
        await waiting
    assert await current_revisions(empty_database_url) == head_revisions()


@pytest.mark.parametrize("revision", [BASELINE, "c4d792bdd05e"])
async def test_a_revision_without_its_tables_is_refused(empty_database_url: str, revision: str) -> None:
    await stamp(empty_database_url, revision)
    with pytest.raises(ConfigError, match=r"its schema is another: .*no column .*Nothing was changed") as caught:
        await upgrade(empty_database_url)
    assert revision in caught.value.message
    assert await current_revisions(empty_database_url) == Revisions(legacy=revision, additions=None)


async def test_a_database_of_another_program_is_refused(empty_database_url: str) -> None:
    await stamp(empty_database_url, "0123456789ab")
    with pytest.raises(ConfigError, match=r"0123456789ab.*does not know.*another program"):
        await upgrade(empty_database_url)


async def test_a_newer_database_is_refused(empty_database_url: str) -> None:
    await upgrade(empty_database_url)
    async with connected(empty_database_url) as connection:
        await connection.execute("UPDATE prefect_server_version SET version_num = '0123456789ab'")
        before = await describe(connection)
    with pytest.raises(ConfigError, match=r"0123456789ab.*does not know.*newer prefect-server"):
        await upgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == Revisions(legacy=BASELINE, additions="0123456789ab")
    async with connected(empty_database_url) as connection:
        assert await describe(connection) == before


async def test_additions_without_a_baseline_are_refused(empty_database_url: str) -> None:
    newest = str(head_revisions().additions)
    await stamp(empty_database_url, newest, "prefect_server_version")
    with pytest.raises(ConfigError, match=f"{newest} but no legacy revision"):
        await upgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == Revisions(legacy=None, additions=newest)


async def test_tables_without_a_revision_are_refused(empty_database_url: str) -> None:
    async with connected(empty_database_url) as connection:
        await connection.execute("CREATE TABLE flow (id int)")
        before = await describe(connection)
    with pytest.raises(ConfigError, match="already has tables named flow"):
        await upgrade(empty_database_url)
    async with connected(empty_database_url) as connection:
        assert await describe(connection) == before


async def test_other_schemas_are_left_alone(empty_database_url: str) -> None:
    async with connected(empty_database_url) as connection:
        await connection.execute("CREATE SCHEMA hdb_catalog; CREATE TABLE hdb_catalog.flow (id int)")
    await upgrade(empty_database_url)
    async with connected(empty_database_url) as connection:
        columns = await connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid = $1::regclass", "hdb_catalog.flow"
        )
    assert [row["attname"] for row in columns] == ["id"]


async def test_a_failed_upgrade_leaves_nothing(empty_database_url: str) -> None:
    async with connected(empty_database_url) as connection:
        # Taken by someone else: the last step of the baseline fails.
        await connection.execute("CREATE SCHEMA utility; CREATE TYPE utility.traversal AS (nothing int)")
    with pytest.raises(Exception, match="traversal"):
        await upgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == NOTHING
    async with connected(empty_database_url) as connection:
        assert [line for line in await describe(connection) if "public." in line] == []


ROLE = "Prefect Server"
HOSTILE = (
    "timezone TO 'Asia/Tokyo'",
    "datestyle TO 'SQL, DMY'",
    "intervalstyle TO 'sql_standard'",
    "client_encoding TO 'latin1'",
    "standard_conforming_strings TO off",
    "default_transaction_read_only TO on",
    "default_transaction_isolation TO serializable",
    "statement_timeout TO '20s'",
    "lock_timeout TO '10s'",
    "idle_in_transaction_session_timeout TO '20s'",
)
"""What a role may be given by who runs the server."""

PASSWORD = "p@:/%?#& '\"\\"


@pytest.fixture
async def hostile_url(cluster: Cluster, empty_database_url: str) -> AsyncIterator[str]:
    """DSN of an empty database owned by a role without rights, with an odd name, password and search_path."""
    role = f"{ROLE} {uuid4().hex[:8]}"
    database = urlsplit(empty_database_url).path[1:]
    async with connected(cluster.dsn) as connection:
        if not await connection.fetchval("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"):
            pytest.skip("the role of TEST_DATABASE_URL may not create roles")
        literal = await connection.fetchval("SELECT quote_literal($1::text)", PASSWORD)
        await connection.execute(f'CREATE ROLE "{role}" LOGIN NOSUPERUSER NOCREATEDB PASSWORD {literal}')
        await connection.execute(f'GRANT "{role}" TO current_user')
        await connection.execute(f"ALTER ROLE \"{role}\" SET search_path TO ''")
        for setting in HOSTILE:
            await connection.execute(f'ALTER ROLE "{role}" SET {setting}')
        await connection.execute(f'ALTER DATABASE "{database}" OWNER TO "{role}"')
    async with connected(empty_database_url) as connection:
        if connection.get_server_version().major < 15:
            await connection.execute(f'ALTER SCHEMA public OWNER TO "{role}"')
        if connection.get_server_version().major < 13:  # the one thing that a superuser must do there
            await connection.execute("CREATE EXTENSION pgcrypto WITH SCHEMA public")
    parts = urlsplit(empty_database_url)
    place = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(role, safe='')}:{quote(PASSWORD, safe='')}@{place}"
    yield urlunsplit(parts._replace(scheme="postgresql+asyncpg", netloc=netloc))
    async with connected(cluster.dsn) as connection:
        await connection.execute(f'ALTER DATABASE "{database}" OWNER TO current_user')
    async with connected(empty_database_url) as connection:
        await connection.execute(f'REASSIGN OWNED BY "{role}" TO current_user; DROP OWNED BY "{role}"')
        await connection.execute(f'DROP ROLE "{role}"')


async def test_a_role_without_rights_and_with_an_empty_search_path(hostile_url: str, empty_database_url: str) -> None:
    await asyncio.gather(upgrade(hostile_url), upgrade(hostile_url))
    async with connected(empty_database_url) as connection:
        found = await describe(connection)
        trigrams = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
        assert sorted(found) == sorted(expected(trigrams=trigrams))
    async with Database(hostile_url) as database:
        async with database.transaction() as session:
            flow = await make_flow(session, tasks=2, edges=[(0, 1)])
            run_id = await make_flow_run(session, flow=flow, state="Running", version=1)
            run = await session.fetch_row("SELECT state, created FROM flow_run WHERE id = $1", run_id)
            walked = await session.fetch("SELECT * FROM utility.downstream_tasks($1)", [flow.task_ids[0]])
            assert await session.fetch_value("SHOW timezone") == "UTC"
        assert run is not None
        assert run["state"] == "Running"
        assert len(walked) == 2
        # A connection that was lent out and reset still finds its tables.
        async with database.connection() as connection:
            await connection.execute("SET search_path TO pg_catalog")
        async with database.read() as session:
            assert await session.fetch_value("SELECT count(*) FROM flow_run") == 1


async def test_a_role_that_may_not_create_is_told_so(hostile_url: str, empty_database_url: str) -> None:
    async with connected(empty_database_url) as connection:
        await connection.execute("ALTER SCHEMA public OWNER TO current_user")
        await connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(ConfigError, match=r"may not make the schema: .*permission denied") as caught:
        await upgrade(hostile_url)
    assert quote(PASSWORD, safe="") not in caught.value.message
    assert await current_revisions(empty_database_url) == NOTHING


async def test_without_the_extension_search_works_and_gets_its_indexes_later(
    hostile_url: str, empty_database_url: str
) -> None:
    """schema.md §1: pg_trgm is not there, and the role may not create it (it does not own the database)."""
    name = urlsplit(empty_database_url).path[1:]
    role = unquote(urlsplit(hostile_url).username or "")
    async with connected(empty_database_url) as connection:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')"):
            pytest.skip("this Postgres has no pg_trgm")
        await connection.execute(f'ALTER DATABASE "{name}" OWNER TO current_user')
        await connection.execute(f'GRANT CREATE, USAGE ON SCHEMA public TO "{role}"')
        await connection.execute(f'CREATE SCHEMA utility AUTHORIZATION "{role}"')
    await upgrade(hostile_url)
    async with connected(empty_database_url) as connection:
        assert sorted(await describe(connection)) == sorted(expected(trigrams=False))
    service = create_service(Settings(), hostile_url)
    await service.start()
    async with Database(hostile_url) as database, database.transaction() as session:
        await make_flow(session, name="Some flow")
    query = '{ flow(where: {name: {_ilike: "%E FL%"}}) { name } }'
    answer = await service.execute(GraphQLRequest(query=query, variables={}))
    await service.stop()
    assert json.loads(answer.body) == {"data": {"flow": [{"name": "Some flow"}]}}
    async with connected(empty_database_url) as connection:
        await connection.execute("CREATE EXTENSION pg_trgm WITH SCHEMA public")
    await upgrade(hostile_url)
    async with connected(empty_database_url) as connection:
        assert sorted(await describe(connection)) == sorted(expected(trigrams=True))
