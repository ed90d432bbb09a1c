"""Statements → bytes: the one room that talks to Postgres. Called by app.

Connections are in UTC, with a fixed search_path and statement_timeout, and read-only unless they are for mutations
(write). JSON arrives as bytes and stays so.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from server_core.db.contact import Contact
from server_core.db.dsn import plain_dsn
from server_core.db.route import STARTUP, STATEMENT_REFUSED, Route, local_settings, look_up, refused_statement
from server_core.db.warm import RELEASE_SECONDS, WarmPool
from server_core.errors import Overloaded
from server_core.gate import Gate
from services.data.errors import (
    BadRequest,
    Busy,
    CheckViolation,
    ConnectionFailed,
    ConstraintError,
    ConstraintViolation,
    DataError,
    DataException,
    TimedOut,
    Unexpected,
    ValidationFailed,
)
from services.data.weighing import TooHeavy, WeighingConnection, fetch_weighed, weigh_json

if TYPE_CHECKING:
    from asyncpg.cursor import Cursor

    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]

logger = logging.getLogger(__name__)

LOST: Final = (
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

_VIOLATIONS: Final = {
    "23001": "Can not delete or update due to data being referred",
    "23502": "Not-NULL violation",
    "23503": "Foreign key violation",
    "23505": "Uniqueness violation",
    "23P01": "Exclusion violation",
}
"""How messages begin, by SQLSTATE (data-api.md §2.6)."""

CONNECT_SECONDS: Final = 10.0
"""Longest wait for a new connection."""

_LARGEST_KEPT_WRITE: Final = 16 * 1024
"""Longer statements are not kept prepared: their text depends on the number of rows."""

_MOST_PARAMETERS: Final = 32767
"""Postgres' limit."""

_SESSION: Final = {
    "search_path": "public",
    "default_transaction_isolation": "read committed",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "jit": "off",
}
"""What is set once the connection stands; through a pooler, in each transaction."""


class NotBegun(Exception):
    """The connection was dead before anything of a transaction was sent."""

    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


