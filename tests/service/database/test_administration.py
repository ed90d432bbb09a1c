"""Databases and roles as a whole: made, dropped, and refused to those who may not."""

from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from server_core.db.administration import (
    count_connections,
    create_database,
    drop_database,
    ensure_superuser,
    require_creation,
)
from server_core.errors import ConfigError, Unavailable
from tests.support.cluster import Cluster, connected


def named(cluster: Cluster, suffix: str) -> str:
    """Return the DSN of a database of this run whose name needs quotes and percent-encoding."""
    return cluster.url(quote(f'{cluster.run} "{uuid4().hex[:8]}" {suffix}', safe=""))


async def test_a_database_is_made_once_and_dropped_under_its_programs(cluster: Cluster) -> None:
    dsn = named(cluster, "Ä/%")
    assert await create_database(dsn)
    assert not await create_database(dsn)
    async with connected(dsn) as connection:
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await count_connections(dsn) == 1
        assert await drop_database(dsn)
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await connection.fetchval("SELECT 1")
    assert not await drop_database(dsn)


async def test_a_role_without_rights_is_told_what_an_administrator_can_do(cluster: Cluster) -> None:
    role = f"{cluster.run}_plain"
    async with connected(cluster.dsn) as connection:
        await connection.execute(f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'p'")
    try:
        dsn = as_role(named(cluster, "plain"), role, "p")
        with pytest.raises(ConfigError, match=f'let an administrator run: CREATE DATABASE .* OWNER "{role}";'):
            await create_database(dsn)
        with pytest.raises(ConfigError, match="may not create databases, so nothing was dropped"):
            await require_creation(dsn)
        with pytest.raises(ConfigError, match="The role may not drop the database"):
            await drop_database(as_role(cluster.url(cluster.template), role, "p"))
        await require_creation(cluster.dsn)
    finally:
        async with connected(cluster.dsn) as connection:
            await connection.execute(f'DROP ROLE "{role}"')


async def test_a_superuser_gets_the_password_that_holds_now(cluster: Cluster) -> None:
    role = f'{cluster.run}\'s "super"'
    try:
        for password in ("one", "t'wo\\"):
            await ensure_superuser(cluster.dsn, name=role, password=password)
            async with connected(as_role(cluster.dsn, role, password)) as connection:
                assert await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    finally:
        async with connected(cluster.dsn) as connection:
            await connection.execute(f"DROP ROLE {await connection.fetchval('SELECT quote_ident($1)', role)}")


@pytest.mark.parametrize(
    ("dsn", "error", "text"),
    [
        ("postgresql://u:hush@127.0.0.1:1/d", Unavailable, "The database server cannot be reached"),
        ("postgresql://u:hush@127.0.0.1:1", ConfigError, "database.connection_url names no database"),
        ("mysql://u:hush@127.0.0.1:1/d", ConfigError, "must start with postgresql://"),
    ],
)
async def test_what_cannot_be_asked_is_one_line_without_the_password(
    dsn: str, error: type[ConfigError | Unavailable], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        await create_database(dsn)
    assert "hush" not in caught.value.message


def as_role(dsn: str, role: str, password: str) -> str:
    """Return the DSN for another role."""
    parts = urlsplit(dsn)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(role, safe='')}:{quote(password, safe='')}@{place}"))
