"""DSN → a database at our newest revisions, or one clear ConfigError. Called by the CLI and each service at start.

There are two chains, the legacy schema and our additions (db/revisions). All servers that start at once agree on who
upgrades by one advisory lock, held on a connection of its own so that a revision may commit.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from server_core.db.dsn import plain_dsn, redacted
from server_core.db.revisions import (
    ADDITIONS,
    LEGACY,
    VERSION_TABLES,
    Revisions,
    chain,
    found_revisions,
    head_revisions,
)
from server_core.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

APPLICATION = "prefect-server migrations"

LOCK = 0x70726566_65637401
"""Key of the advisory lock around an upgrade ("prefect" and a counter)."""

LOCK_PAUSE_SECONDS = 0.2
"""Pause between two attempts to take it."""

ATTEMPTS = 10
"""How often a chain is begun anew because it and a writer waited for each other."""

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


def engine(dsn: str) -> AsyncEngine:
    """Return an engine for migrations only. The driver reads the DSN itself, so no part of it is rewritten."""
    plain = plain_dsn(dsn)

    async def connect() -> "Connection":
        return await _connect(plain)

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)


async def upgrade(dsn: str, *, tell_seconds: float = 10.0) -> None:
    """Bring the database to the newest revisions; does nothing when it is there already.

    An empty database gets the whole schema, a legacy database at its last revision is taken as it is; then both get our
    additions, and `alembic_version` stays as the legacy server knows it. Several servers may call this at once: one
    works, the others wait.

    Args:
        dsn: its URL.
        tell_seconds: pause between two looks at whom the upgrade waits for, which is then logged.

    Raises:
        ConfigError: the database is of an older legacy release or of a newer prefect-server, or cannot be used.
        Unavailable: the database cannot be reached.
    """
    async with _locked(dsn) as guard:
        found, head = await found_revisions(guard), head_revisions()
        if found == head:
            return
        found.refuse_unknown()
        if found.legacy is None:
            await _refuse_strangers(guard)
        await _ensure_public(guard)
        for name, before, after in (
            (LEGACY, found.legacy, head.legacy),
            (ADDITIONS, found.additions, head.additions),
        ):
            if before != after:
                async with _watched(dsn, tell_seconds):
                    await _run(guard, dsn, chain(name), command.upgrade, "head")
        logger.info("database schema upgraded", extra={"from_revision": str(found), "to_revision": str(head)})


async def downgrade(dsn: str) -> None:
    """Take back all our additions: the database is then as the legacy server left it; rows of its tables stay.

    The legacy server does not need this; it is for who leaves for good. Does nothing when there are none.

    Raises:
        ConfigError: the additions are those of a newer prefect-server, or the database cannot be used.
        Unavailable: the database cannot be reached.
    """
    async with _locked(dsn) as guard:
        found = await found_revisions(guard)
        found.refuse_unknown()
        if found.additions is not None:
            await _run(guard, dsn, chain(ADDITIONS), command.downgrade, "base")
            logger.info("additions to the database schema taken back", extra={"from_revision": str(found)})
        await guard.execute(f"DROP TABLE IF EXISTS public.{VERSION_TABLES[ADDITIONS]}")


async def current_revisions(dsn: str) -> Revisions:
    """Return how far the database is.

    Raises:
        ConfigError, Unavailable: as upgrade.
    """
    async with _opened(dsn) as connection:
        return await found_revisions(connection)


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
            async with _opened(dsn):
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
    """Connect for schema work: names without a schema mean `public`, whatever the role's search_path.

    Set only where it is needed and never as a connection parameter, which PgBouncer would refuse.
    """
    connection = await asyncpg.connect(
        plain, timeout=10, statement_cache_size=0, server_settings={"application_name": APPLICATION}
    )
    schemas = await connection.fetchval("SELECT current_schemas(false)")
    if schemas[:1] != ["public"]:
        await connection.execute("SET search_path TO public")
    return connection


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator["Connection"]:
    plain = plain_dsn(dsn)
    place = redacted(dsn)
    try:
        connection = await _connect(plain)
    except asyncpg.InvalidPasswordError as error:
        raise ConfigError(f"The database refused the password: {place} ({_line(error)})") from error
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise ConfigError(f"The database refused the role: {place} ({_line(error)})") from error
    except asyncpg.InvalidCatalogNameError as error:
        raise ConfigError(f"The database does not exist: {place} ({_line(error)}); create it first") from error
    except ssl.SSLError as error:
        raise ConfigError(f"The TLS connection to the database failed: {place} ({_line(error)})") from error
    except NOT_READY as error:
        if isinstance(error, FileNotFoundError) and "ssl" in plain.partition("?")[2]:  # a certificate, not the socket
            raise ConfigError(f"database.connection_url cannot be used: {place} ({_line(error)})") from error
        raise Unavailable(f"The database cannot be reached: {place} ({_line(error)})") from error
    except (ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        raise ConfigError(f"database.connection_url cannot be used: {place} ({_line(error)})") from error
    try:
        with _explained(place):
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _locked(dsn: str) -> AsyncIterator["Connection"]:
    """Open a connection and a transaction that nobody else who changes the schema has at the same time."""
    async with _opened(dsn) as guard, guard.transaction():
        await guard.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await guard.execute("SET LOCAL lock_timeout = 0")
        await guard.execute("SET LOCAL statement_timeout = 0")
        await _take_lock(guard)
        yield guard


async def _take_lock(guard: "Connection") -> None:
    """Take the lock of an upgrade.

    Asked for again and again, not waited for: whoever has it may build an index CONCURRENTLY, which waits for every
    statement that runs, such as one that waits for the lock.
    """
    while not await guard.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
        await _let_go(guard)
        await asyncio.sleep(LOCK_PAUSE_SECONDS)


async def _let_go(guard: "Connection") -> None:
    """Give up the snapshot of the guard's last query; an index is not built CONCURRENTLY while there is an older one.

    A query of the extended protocol keeps its snapshot inside a transaction until the next query, one of the simple
    protocol does not.
    """
    await guard.execute("SELECT 1")


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Say in our words what goes wrong after the connection was made; other errors are defects and stay as they are."""
    try:
        yield
    except (asyncpg.PostgresError, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if _sqlstate(error) == asyncpg.InsufficientPrivilegeError.sqlstate:
            raise ConfigError(
                f"The role may not make the schema: {place} ({_line(cause)}); let it own the database"
            ) from error
        if isinstance(error, NOT_READY) or getattr(error, "connection_invalidated", False):
            raise Unavailable(f"The database went away: {place} ({_line(cause)})") from error
        raise


def _sqlstate(error: asyncpg.PostgresError | DBAPIError) -> str | None:
    return getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None)


