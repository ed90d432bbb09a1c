"""The fixtures every other test stands on."""

import pytest

from server_core.db.session import Database


@pytest.mark.parametrize("attempt", [1, 2])
async def test_every_test_finds_an_empty_database(database: Database, attempt: int) -> None:
    async with database.transaction() as session:
        assert await session.fetch_value("SELECT count(*) FROM tenant") == 0
        await session.execute("INSERT INTO tenant (name, slug) VALUES ('a', 'a')")


async def test_an_empty_database_has_no_tables(empty_database_url: str) -> None:
    async with Database(empty_database_url) as database, database.read() as session:
        assert await session.fetch("SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []
