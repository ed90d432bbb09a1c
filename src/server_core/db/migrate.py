"""DSN → a database at our newest revisions, or one clear ConfigError. Called by the CLI and each service at start.

There are two chains, the legacy schema and our additions (db/revisions). All servers that start at once agree on who
upgrades by one advisory lock, held on a connection of its own so that a revision may commit.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import asyncpg

from server_core.db import search
from server_core.db.adoption import (
    ATTEMPTS,
    adopt,
    connected_programs,
    refuse_foreign_tables,
    refuse_other_schema,
    refuse_read_only,
)
from server_core.db.connection import BEGIN, database_errors, engine, opened, sqlstate
from server_core.db.legacy import BASELINE, FIRST
from server_core.db.revisions import (
    ADDITIONS,
    LEAVING,
    LEGACY,
    VERSION_TABLES,
    Revisions,
    chain,
    found_revisions,
    head_revisions,
    made_anew,
)
from server_core.db.route import POOLED, look
from server_core.db.waits import Patience, described, watched
from server_core.errors import ConfigError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection as SyncConnection

    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

LOCK = 0x70726566_65637401
"""Key of the advisory lock around an upgrade ("prefect" and a counter)."""

LOCK_PAUSE_SECONDS = 0.2
"""Pause between two attempts to take it."""

LOCK_HOLDER = """
SELECT pid, application_name, state, xact_start
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid = ($1::bigint >> 32)::int::oid AND objid = ($1::bigint & 4294967295)::oid AND objsubid = 1
"""

WITHOUT_ADDITIONS = """
SELECT NOT EXISTS (
    SELECT FROM pg_trigger WHERE tgrelid = to_regclass('public.flow_run') AND tgname = 'notify_live_queries'
)
"""
"""Whether the legacy tables lack what the first of the additions hangs on them."""


async def upgrade(dsn: str, *, patience: Patience | None = None) -> None:
    """Bring the database to the newest revisions; does nothing when it is there already.

    An empty database gets the whole schema, an older legacy one what it lacks (db/adoption), one at the last legacy
    revision is taken as it is; then all get our additions, and `alembic_version` stays as the legacy server knows it.
    Several servers may call this at once: one works, the others wait.

    Args:
        dsn: its URL.
        patience: how long to wait for the transactions of others, and how often to say so.

    Raises:
        ConfigError: the database is another program's or a newer prefect-server's, its schema is not that of its
            revision, it cannot be used, or somebody else's transaction did not end. What is refused is not changed.
        Unavailable: the database cannot be reached.
    """
    patience = patience or Patience()
    async with _locked(dsn, patience) as guard:
        found, head = await ready_to_upgrade(guard), head_revisions()
        if found == head:
            await _complete(guard, dsn, patience)
            return
        if found.legacy is not None and found.additions is None:
            await _tell_who_is_connected(guard)
        if found.legacy not in (None, FIRST, BASELINE):
            async with watched(dsn, patience):
                await _let_go(guard)
                await adopt(dsn, str(found.legacy), patience)
        elif found.legacy != BASELINE:
            first = None if found.legacy is None else "DELETE FROM public.alembic_version"
            await _run(guard, dsn, chain(LEGACY), "upgrade", "head", patience, first=first)
        if found.additions != head.additions:
            await _run(guard, dsn, chain(ADDITIONS), "upgrade", "head", patience)
        await _complete(guard, dsn, patience)
        logger.info("database schema upgraded", extra={"from_revision": str(found), "to_revision": str(head)})


async def _complete(guard: "Connection", dsn: str, patience: Patience) -> None:
    """Build what the schema goes without where pg_trgm cannot be had, if it is there by now."""
    operators, missing = await search.missing_indexes(guard)
    await _let_go(guard)
    if missing:
        async with watched(dsn, patience), opened(dsn) as connection:
            await search.build(connection, operators, missing, patience.timeouts)


async def ready_to_upgrade(connection: "Connection") -> Revisions:
    """Return how far a database is, if this release can bring it to its own revisions, as far as can be told before.

    Raises:
        ConfigError: it cannot; one sentence says why.
    """
    found = await found_revisions(connection)
    found.refuse_unknown()
    if found.additions is not None and await connection.fetchval(WITHOUT_ADDITIONS):
        raise made_anew(f"is at legacy revision {found.legacy}")
    if found == head_revisions():
        return found
    await _refuse_missing_public(connection)
    if found.legacy is None:
        await _refuse_strangers(connection)
    elif found.additions is None:
        await refuse_other_schema(connection, found.legacy)
        await refuse_foreign_tables(connection, found.legacy)
    return found


async def _tell_who_is_connected(connection: "Connection") -> None:
    """Say who else is there while a legacy database is adopted; a monitor may be, the legacy server must not."""
    programs = await connected_programs(connection)
    if programs:
        logger.warning(
            "other programs are connected to the database: %s; the legacy server must be stopped before its database is"
            " upgraded",
            ", ".join(programs),
        )


async def downgrade(dsn: str, *, patience: Patience | None = None) -> None:
    """Take back all our additions: the database is then as the legacy server left it; rows of its tables stay.

    The legacy server does not need this; it is for who leaves for good. Does nothing when there are none.

    Args:
        dsn: its URL.
        patience: how long to wait for the transactions of others.

    Raises:
        ConfigError: the additions are those of a newer prefect-server, or the database cannot be used.
        Unavailable: the database cannot be reached.
    """
    patience = patience or Patience()
    async with _locked(dsn, patience) as guard:
        found = await found_revisions(guard)
        found.refuse_unknown(leaving=True)
        if found.additions is not None:
            config = chain(ADDITIONS)
            config.attributes[LEAVING] = True
            await _run(guard, dsn, config, "downgrade", "base", patience)
            logger.info("additions to the database schema taken back", extra={"from_revision": str(found)})
        await guard.execute(f"DROP TABLE IF EXISTS public.{VERSION_TABLES[ADDITIONS]}")


async def current_revisions(dsn: str) -> Revisions:
    """Return how far the database is.

    Raises:
        ConfigError, Unavailable: as upgrade.
    """
    async with opened(dsn) as connection:
        return await found_revisions(connection)


@asynccontextmanager
async def _locked(dsn: str, patience: Patience) -> AsyncIterator["Connection"]:
    """Open a connection and a transaction that nobody else who changes the schema has at the same time.

    The lock is asked for again and again, not waited for, and each time in a transaction of its own: whoever has it may
    build an index CONCURRENTLY, which waits for the end of every transaction that it once saw at a query. This waiting
    has no limit: the other upgrade, which has one, is what this one is for.
    """
    async with opened(dsn) as guard:
        await refuse_read_only(guard)
        loop = asyncio.get_running_loop()
        told = loop.time()
        while True:
            async with guard.transaction(isolation="read_committed"):
                await guard.execute(BEGIN)
                await guard.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                await guard.execute("SET LOCAL lock_timeout = 0")
                await guard.execute("SET LOCAL statement_timeout = 0")
                if await guard.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK):
                    yield guard
                    return
                if loop.time() - told >= patience.tell_seconds:
                    told = loop.time()
                    for row in await guard.fetch(LOCK_HOLDER, LOCK):
                        logger.warning("waiting for another upgrade of this database: %s", described(row))
            await asyncio.sleep(LOCK_PAUSE_SECONDS)


async def _let_go(guard: "Connection") -> None:
    """Give up the snapshot of the guard's last query; an index is not built CONCURRENTLY while there is an older one.

    A query of the extended protocol keeps its snapshot inside a transaction until the next query, one of the simple
    protocol does not.
    """
    await guard.execute("SELECT 1")


async def _run(
    guard: "Connection",
    dsn: str,
    config: "Config",
    what: Literal["upgrade", "downgrade"],
    target: str,
    patience: Patience,
    *,
    first: str | None = None,
) -> None:
    """Run a command on a chain; anew, from where it was, when Postgres ends it because it and a writer waited for each
    other. Servers that write meanwhile have the tables that it changes in any order.

    `first` runs before it in the same transaction.
    """
    from alembic import command  # see db/connection.engine
    from sqlalchemy import event, text

    pooled = (await look(guard)).pooled
    await _let_go(guard)
    timeouts = patience.timeouts.split(";")

    def limit(connection: "SyncConnection") -> None:
        for timeout in timeouts:
            connection.exec_driver_sql(timeout.replace("SET ", "SET LOCAL ", 1))

    def migrate(connection: "SyncConnection") -> None:
        connection.info[POOLED] = pooled
        if not pooled:
            for timeout in timeouts:
                connection.exec_driver_sql(timeout)
        connection.commit()
        if first is not None:
            connection.execute(text(first))
        config.attributes["connection"] = connection
        getattr(command, what)(config, target)

    migrations = engine(dsn)
    if pooled:
        event.listen(migrations.sync_engine, "begin", limit)
    try:
        async with watched(dsn, patience):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    async with migrations.connect() as connection:
                        await connection.run_sync(migrate)
                        await connection.commit()
                    return
                except database_errors() as error:
                    if sqlstate(error) != asyncpg.DeadlockDetectedError.sqlstate or attempt == ATTEMPTS:
                        raise
                    logger.warning("a change of the schema and a writer waited for each other; it is tried again")
    finally:
        await migrations.dispose()


async def _refuse_missing_public(connection: "Connection") -> None:
    """Refuse a database whose schema `public` was dropped; making it would need a privilege."""
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
