"""Statements → bytes: the one room that talks to Postgres. Called by app.

Connections are read-only, in UTC, with a fixed search_path and statement_timeout. JSON arrives as bytes and stays so.
"""

import logging
import uuid
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from server_core.db.dsn import plain_dsn
from services.data.errors import (
    BadRequest,
    ConnectionFailed,
    ConstraintError,
    DataError,
    DataException,
    TimedOut,
    Unexpected,
    ValidationFailed,
)

logger = logging.getLogger(__name__)

_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    OSError,
)
"""What a statement fails with when its connection goes away."""

_UNREACHABLE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What connecting fails with, whatever Postgres' reason for refusing is."""

_MOST_PARAMETERS: Final = 32767
"""Postgres' limit."""

_STARTUP: Final = {"application_name": "prefect-server data", "timezone": "UTC", "datestyle": "ISO"}
"""What PgBouncer, too, takes and keeps as parameters of a connection."""

_SESSION: Final = {
    "search_path": "public",
    "default_transaction_read_only": "on",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "jit": "off",
}
"""What is set once the connection stands."""


class Postgres:
    """A pool of connections that runs statements.

    Args:
        dsn: any libpq-style `postgresql://` URL.
        pool_size: most connections.
        statement_cache_size: prepared statements kept per connection.
        statement_timeout: seconds one statement may take; 0 for no limit.
    """

    def __init__(
        self, dsn: str, *, pool_size: int = 8, statement_cache_size: int = 200, statement_timeout: float = 30.0
    ) -> None:
        self._dsn = plain_dsn(dsn)
        self._pool_size = pool_size
        self._statement_cache_size = statement_cache_size
        self._statement_timeout = statement_timeout
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @property
    def pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        """The open pool.

        Raises:
            ConnectionFailed: it is not open.
        """
        if self._pool is None:
            raise ConnectionFailed
        return self._pool

    async def start(self) -> None:
        """Open the pool; one connection is made at once, so that a wrong DSN fails here."""
        self._pool = await asyncpg.create_pool(
            self._dsn,
            min_size=1,
            max_size=self._pool_size,
            max_queries=2**31,
            statement_cache_size=self._statement_cache_size,
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0,
            init=self._prepare,
            reset=_keep_session,
            server_settings=_STARTUP,
        )

    async def stop(self) -> None:
        """Close the pool after the statements in flight."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def run(self, text: str, parameters: Sequence[Any] = ()) -> list[asyncpg.Record]:
        """Run one statement and return its rows.

        A connection that turns out to be dead is replaced once: reading twice does no harm.

        Raises:
            DataError: Postgres refuses the statement or cannot be reached.
        """
        if len(parameters) > _MOST_PARAMETERS:
            raise ValidationFailed(f"the query holds more than {_MOST_PARAMETERS} values")
        try:
            try:
                return await self._fetch(text, parameters)
            except _LOST:
                return await self._fetch(text, parameters)
        except DataError:
            raise
        except Exception as error:
            raise self._translated(error) from error

    async def _prepare(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await connection.set_type_codec("json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")
        session = {**_SESSION, "statement_timeout": str(round(self._statement_timeout * 1000))}
        await connection.execute("; ".join(f"SET {name} TO '{value}'" for name, value in session.items()))

    async def _fetch(self, text: str, parameters: Sequence[Any]) -> list[asyncpg.Record]:
        pool = self.pool
        try:
            connection = await pool.acquire()
        except _UNREACHABLE as error:
            logger.warning("database unreachable: %s", error)
            raise ConnectionFailed from error
        try:
            return await connection.fetch(text, *parameters)
        except _LOST:
            # The pool may not have noticed yet: this connection must not be lent again, nor others of its age.
            connection.terminate()
            await pool.expire_connections()
            raise
        finally:
            await pool.release(connection)

    def _translated(self, error: Exception) -> DataError:
        """Return our error for one of the driver; the only place that knows both."""
        match error:
            case asyncpg.QueryCanceledError():
                return TimedOut(f"the query took longer than {self._statement_timeout:g} s and was stopped")
            case asyncpg.InvalidEscapeSequenceError():
                return BadRequest(_message(error))
            case asyncpg.UndefinedObjectError() | asyncpg.InvalidColumnReferenceError():
                return ConstraintError(_message(error))
            case asyncpg.DataError() if isinstance(error.__cause__, UnicodeEncodeError):
                return DataException("a string holds a character that is not valid Unicode")
            case asyncpg.DataError():
                return DataException(_message(error))
            case asyncpg.ProgramLimitExceededError() | asyncpg.StatementTooComplexError():
                return ValidationFailed("the query is too complex for the database")
        if isinstance(error, _LOST):
            logger.warning("connection lost: %s", error)
            return ConnectionFailed()
        id = uuid.uuid4().hex
        logger.error("statement failed", exc_info=error, extra={"error_id": id})
        return Unexpected(id=id)


def _message(error: asyncpg.PostgresError) -> str:
    return str(getattr(error, "message", None) or error)


async def _keep_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spare a round trip per request: statements here leave nothing behind in the session."""
