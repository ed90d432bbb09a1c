"""Databases of all 19 legacy revisions become ones of the last, with every row that they had (schema.md §1, §2)."""

import asyncio
from datetime import UTC, datetime

import pytest

from server_core.db.legacy import BASELINE
from server_core.db.migrate import current_revisions, downgrade, upgrade
from server_core.db.revisions import Revisions, head_revisions
from server_core.errors import Unavailable
from tests.service.database.catalog import describe, expected
from tests.support.cluster import Cluster, connected
from tests.support.legacy_data import adopted, comparable, fill, foreign, snapshot
from tests.support.legacy_schema import REVISIONS, build, lines_at, number

OTHERS = ("public.notes", "my_column", "public.my_flows", "notify_hasura_runs")
"""What the tests add to a database that is not the server's."""


KEEPERS = ("_details_on_state_insert", "_states_arrived")
"""What keeps runs up to date is ours from the first step that touches it; lines_at leaves it out."""


async def own_facts(dsn: str) -> list[str]:
    """Return the schema without what is not the server's."""
    async with connected(dsn) as connection:
        return sorted(line for line in await describe(connection) if not any(other in line for other in OTHERS))


@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_database_of_any_revision_is_adopted(empty_database_url: str, revision: str) -> None:
    async with connected(empty_database_url) as connection:
        await build(connection, revision)
        trigrams = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')")
        now = datetime.now(UTC)
        if number(revision) > 1:
            await fill(connection, revision, now)
        held = await snapshot(connection)
        others = await foreign(connection) if held else []
    await upgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == head_revisions()
    assert await own_facts(empty_database_url) == sorted(expected(trigrams=trigrams))
    async with connected(empty_database_url) as connection:
        wanted = adopted(held, revision, now)
        found = await snapshot(connection)
        masked = comparable(found, wanted)
        for table, rows in comparable(wanted, wanted).items():
            assert masked[table] == rows, table
        assert not held or await foreign(connection) == others
    if revision not in REVISIONS[1:3]:  # the way back is the same for all
        return
    await downgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == Revisions(legacy=BASELINE, additions=None)
    assert await own_facts(empty_database_url) == sorted(expected(trigrams=trigrams, additions=False))
    async with connected(empty_database_url) as connection:
        assert await snapshot(connection) == found
        assert not held or await foreign(connection) == others


DEADLY = """
CREATE SEQUENCE mine.statements;
CREATE TABLE mine.allowed (number int);
INSERT INTO mine.allowed VALUES (0);
CREATE FUNCTION mine.die() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('mine.statements') > (SELECT number FROM mine.allowed) THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
END;
$$;
CREATE EVENT TRIGGER deadly ON ddl_command_end EXECUTE PROCEDURE mine.die();
"""
"""Ends the connection that changes the schema after a number of statements; a sequence counts whatever is undone."""


async def test_an_upgrade_that_dies_at_any_statement_goes_on(cluster: Cluster, empty_database_url: str) -> None:
    """Killed after each statement of each step, it leaves a legacy revision as that is; nothing is lost or doubled."""
    async with connected(cluster.dsn) as connection:
        if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
            pytest.skip("the role of TEST_DATABASE_URL may not make event triggers")
    first = revision = "72e2cd3e0469"
    now = datetime.now(UTC)
    async with connected(empty_database_url) as connection:
        await build(connection, revision)
        await fill(connection, revision, now)
        before = await snapshot(connection)
        await connection.execute(DEADLY)
    deaths = alive = 0
    while revision != BASELINE:
        async with connected(empty_database_url) as connection:
            await connection.execute("SELECT setval('mine.statements', 1, false)")
            await connection.execute(f"UPDATE mine.allowed SET number = {alive}")
        with pytest.raises(Unavailable, match="went away"):
            await upgrade(empty_database_url)
        legacy = str((await current_revisions(empty_database_url)).legacy)
        deaths, alive = deaths + 1, alive + 1
        if legacy == revision:
            continue
        passed = set(REVISIONS[REVISIONS.index(revision) + 1 : REVISIONS.index(legacy) + 1])
        # without pg_trgm there is no statement in one of the steps to die at
        assert len(passed - {"57ac2cb01ac1"}) == 1, "it went on after the statement that it died at"
        revision, alive = legacy, 1
        wanted_lines = [line for line in lines_at(revision) if "gin_trgm_ops" not in line]
        found = await own_facts(empty_database_url)
        assert [line for line in found if not any(name in line for name in KEEPERS)] == sorted(wanted_lines)
    assert deaths > len(REVISIONS)
    async with connected(empty_database_url) as connection:
        await connection.execute("DROP EVENT TRIGGER deadly")
    await upgrade(empty_database_url)
    async with connected(empty_database_url) as connection:
        wanted = adopted(before, first, now)
        assert comparable(await snapshot(connection), wanted) == comparable(wanted, wanted)


async def test_upgrades_at_once_adopt_once(empty_database_url: str) -> None:
    revision, now = "c4d792bdd05e", datetime.now(UTC)
    async with connected(empty_database_url) as connection:
        await build(connection, revision)
        await fill(connection, revision, now)
        before = await snapshot(connection)
    await asyncio.gather(*(upgrade(empty_database_url) for _ in range(3)))
    async with connected(empty_database_url) as connection:
        wanted = adopted(before, revision, now)
        assert comparable(await snapshot(connection), wanted) == comparable(wanted, wanted)
