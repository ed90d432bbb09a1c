"""Migrations, models and the contract state the same schema (schema.md §1, §3, §4)."""

import asyncpg

from server_core.cli.drift import compare_tables, expected_tables
from server_core.db.connection import engine
from server_core.db.migrate import upgrade
from tests.service.database.catalog import by_table, describe, expected, of_tables
from tests.support.cluster import connected


async def has_trigrams(connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Tell whether the migrated database got pg_trgm."""
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm')"))


async def test_migrations_make_the_schema_of_the_contract(database_url: str) -> None:
    """§10: the index of runs by flow and start is there."""
    async with connected(database_url) as connection:
        found = await describe(connection)
        wanted = expected(trigrams=await has_trigrams(connection))
    assert sorted(found) == sorted(wanted)
    columns = [line for line in wanted if line.startswith("column")]
    assert by_table([line for line in found if line.startswith("column")]) == by_table(columns)


async def test_models_make_the_same_tables_as_migrations(database_url: str, empty_database_url: str) -> None:
    async with connected(database_url) as connection:
        migrated = await describe(connection)
        trigrams = await has_trigrams(connection)
    async with connected(empty_database_url) as connection:
        await connection.execute("CREATE SCHEMA utility")
        if trigrams:
            await connection.execute("CREATE EXTENSION pg_trgm")
        if connection.get_server_version().major < 13:
            await connection.execute("CREATE EXTENSION pgcrypto")
    metadata = expected_tables(trigrams=trigrams)
    modelled_engine = engine(empty_database_url)
    async with modelled_engine.begin() as session:
        await session.run_sync(metadata.create_all)
    await modelled_engine.dispose()
    async with connected(empty_database_url) as connection:
        modelled = await describe(connection)
    assert of_tables(modelled) == of_tables(migrated)


async def test_autogenerate_finds_nothing_to_do(database_url: str) -> None:
    async with connected(database_url) as plain:
        metadata = expected_tables(trigrams=await has_trigrams(plain))
    migrated = engine(database_url)
    async with migrated.connect() as session:
        differences = await session.run_sync(compare_tables, metadata)
    await migrated.dispose()
    assert differences == []


async def test_every_table_with_updated_has_the_trigger(database_url: str) -> None:
    async with connected(database_url) as connection:
        missing = await connection.fetch(
            "SELECT attrelid::regclass FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE attname = 'updated' AND relkind = 'r' AND relnamespace = 'public'::regnamespace AND NOT EXISTS"
            " (SELECT FROM pg_trigger WHERE tgrelid = attrelid AND tgname = 'update_timestamp')"
        )
    assert missing == []


async def test_a_second_upgrade_changes_nothing(empty_database_url: str) -> None:
    await upgrade(empty_database_url)
    async with connected(empty_database_url) as connection:
        before = await describe(connection)
    await upgrade(empty_database_url)
    async with connected(empty_database_url) as connection:
        assert await describe(connection) == before
