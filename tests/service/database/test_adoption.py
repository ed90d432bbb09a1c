"""Databases of all 19 legacy revisions become ones of the last, with every row that they had (schema.md §1, §2)."""

from datetime import UTC, datetime

import pytest

from server_core.db.legacy import BASELINE
from server_core.db.migrate import current_revisions, downgrade, upgrade
from server_core.db.revisions import Revisions, head_revisions
from tests.service.database.catalog import describe, expected
from tests.support.cluster import connected
from tests.support.legacy_data import adopted, comparable, fill, foreign, snapshot
from tests.support.legacy_schema import REVISIONS, build, number

OTHERS = ("public.notes", "my_column", "public.my_flows", "notify_hasura_runs")
"""What the tests add to a database that is not the server's."""


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
    await downgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == Revisions(legacy=BASELINE, additions=None)
    assert await own_facts(empty_database_url) == sorted(expected(trigrams=trigrams, additions=False))
    async with connected(empty_database_url) as connection:
        assert await snapshot(connection) == found
        assert not held or await foreign(connection) == others