class Postgres:
    """A pool of connections that runs statements.

    Args:
        dsn: any libpq-style `postgresql://` URL.
        pool_size: most connections.
        statement_cache_size: prepared statements kept per connection; None: by what the DSN leads to.
        statement_timeout: seconds one statement may take; 0 for no limit.
        read_only: Postgres refuses whatever writes. If not, connections are made when first needed.
        waiting: most that wait for a connection.
        wait_seconds: longest wait for one.
        contact: told whether the database answers.

    Attributes:
        statement_timeout: as given.
    """

    def __init__(
        self,
        dsn: str,
        *,
        pool_size: int = 8,
        statement_cache_size: int | None = None,
        statement_timeout: float = 30.0,
        read_only: bool = True,
        waiting: int = 1000,
        wait_seconds: float = 5.0,
        contact: Contact | None = None,
    ) -> None:
        self._dsn = plain_dsn(dsn)
        self._pool_size = pool_size
        self._statement_cache_size = statement_cache_size
        self.statement_timeout = statement_timeout
        self._read_only = read_only
        self._contact = contact or Contact(logger)
        self._gate = Gate(places=pool_size, waiting=waiting, seconds=wait_seconds)
        self._pool: WarmPool | None = None
        self._route = Route()

    @property
    def pool(self) -> WarmPool:
        """The open pool.

        Raises:
            ConnectionFailed: it is not open.
        """
        if self._pool is None:
            raise ConnectionFailed
        return self._pool

    def open_pool(self) -> WarmPool | None:
        """Return the pool, for its figures; None while it is not open."""
        return self._pool

    def is_waited_for(self) -> bool:
        """Tell whether somebody waits for a connection."""
        return self._gate.is_waited_for()

    async def start(self) -> None:
        """Open the pool; connections are made at once, so that a wrong DSN fails here."""
        self._route = await look_up(self._dsn)
        pool = await asyncpg.create_pool(
            self._dsn,
            timeout=CONNECT_SECONDS,
            min_size=1 if self._read_only else 0,
            max_size=self._pool_size,
            max_queries=2**31,
            statement_cache_size=self._route.statement_cache_size(self._statement_cache_size),
            max_cached_statement_lifetime=0,
            max_cacheable_statement_size=0 if self._read_only else _LARGEST_KEPT_WRITE,
            connection_class=WeighingConnection,
            init=self._prepare,
            reset=_keep_session if self._read_only else _end_transaction,
            server_settings={**STARTUP, "application_name": "prefect-server data"},
        )
        self._pool = WarmPool(pool)

    async def stop(self) -> None:
        """Close the pool after the statements in flight."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def run(
        self, text: str, parameters: Sequence[Any] = (), *, heaviest: int | None = None
    ) -> list[asyncpg.Record]:
        """Run one statement and return its rows.

        A connection that turns out to be dead is replaced once: reading twice does no harm.

        Args:
            text, parameters: the statement.
            heaviest: bytes that its JSON may have; None for any number.

        Raises:
            DataError: Postgres refuses the statement or cannot be reached.
            TooHeavy: its JSON is larger.
        """
        check_number(parameters)
        try:
            try:
                return await self._fetch(text, parameters, heaviest)
            except LOST:
                return await self._fetch(text, parameters, heaviest)
        except (DataError, TooHeavy):
            raise
        except Exception as error:
            raise self.translated(error) from error

    @asynccontextmanager
    async def lent(self) -> "AsyncIterator[Connection]":
        """Lend a connection; one that turns out to be dead is not lent again.

        Raises:
            ConnectionFailed: there is none to be had.
            Busy: nor was there one in time.
        """
        pool = self.pool
        connection = await self._borrowed(pool)
        try:
            yield connection
        except BaseException as error:
            await self._after(pool, connection, error)
            raise
        self._returned(pool, connection)

    async def _borrowed(self, pool: WarmPool) -> "Connection":
        if not self._gate.enter_at_once():
            try:
                await self._gate.enter()
            except Overloaded as error:
                raise Busy(error.message) from error
        try:
            return await pool.borrow()
        except BaseException as error:
            self._gate.leave()
            if isinstance(error, _UNREACHABLE):
                self._contact.lost(error)
                raise ConnectionFailed from error
            raise

    def _returned(self, pool: WarmPool, connection: "Connection") -> None:
        """Take back a connection that did what it was borrowed for."""
        self._contact.found()
        pool.give_back(connection)
        self._gate.leave()

    async def _after(self, pool: WarmPool, connection: "Connection", error: BaseException) -> None:
        """Take back a connection whose borrower failed."""
        try:
            if isinstance(error, LOST):
                self._contact.lost(error)
                await pool.lost(connection)
            else:
                await pool.give_up(connection)
        finally:
            self._gate.leave()

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[Connection]":
        """Lend a connection in a transaction, which is committed if the block ends without an exception.

        Raises:
            NotBegun: the connection was dead before anything was sent.
            ConnectionFailed: there is none to be had.
        """
        async with self.lent() as connection:
            transaction = connection.transaction()
            try:
                await transaction.start()
                if self._route.pooled:
                    await connection.execute(local_settings(self._session()))
            except LOST as error:
                raise NotBegun(error) from error
            try:
                yield connection
            except BaseException:
                with suppress(TimeoutError):  # then the pool closes the connection
                    async with asyncio.timeout(RELEASE_SECONDS):
                        await transaction.rollback()
                raise
            await transaction.commit()

    async def portal(self, connection: "Connection", text: str, parameters: Sequence[Any]) -> "Cursor[asyncpg.Record]":
        """Return the rows of a statement, to be fetched piece by piece in the transaction that the connection is in."""
        if not self._route.pooled:
            return await connection.cursor(text, *parameters)
        # By itself the driver makes a cursor of a statement with a name, which it counts in each process alike, and
        # leaves behind for whoever has the server connection next. One without a name is replaced by the next; so it is
        # prepared twice, since the first time the driver may have asked for types meanwhile.
        await connection.prepare(text, name="")
        statement = await connection.prepare(text, name="")
        return await statement.cursor(*parameters)

    async def _prepare(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await weigh_json(connection)
        if not self._route.pooled:
            await connection.execute("; ".join(f"SET {name} TO '{value}'" for name, value in self._session().items()))

    def _session(self) -> dict[str, str]:
        return {
            **_SESSION,
            "default_transaction_read_only": "on" if self._read_only else "off",
            "statement_timeout": str(round(self.statement_timeout * 1000)),
        }

    async def _fetch(self, text: str, parameters: Sequence[Any], heaviest: int | None) -> list[asyncpg.Record]:
        if self._route.pooled:
            try:
                async with self.transaction() as connection:
                    if heaviest is not None:
                        return await fetch_weighed(connection, text, parameters, heaviest=heaviest)
                    return await connection.fetch(text, *parameters)
            except NotBegun as error:
                raise error.cause from error
        pool = self.pool  # and on as lent does, without what a context manager costs
        connection = await self._borrowed(pool)
        try:
            if heaviest is None:
                rows = await connection.fetch(text, *parameters)
            else:
                rows = await fetch_weighed(connection, text, parameters, heaviest=heaviest)
        except BaseException as error:
            await self._after(pool, connection, error)
            raise
        self._returned(pool, connection)
        return rows

    def translated(self, error: Exception, path: str = "$") -> DataError:
        """Return our error for one of the driver; the only place that knows both. `path`: what it is about."""
        match error:
            case asyncpg.CheckViolationError() | asyncpg.WithCheckOptionViolationError():
                return CheckViolation(f"Check constraint violation. {_message(error)}", path=path)
            case asyncpg.IntegrityConstraintViolationError():
                kind = _VIOLATIONS.get(error.sqlstate or "", "Constraint violation")
                return ConstraintViolation(f"{kind}. {_message(error)}", path=path)
            case asyncpg.QueryCanceledError():
                return TimedOut("Operation timed out", path=path)  # the UI compares these words (actions.md §0.3)
            case _ if isinstance(error, STATEMENT_REFUSED):
                refused_statement()
                return ConnectionFailed()
            case asyncpg.InvalidEscapeSequenceError():
                return BadRequest(_message(error), path=path)
            case (
                asyncpg.UndefinedObjectError()
                | asyncpg.InvalidColumnReferenceError()
                | asyncpg.CardinalityViolationError()
                | asyncpg.GeneratedAlwaysError()
            ):
                return ConstraintError(_message(error), path=path)
            case asyncpg.DataError() if isinstance(error.__cause__, UnicodeEncodeError):
                return DataException("a string holds a character that is not valid Unicode", path=path)
            case asyncpg.DataError():
                return DataException(_message(error), path=path)
            case asyncpg.PostgresError() if (error.sqlstate or "").startswith("22"):  # one the driver does not know
                return DataException(_message(error), path=path)
            case asyncpg.ProgramLimitExceededError() | asyncpg.StatementTooComplexError():
                return ValidationFailed("the query is too complex for the database", path=path)
        if isinstance(error, LOST):
            return ConnectionFailed()
        id = uuid.uuid4().hex
        if isinstance(error, asyncpg.UndefinedFunctionError):
            # The schema offers max and min of every column that can be ordered, Postgres has none for uuid before 18.
            logger.warning("statement refused: %s", _message(error), extra={"error_id": id})
        else:
            logger.error("statement failed", exc_info=error, extra={"error_id": id})
        return Unexpected(id=id, path=path)


def check_number(parameters: Sequence[Any]) -> None:
    """Refuse what the driver would take for a broken connection.

    Raises:
        ValidationFailed: there are more parameters than Postgres can number.
    """
    if len(parameters) > _MOST_PARAMETERS:
        raise ValidationFailed(f"the query holds more than {_MOST_PARAMETERS} values")


def _message(error: asyncpg.PostgresError) -> str:
    return str(getattr(error, "message", None) or error)


async def _keep_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spare a round trip per request: statements here leave nothing behind in the session."""


async def _end_transaction(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Undo what a cancelled request left open."""
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")
