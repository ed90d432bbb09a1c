"""Tables that outgrow what Postgres knows of them are analyzed, once each time (the loop `statistics`)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from server_core.actions.context import ActionContext
from server_core.config import DatabaseSettings
from server_core.db.session import Database
from server_core.errors import Unavailable
from server_core.store.statistics import analyze_table
from services.towel.loops.statistics import Statistics
from tests.support.cluster import Cluster, connected
from tests.support.recorder import recorded

MANY = 20_000
"""Rows of a number: some 70 pages."""
PLAN = "EXPLAIN (COSTS OFF) EXECUTE one"


@asynccontextmanager
async def young(cluster: Cluster) -> AsyncIterator[str]:
    """Yield the DSN of a migrated database whose tables are empty, with one more, `number`, that was analyzed so."""
    name = f"{cluster.run}_{uuid4().hex[:12]}"
    dsn = await cluster.create(name, template=cluster.template)
    async with connected(dsn) as connection:
        await connection.execute("CREATE TABLE number (n int PRIMARY KEY) WITH (autovacuum_enabled = off)")
        await connection.execute("ANALYZE number")
    yield dsn
    await cluster.drop(name)


async def test_a_table_that_grew_is_analyzed_and_sessions_plan_anew(cluster: Cluster) -> None:
    """One question is asked when there is nothing to do, after a limit is set; a few rows more are nothing."""
    loop = Statistics()
    async with young(cluster) as dsn, Database(dsn) as database, connected(dsn) as session:
        context = ActionContext(database=database)
        await loop.run_once(context)
        await session.execute("PREPARE one AS SELECT FROM number WHERE n = 1")
        before = "".join(row[0] for row in await session.fetch(PLAN))
        await session.execute("INSERT INTO number SELECT generate_series(1, $1::int)", MANY)
        assert "".join(row[0] for row in await session.fetch(PLAN)) == before
        assert await loop.run_once(context) == {"tables": 1}
        assert "Index" in "".join(row[0] for row in await session.fetch(PLAN))
        assert await session.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'number'") == MANY
        await session.execute("INSERT INTO number SELECT generate_series($1::int + 1, $1::int * 2)", MANY)
        async with recorded(database) as recorder:
            assert await loop.run_once(context) == {"tables": 0}
        assert len(recorder.statements) == 2


async def test_a_table_that_was_only_vacuumed_is_analyzed_once(cluster: Cluster) -> None:
    """As after a restore and the build of an index: its size is known, and nothing of its values."""
    loop = Statistics()
    async with young(cluster) as dsn, Database(dsn) as database, connected(dsn) as session:
        context = ActionContext(database=database)
        await session.execute("CREATE TABLE letter (n int, of text) WITH (autovacuum_enabled = off)")
        await session.execute("INSERT INTO letter SELECT n, 'a' FROM generate_series(1, $1::int) AS n", MANY)
        await session.execute("CREATE INDEX ON letter (n)")
        assert await loop.run_once(context) == {"tables": 1}
        assert await session.fetchval("SELECT count(*) FROM pg_stats WHERE tablename = 'letter'") == 2
        await session.execute("DELETE FROM letter")
        await session.execute("ANALYZE letter")
        assert await loop.run_once(context) == {"tables": 0}


async def test_tables_of_others_are_left_to_them(cluster: Cluster) -> None:
    role = f"reader_{uuid4().hex[:8]}"
    async with young(cluster) as dsn, connected(dsn) as session:
        await session.execute("INSERT INTO number SELECT generate_series(1, $1::int)", MANY)
        await session.execute(f"CREATE ROLE {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        async with Database(dsn, DatabaseSettings(pool_size=1)) as database:
            pool = database.open_pool()
            assert pool is not None
            connection = await pool.borrow()
            await connection.execute(f"SET ROLE {role}")
            pool.give_back(connection)
            async with recorded(database) as recorder:
                assert await Statistics().run_once(ActionContext(database=database)) == {"tables": 0}
            assert len(recorder.statements) == 2
            connection = await pool.borrow()
            assert await connection.fetchval("SELECT current_user") == role
            await connection.execute("RESET ROLE")
            pool.give_back(connection)
        await session.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_nobody_is_waited_for(cluster: Cluster) -> None:
    """What is being vacuumed or indexed is left out; whoever comes between the look and the work ends the pass."""
    async with young(cluster) as dsn, Database(dsn) as database, connected(dsn) as other:
        context = ActionContext(database=database)
        await other.execute("INSERT INTO number SELECT generate_series(1, $1::int)", MANY)
        async with other.transaction():
            await other.execute("LOCK TABLE number IN SHARE UPDATE EXCLUSIVE MODE")
            assert await Statistics().run_once(context) == {"tables": 0}
            with pytest.raises(Unavailable):
                async with database.transaction() as session:
                    await analyze_table(session, "public.number")
        assert await Statistics().run_once(context) == {"tables": 1}


async def test_nobody_is_waited_for_by_the_search_either(cluster: Cluster) -> None:
    """Whoever holds a table alone hides its size; what else waits is not held up."""
    async with young(cluster) as dsn, Database(dsn) as database, connected(dsn) as other, other.transaction():
        await other.execute("LOCK TABLE number IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable):
            await Statistics().run_once(ActionContext(database=database))


async def test_a_table_that_cannot_be_analyzed_holds_up_no_other(cluster: Cluster) -> None:
    async with young(cluster) as dsn, Database(dsn) as database, connected(dsn) as session:
        await session.execute("CREATE TABLE broken (n int) WITH (autovacuum_enabled = off)")
        await session.execute(
            "CREATE FUNCTION refuse(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
            " 'BEGIN IF n > 0 THEN RAISE ''refused''; END IF; RETURN n; END'"
        )
        await session.execute("INSERT INTO broken SELECT -generate_series(1, $1::int)", MANY)
        await session.execute("CREATE INDEX ON broken (refuse(n))")
        await session.execute(
            "CREATE OR REPLACE FUNCTION refuse(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
            " 'BEGIN RAISE ''refused''; END'"
        )
        await session.execute("INSERT INTO number SELECT generate_series(1, $1::int)", MANY)
        assert await Statistics().run_once(ActionContext(database=database)) == {"tables": 1}
        assert await session.fetchval("SELECT reltuples FROM pg_class WHERE relname = 'number'") == MANY
