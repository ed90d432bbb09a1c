"""DSN → a database at our newest revision, or one clear ConfigError. Called by the CLI and each service at start.

Revisions live in `migrations/` of a checkout and in `server_core/_migrations` of a wheel. All servers that start at
once agree on who upgrades by one advisory lock, held on a connection of its own so that a revision may commit.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from server_core.db.dsn import plain_dsn, redacted
from server_core.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

BASELINE = "ac5747fb571c"
"""The last legacy revision and our first (schema.md §1)."""

LEGACY_REVISIONS = frozenset(
    {
        "27811b58307b",
        "72e2cd3e0469",
        "c4d792bdd05e",
        "3398e4807bfb",
        "b9086bd4b962",
        "c1f317aa658c",
        "6611fd0ccc73",
        "70528cee0d2b",
        "9cb7539b7363",
        "e148cf9f1e5b",
        "850b76d44332",
        "24f10aeee83e",
        "3c87ad7e0b71",
        "57ac2cb01ac1",
        "7ca57ea2fdff",
        "9116e81c6dc2",
        "459a61bedc9e",
        "a666a3f4e422",
    }
)
"""Revisions of older legacy releases (schema.md §2); their databases are upgraded by the last legacy release."""

LOCK = 0x70726566_65637401
"""Key of the advisory lock around an upgrade ("prefect" and a counter)."""

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


def migrations_folder() -> Path:
    """Return the folder of the revisions: beside the package in a wheel, at the root of a checkout.

    Raises:
        ConfigError: there is none; the installation is broken.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_migrations", package.parents[1] / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigError(f"The migrations are missing beside {package}; install prefect-server again.")


def engine(dsn: str) -> AsyncEngine:
    """Return an engine for migrations only. The driver reads the DSN itself, so no part of it is rewritten."""
    plain = plain_dsn(dsn)

    async def connect() -> "Connection":
        return await _connect(plain)

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)


async def upgrade(dsn: str) -> None:
    """Bring the database to the newest revision; does nothing when it is there already.

    An empty database gets the whole schema, a legacy database at its last revision is taken as it is. Several servers
    may call this at once: one works, the others wait.

    Raises:
        ConfigError: the database is of an older legacy release or of a newer prefect-server, or cannot be used.
        Unavailable: the database cannot be reached.
    """
    async with _opened(dsn) as guard, guard.transaction():
        await guard.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        await guard.execute("SET LOCAL lock_timeout = 0")
        await guard.execute("SET LOCAL statement_timeout = 0")
        await guard.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        config = _config()
        script = ScriptDirectory.from_config(config)
        head = script.get_current_head()
        found = await _revision(guard)
        if found == head:
            return
        if found is None:
            await _refuse_strangers(guard)
        else:
            _refuse_unknown(found, {revision.revision for revision in script.walk_revisions()})
        await _ensure_public(guard)
        await _run(dsn, config)
        logger.info("database schema upgraded", extra={"from_revision": found, "to_revision": head})


async def current_revision(dsn: str) -> str | None:
    """Return the revision the database is at, or None if it has no schema yet.

    Raises:
        ConfigError, Unavailable: as upgrade.
    """
    async with _opened(dsn) as connection:
        return await _revision(connection)


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
        plain, timeout=10, statement_cache_size=0, server_settings={"application_name": "prefect-server migrations"}
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


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Say in our words what goes wrong after the connection was made; other errors are defects and stay as they are."""
    try:
        yield
    except (asyncpg.PostgresError, DBAPIError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if getattr(cause, "sqlstate", None) == asyncpg.InsufficientPrivilegeError.sqlstate:
            raise ConfigError(
                f"The role may not make the schema: {place} ({_line(cause)}); let it own the database"
            ) from error
        if isinstance(error, NOT_READY) or getattr(error, "connection_invalidated", False):
            raise Unavailable(f"The database went away: {place} ({_line(cause)})") from error
        raise


def _line(error: BaseException | None) -> str:
    """Return an error as one line of text."""
    return " ".join(str(error).split()) or type(error).__name__


def _config() -> Config:
    config = Config()
    # ConfigParser reads % as the start of an interpolation; a folder may have one in its name.
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def _run(dsn: str, config: Config) -> None:
    def migrate(connection: SyncConnection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

    migrations = engine(dsn)
    try:
        async with migrations.connect() as connection:
            await connection.run_sync(migrate)
            await connection.commit()
    finally:
        await migrations.dispose()


async def _revision(connection: "Connection") -> str | None:
    if await connection.fetchval("SELECT to_regclass('public.alembic_version')") is None:
        return None
    revision: Any = await connection.fetchval("SELECT version_num FROM public.alembic_version")
    return None if revision is None else str(revision)


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


def _refuse_unknown(found: str, known: set[str]) -> None:
    if found in LEGACY_REVISIONS:
        raise ConfigError(
            f"The database is at revision {found} of an older legacy release:"
            " upgrade with the last legacy release first, then start this server."
        )
    if found not in known:
        raise ConfigError(
            f"The database is at revision {found}, which this release does not know:"
            " it belongs to a newer prefect-server or to another program."
        )
