"""A DSN → its database and its roles, made, dropped and looked at on the server of the DSN. Called by the command line.

What is done to a database as a whole is done from another one, which every server has.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from server_core.db.connection import one_line
from server_core.db.dsn import database_name, plain_dsn, redacted
from server_core.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

MAINTENANCE = ("postgres", "template1")
"""Databases to work from, in the order in which they are tried."""

_DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"

APPLICATION = "prefect-server administration"


async def create_database(dsn: str) -> bool:
    """Make the database of a DSN if it is not there; return whether it was made.

    Raises:
        ConfigError: the role may not, or the server cannot hold Unicode text.
        Unavailable: the server cannot be reached.
    """
    name = _name(dsn)
    async with _beside(dsn) as connection:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
            return False
        try:
            await connection.execute(f"CREATE DATABASE {_quoted(name)} ENCODING 'UTF8' TEMPLATE template0")
        except asyncpg.DuplicateDatabaseError:
            return False
        except asyncpg.InsufficientPrivilegeError as error:
            role = await connection.fetchval("SELECT current_user")
            raise ConfigError(
                f"The role may not create databases: {redacted(dsn)} ({one_line(error)}); let an administrator run:"
                f" CREATE DATABASE {_quoted(name)} OWNER {_quoted(str(role))};"
            ) from error
        except asyncpg.PostgresError as error:
            raise ConfigError(f"The database cannot be created: {redacted(dsn)} ({one_line(error)})") from error
    return True


async def drop_database(dsn: str) -> bool:
    """Drop the database of a DSN, cutting its connections; return whether it was there.

    Raises:
        ConfigError: the role may not.
        Unavailable: the server cannot be reached, or programs connect faster than they are cut.
    """
    name = _name(dsn)
    async with _beside(dsn) as connection:
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name):
            return False
        force = " WITH (FORCE)" if connection.get_server_version().major >= 13 else ""
        try:
            if not force:
                await connection.fetch(_DISCONNECT, name)
            await connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)}{force}")
        except asyncpg.InsufficientPrivilegeError as error:
            raise ConfigError(f"The role may not drop the database: {redacted(dsn)} ({one_line(error)})") from error
        except asyncpg.ObjectInUseError as error:
            raise Unavailable(
                f"The database is in use: {redacted(dsn)} ({one_line(error)}); stop its programs."
            ) from error
    return True


async def require_creation(dsn: str) -> None:
    """Return if the role of a DSN may make databases: asked before one is dropped to be made anew.

    Raises:
        ConfigError: it may not.
        Unavailable: the server cannot be reached.
    """
    async with _beside(dsn) as connection:
        if not await connection.fetchval("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"):
            raise ConfigError(f"The role may not create databases, so nothing was dropped: {redacted(dsn)}")


async def count_connections(dsn: str) -> int:
    """Return how many connections programs have to the database of a DSN.

    Raises:
        ConfigError, Unavailable: the server cannot be asked.
    """
    async with _beside(dsn) as connection:
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
        return int(await connection.fetchval(count, _name(dsn)))


async def ensure_superuser(dsn: str, *, name: str, password: str) -> None:
    """See that a role exists that may do everything, with this password.

    Args:
        dsn: of the server, as a superuser.
        name: of the role.
        password: its password.
    """
    connection = await asyncpg.connect(plain_dsn(dsn), timeout=10)
    try:
        there = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name)
        statement = f"{'ALTER' if there else 'CREATE'} ROLE {_quoted(name)} LOGIN SUPERUSER PASSWORD "
        # a statement that defines takes no parameters
        await connection.execute(statement + await connection.fetchval("SELECT quote_literal($1::text)", password))
    finally:
        await connection.close()


@asynccontextmanager
async def _beside(dsn: str) -> AsyncIterator["Connection"]:
    """Open a connection to the server of a DSN, but not to its database."""
    plain, place = plain_dsn(dsn), redacted(dsn)
    problem: Exception | None = None
    for database in MAINTENANCE:
        try:
            connection = await asyncpg.connect(
                plain,
                database=database,
                timeout=10,
                statement_cache_size=0,
                server_settings={"application_name": APPLICATION},
            )
        except (asyncpg.InvalidCatalogNameError, asyncpg.InsufficientPrivilegeError) as error:
            problem = error
            continue
        except asyncpg.InvalidAuthorizationSpecificationError as error:  # a wrong password is one of these
            raise ConfigError(f"The database server refused the role: {place} ({one_line(error)})") from error
        except (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError) as error:
            raise Unavailable(f"The database server cannot be reached: {place} ({one_line(error)})") from error
        except (ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
            raise ConfigError(f"database.connection_url cannot be used: {place} ({one_line(error)})") from error
        try:
            yield connection
        finally:
            await connection.close()
        return
    raise ConfigError(
        f"The role may connect to none of the databases {' and '.join(MAINTENANCE)} of the server,"
        f" from which others are made and dropped: {place} ({one_line(problem)})"
    )


def _name(dsn: str) -> str:
    name = database_name(dsn)
    if name is None:
        raise ConfigError(f"database.connection_url names no database: {redacted(dsn)}")
    return name


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
