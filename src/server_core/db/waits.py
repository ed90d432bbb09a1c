"""Work that waits for others → a log of whom it waits for, and an end to it. Called by db/migrate.

Nobody but the other program can end its transaction, so an upgrade beside one that never ends would wait for ever.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg

from server_core.db.connection import APPLICATION, database_errors, opened, sqlstate
from server_core.errors import ConfigError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

WAIT_SECONDS = 300.0
"""Longest wait for one other transaction, unless something else is said."""

LOOKS = 4
"""How often, at least, it is looked whom somebody waits for before he gives up."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long an upgrade waits for the transactions of others.

    Attributes:
        wait_seconds: it gives up after waiting this long for one lock; 0: never.
        tell_seconds: pause between two looks at whom it waits for, which is then logged.
    """

    wait_seconds: float = WAIT_SECONDS
    tell_seconds: float = 10.0

    @property
    def timeouts(self) -> str:
        """Statements that give a connection these limits instead of those of its role."""
        return (
            f"SET lock_timeout = {round(self.wait_seconds * 1000)}; SET statement_timeout = 0;"
            " SET idle_in_transaction_session_timeout = 0"
        )

    @property
    def look_seconds(self) -> float:
        """Pause between two looks: what was seen must be new when somebody gives up."""
        return min(self.tell_seconds, self.wait_seconds / LOOKS) if self.wait_seconds else self.tell_seconds


@dataclass
class _Watch:
    """What the last look saw: (process, what to say of it)."""

    seen: dict[int, str] = field(default_factory=dict)


@asynccontextmanager
async def watched(dsn: str, patience: Patience) -> AsyncIterator[None]:
    """Log whom the work inside waits for, each time that changes.

    Raises:
        ConfigError: it waited for too long; says for whom.
    """
    done = asyncio.Event()
    watch = _Watch()
    watching = asyncio.create_task(_look(dsn, patience, watch, done))
    try:
        yield
    except database_errors() as error:
        if sqlstate(error) != asyncpg.LockNotAvailableError.sqlstate:
            raise
        raise ConfigError(
            f"The upgrade waited {patience.wait_seconds:g} s for the transaction of another connection and gave up:"
            f" {'; '.join(watch.seen.values()) or 'it has ended meanwhile'}. What was finished stays, and the database"
            " can be used as before; stop that program (or run"
            f" {' '.join(f'SELECT pg_terminate_backend({pid});' for pid in watch.seen) or 'the upgrade'}) and upgrade"
            " again, or wait longer with database.upgrade_wait_seconds."
        ) from error
    finally:
        done.set()
        await asyncio.gather(watching, return_exceptions=True)


async def _look(dsn: str, patience: Patience, watch: _Watch, done: asyncio.Event) -> None:
    """Look now and then, on a connection without a transaction: an index that is built would wait for that too.

    Ended by an event, as a connection that is just being made is lost when its task is cancelled.
    """
    while True:
        try:
            async with asyncio.timeout(patience.look_seconds):
                await done.wait()
            return
        except TimeoutError:
            pass
        async with opened(dsn) as connection:
            waited_for = await connection.fetch(_WAITED_FOR, APPLICATION)
        seen = {row["pid"]: described(row) for row in waited_for}
        if seen.keys() != watch.seen.keys():
            for pid, what in seen.items():
                logger.warning(
                    "the upgrade waits for the transaction of another connection: %s; if it does not end by itself,"
                    " stop its program or pg_terminate_backend(%s)",
                    what,
                    pid,
                )
        watch.seen = seen


def described(row: asyncpg.Record) -> str:
    """Return who a connection is, from its row of pg_stat_activity."""
    since = row["xact_start"]
    return (
        f"process {row['pid']} of Postgres ({row['application_name'] or 'unnamed'}, {row['state'] or 'state unknown'}"
        f" since {since:%Y-%m-%d %H:%M:%S %Z})"
        if since
        else f"process {row['pid']} of Postgres ({row['application_name'] or 'unnamed'})"
    )


_WAITED_FOR = """
SELECT DISTINCT other.pid, other.application_name, other.state, other.xact_start
FROM pg_stat_activity AS upgrade
JOIN pg_stat_activity AS other ON other.pid = ANY(pg_blocking_pids(upgrade.pid))
WHERE upgrade.application_name = $1
    AND upgrade.datname = current_database()
    AND other.application_name <> upgrade.application_name
ORDER BY other.pid
"""