def _line(error: BaseException | None) -> str:
    """Return an error as one line of text."""
    return " ".join(str(error).split()) or type(error).__name__


async def _run(guard: "Connection", dsn: str, config: Config, what: Callable[[Config, str], None], target: str) -> None:
    """Run a command on a chain; anew, from where it was, when Postgres ends it because it and a writer waited for each
    other. Servers that write meanwhile have the tables that it changes in any order.
    """
    await _let_go(guard)

    def migrate(connection: SyncConnection) -> None:
        config.attributes["connection"] = connection
        what(config, target)

    migrations = engine(dsn)
    try:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with migrations.connect() as connection:
                    await connection.run_sync(migrate)
                    await connection.commit()
                return
            except (asyncpg.PostgresError, DBAPIError) as error:
                if _sqlstate(error) != asyncpg.DeadlockDetectedError.sqlstate or attempt == ATTEMPTS:
                    raise
                logger.warning("a change of the schema and a writer waited for each other; it is tried again")
    finally:
        await migrations.dispose()


@asynccontextmanager
async def _watched(dsn: str, tell_seconds: float) -> AsyncIterator[None]:
    """Log whom the work inside waits for, each time that changes."""
    done = asyncio.Event()
    watching = asyncio.create_task(_tell_who_is_waited_for(dsn, tell_seconds, done))
    try:
        yield
    finally:
        done.set()
        await asyncio.gather(watching, return_exceptions=True)


async def _tell_who_is_waited_for(dsn: str, tell_seconds: float, done: asyncio.Event) -> None:
    """Look now and then, on a connection without a transaction: an index that is built would wait for that too.

    Ended by an event, as a connection that is just being made is lost when its task is cancelled.
    """
    told: list[int] = []
    while True:
        try:
            async with asyncio.timeout(tell_seconds):
                await done.wait()
            return
        except TimeoutError:
            pass
        async with _opened(dsn) as connection:
            waited_for = await connection.fetch(_WAITED_FOR, APPLICATION)
        pids = [row["pid"] for row in waited_for]
        for row in waited_for if pids != told else ():
            logger.warning(
                "the upgrade waits for the transaction of another connection: process %s of Postgres (%s, %s since %s);"
                " if it does not end by itself, stop its program or pg_terminate_backend(%s)",
                row["pid"],
                row["application_name"] or "unnamed",
                row["state"],
                row["xact_start"],
                row["pid"],
            )
        told = pids


_WAITED_FOR = """
SELECT DISTINCT other.pid, other.application_name, other.state, other.xact_start
FROM pg_stat_activity AS upgrade
JOIN pg_stat_activity AS other ON other.pid = ANY(pg_blocking_pids(upgrade.pid))
WHERE upgrade.application_name = $1
    AND upgrade.datname = current_database()
    AND other.application_name <> upgrade.application_name
ORDER BY other.pid
"""


async def _ensure_public(connection: "Connection") -> None:
    """Make the schema `public` if someone dropped it; asking for it in any case would need a privilege."""
    if await connection.fetchval("SELECT to_regnamespace('public')") is None:
        raise ConfigError("The database has no schema `public`: CREATE SCHEMA public; and start again.")


async def _refuse_strangers(connection: "Connection") -> None:
    """Refuse a database that has tables of our names but no revision: someone else's, or half of a restore."""
    taken = await connection.fetchval(
        "SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')"
        " AND relname IN ('tenant', 'flow', 'flow_run', 'task_run', 'task')"
    )
    if taken is not None:
        raise ConfigError(
            f"The database already has tables named {taken} but no schema revision (alembic_version is missing or"
            " empty); use an empty database, or restore the whole of the old one."
        )
