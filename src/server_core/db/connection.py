"""DSN → a connection for work on the schema, or one clear error. Called by db/migrate, db/adoption and db/plan.

What Postgres or the network say when they refuse is told in our words here, once.
"""

import asyncio
import logging
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import asyncpg

from server_core.db.dsn import plain_dsn, redacted
from server_core.db.route import STARTUP, look
from server_core.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

APPLICATION = "prefect-server migrations"

NOT_READY = (
    OSError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    TimeoutError,
)
"""What a database that is not there yet, is starting or is stopping answers: worth another attempt."""


BEGIN = (
    "SELECT set_config('search_path', 'public', true),"
    " set_config('transaction_read_only', CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END, true)"
)
"""What each transaction on the schema begins with, whatever the role or the database says."""


def engine(dsn: str) -> "AsyncEngine":
    """Return an engine for migrations only. The driver reads the DSN itself, so no part of it is rewritten.

    It names no prepared statements, of which poolers know nothing, and begins each transaction with what it needs.
    """
    # SQLAlchemy and Alembic are imported by who migrates: a server that finds its schema as it should be goes without
    # them, which saves it half a second and 25 MB.
    from sqlalchemy import event
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    plain = plain_dsn(dsn)

    async def connect() -> "Connection":
        return await _connect(plain)

    arguments = {"async_creator_fn": connect, "prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
    made = create_async_engine("postgresql+asyncpg://", connect_args=arguments, poolclass=NullPool)
    event.listen(made.sync_engine, "begin", lambda connection: connection.exec_driver_sql(BEGIN))
    return made


async def wait_until_ready(dsn: str, *, retry_seconds: float, timeout_seconds: float = 0.0) -> None:
    """Return when the database accepts connections.

    Args:
        dsn: its URL.
        retry_seconds: pause between two attempts; the first failure is logged, the following are not.
        timeout_seconds: give up after this long; 0 waits for ever.

    Raises:
        ConfigError: waiting cannot help (password, role, database, certificate, the URL itself).
        Unavailable: the time is over.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    waiting = False
    while True:
        try:
            async with opened(dsn):
                pass
        except Unavailable as error:
            if timeout_seconds and loop.time() - started + retry_seconds > timeout_seconds:
                raise
            if not waiting:
                logger.warning("waiting for the database: %s", error.message)
                waiting = True
            await asyncio.sleep(retry_seconds)
        else:
            if waiting:
                logger.info("the database is there")
            return


async def _connect(plain: str) -> "Connection":
    """Connect for schema work: nothing that a role or a database sets stands in its way.

    What must be otherwise is set once for the connection, or through a pooler at the beginning of each transaction.
    """
    connection = await asyncpg.connect(
        plain, timeout=10, statement_cache_size=0, server_settings={**STARTUP, "application_name": APPLICATION}
    )
    route = await look(connection)
    if not route.pooled:
        for name, value in route.deviations.items():
            await connection.execute(f"SET {name} TO '{value}'")
    return connection


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator["Connection"]:
    plain = plain_dsn(dsn)
    place = redacted(dsn)
    try:
        connection = await _connect(plain)
    except asyncpg.InvalidPasswordError as error:
        raise ConfigError(f"The database refused the password: {place} ({one_line(error)})") from error
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise ConfigError(f"The database refused the role: {place} ({one_line(error)})") from error
    except asyncpg.InvalidCatalogNameError as error:
        raise ConfigError(f"The database does not exist: {place} ({one_line(error)}); create it first") from error
    except ssl.SSLError as error:
        raise ConfigError(f"The TLS connection to the database failed: {place} ({one_line(error)})") from error
    except NOT_READY as error:
        if isinstance(error, FileNotFoundError) and "ssl" in plain.partition("?")[2]:  # a certificate, not the socket
            raise ConfigError(f"database.connection_url cannot be used: {place} ({one_line(error)})") from error
        raise Unavailable(f"The database cannot be reached: {place} ({one_line(error)})") from error
    except (ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        raise ConfigError(f"database.connection_url cannot be used: {place} ({one_line(error)})") from error
    try:
        with explained(place):
            yield connection
    except asyncpg.InterfaceError as error:  # from the end of a transaction whose connection is gone
        if connection.is_closed():
            raise Unavailable(f"The database went away: {place} ({one_line(error)})") from error
        raise
    finally:
        await connection.close()


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Say in our words what goes wrong after the connection was made; other errors are defects and stay as they are."""
    try:
        yield
    except database_errors() as error:
        cause = getattr(error, "orig", error)
        if sqlstate(error) == asyncpg.InsufficientPrivilegeError.sqlstate:
            raise ConfigError(
                f"The role may not make the schema: {place} ({one_line(cause)}); {_remedy(str(cause))}"
            ) from error
        if isinstance(error, NOT_READY) or getattr(error, "connection_invalidated", False):
            raise Unavailable(f"The database went away: {place} ({one_line(cause)})") from error
        raise


def _remedy(refusal: str) -> str:
    """Return what the owner of the server can do about a refusal."""
    if "extension" in refusal:
        return "before version 13 Postgres needs one: as a superuser, CREATE EXTENSION pgcrypto WITH SCHEMA public"
    if "schema public" in refusal:
        return "from version 15 on it is closed to roles: GRANT CREATE, USAGE ON SCHEMA public TO that role"
    return "let it own the database, and the tables in it"


def database_errors() -> tuple[type[Exception], ...]:
    """Return what Postgres' refusals are raised as: by asyncpg, and by SQLAlchemy if anybody uses it."""
    loaded = sys.modules.get("sqlalchemy.exc")
    return (asyncpg.PostgresError,) if loaded is None else (asyncpg.PostgresError, loaded.DBAPIError)


def sqlstate(error: BaseException) -> str | None:
    """Return Postgres' code of one of `database_errors`."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def one_line(error: BaseException | None) -> str:
    """Return an error as one line of text."""
    return " ".join(str(error).split()) or type(error).__name__
