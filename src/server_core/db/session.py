"""Connections as two types: a ReadSession asks, a WriteSession also changes; only Database opens and commits.

An action opens one (`async with database.transaction() as session`) and hands it to the store; the store never
commits. SQL is plain text with `$1` parameters: building statements with SQLAlchemy Core per request cost more than
the statement itself (docs/architecture.md). SQLAlchemy describes the tables (server_core.models) and migrates them.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import asyncpg

from server_core.config import DatabaseSettings
from server_core.db.contact import Contact
from server_core.db.dsn import plain_dsn
from server_core.db.route import STATEMENT_REFUSED, Route, look_up, refused_statement
from server_core.db.warm import WarmPool, is_alive
from server_core.errors import (
    ConstraintViolation,
    ForeignKeyViolation,
    InvalidInput,
    OutcomeUnknown,
    ServerError,
    Unavailable,
    UniquenessViolation,
)

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    Lent = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Connection = Lent | asyncpg.Connection[asyncpg.Record]
Row = asyncpg.Record

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # a lock is held, or the database is closed to connections for a while
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # Postgres has said goodbye, but the socket is not closed yet
    OSError,
)
"""The network, a restart, a fail-over, a deadlock: another attempt may succeed."""

_NO_ANSWER = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    asyncpg.StatementCompletionUnknownError,
    OSError,
)
"""Those after which nobody knows whether a commit that was under way took place; all others undo it for certain."""


CONNECT_SECONDS = 10.0
"""Longest wait for a new connection."""

_DEAD = (*_NO_ANSWER, asyncpg.InternalClientError, asyncpg.InterfaceError)
"""What the first statement on a connection fails with that was ended while it was idle."""

_GONE = (*_NO_ANSWER, asyncpg.CannotConnectNowError)
"""Those that mean that the database, or the way to it, is away."""

UNREACHABLE = "The database cannot be reached; try again."

TIMED_OUT = "Operation timed out"
"""The UI compares these words (actions.md §0.3)."""


S = TypeVar("S", bound="ReadSession")


class ReadSession:
    """Asks the database; sees its own transaction, changes nothing."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def fetch(self, sql: str, *args: Any, seconds: float | None = None) -> list[Row]:
        """Return all rows of a statement; `args` fill `$1`, `$2`, …

        Raises:
            Unavailable: it took longer than `seconds` and was stopped.
        """
        try:
            return await self._connection.fetch(sql, *args, timeout=seconds)
        except TimeoutError as error:
            raise Unavailable(TIMED_OUT) from error

    async def fetch_row(self, sql: str, *args: Any) -> Row | None:
        """Return the first row, or None."""
        return await self._connection.fetchrow(sql, *args)

    async def fetch_value(self, sql: str, *args: Any) -> Any:
        """Return the first column of the first row, or None."""
        return await self._connection.fetchval(sql, *args)


class WriteSession(ReadSession):
    """Asks and changes, inside the transaction that Database.transaction opened and will commit."""

    async def execute(self, sql: str, *args: Any) -> int:
        """Run a statement and return how many rows it touched."""
        status = await self._connection.execute(sql, *args)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Run a block that may fail without losing the transaction."""
        async with self._connection.transaction():
            yield


class Database:
    """A pool of connections to one Postgres, UTC, jsonb as Python values.

    Use as an async context manager, or call open and close.

    Args:
        dsn: any libpq-style `postgresql://` URL.
        settings: pool size and statement cache.

    Attributes:
        contact: whether the database answers.
    """

    def __init__(self, dsn: str, settings: DatabaseSettings | None = None) -> None:
        self._dsn = plain_dsn(dsn)
        self.contact = Contact(logger)
        self._settings = settings or DatabaseSettings()
        self._pool: WarmPool | None = None
        self._places = asyncio.Semaphore(self._settings.pool_size)
        self._route = Route()

    async def open(self) -> None:
        """Create the pool; connections are made at once, so a wrong DSN fails here.

        Triggers, functions and the store name tables without their schema, so `public` must come first in the
        search_path, whatever the role or the database says (db/route.py).
        """
        self._route = await look_up(self._dsn)
        pool = await asyncpg.create_pool(
            self._dsn,
            timeout=CONNECT_SECONDS,
            min_size=1,
            max_size=self._settings.pool_size,
            statement_cache_size=self._route.statement_cache_size(self._settings.statement_cache_size),
            max_cacheable_statement_size=0,  # one that is not kept would be prepared for whom a pooler has next
            init=prepare,
            reset=_keep,
            server_settings={**self._route.startup, "application_name": "prefect-server"},
        )
        self._pool = WarmPool(pool)

    async def close(self) -> None:
        """Close the pool after the sessions in use are done."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    def open_pool(self) -> WarmPool | None:
        """Return the pool, for its figures; None while it is not open."""
        return self._pool

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def read(self) -> AbstractAsyncContextManager[ReadSession]:
        """Open a session for reading; each statement sees the latest commit.

        Raises:
            Unavailable: the database cannot be reached.
        """
        if self._route.local:
            return self.transaction()
        return _Autocommit(self, ReadSession, repeatable=True)

    @asynccontextmanager
    async def transaction(self, *, repeatable: bool = True) -> AsyncIterator[WriteSession]:
        """Open a session in a transaction: committed when the block ends, rolled back when it raises.

        Args:
            repeatable: a client may send the request again although this one was carried out. If it may not, a
                connection that is lost during the commit is an OutcomeUnknown, not an Unavailable.

        Raises:
            UniquenessViolation, ForeignKeyViolation: Postgres refused a row.
            InvalidInput: Postgres could not read a value.
            Unavailable: the database cannot be reached.
            OutcomeUnknown: see repeatable.
        """
        with _translated(self.contact) as attempt:
            async with self._begun() as connection:
                if self._route.local:
                    await connection.execute(self._route.local)
                yield WriteSession(connection)
                attempt.may_commit_twice = not repeatable

    def autocommit(self, *, repeatable: bool = True) -> AbstractAsyncContextManager[WriteSession]:
        """Open a session whose every statement commits by itself: for verbs that are one statement.

        It saves the round trips of BEGIN and COMMIT on the paths that clients use most.

        Args:
            repeatable: as of transaction.

        Raises:
            UniquenessViolation, ForeignKeyViolation, InvalidInput, Unavailable, OutcomeUnknown: as transaction does.
        """
        if self._route.local:
            return self.transaction(repeatable=repeatable)
        return _Autocommit(self, WriteSession, repeatable=repeatable)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """Borrow a raw connection outside any transaction, for one that lasts (leases).

        Through a pooler it is a raw one too, and what is set outside a transaction is set for others.
        """
        with _translated(self.contact):
            async with self._lent() as connection:
                try:
                    yield connection
                finally:
                    if not connection.is_closed() and not self._route.pooled:
                        await connection.reset()

    async def borrow(self) -> "Lent":
        """Return a connection, which `give_back` takes back; called by sessions only.

        Raises:
            Unavailable: there is none.
        """
        pool = self._pool
        if pool is None:
            raise Unavailable("The database is not open.")
        await self._places.acquire()
        try:
            return await pool.borrow()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            # Whatever its reason is (a changed password, too many connections): nothing was begun.
            self._places.release()
            self.contact.lost(error)
            raise Unavailable(UNREACHABLE) from error
        except BaseException:
            self._places.release()
            raise

    async def give_back(self, connection: "Lent", error: BaseException | None) -> None:
        """Take a connection back.

        Args:
            error: what its borrower met; then the pool sees whether it is still of use.
        """
        assert self._pool is not None  # noqa: S101 - it lent the connection
        try:
            if error is None and is_alive(connection):
                self._pool.give_back(connection)
            else:
                await self._pool.give_up(connection)
        finally:
            self._places.release()

    @asynccontextmanager
    async def _begun(self) -> AsyncIterator["Lent"]:
        """Lend a connection in a transaction; if it was dead before anything was done in it, another one."""
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._lent())
            try:
                await stack.enter_async_context(connection.transaction())
            except _DEAD:
                # The pool may not have noticed yet: neither this connection nor others of its age may be lent again.
                assert self._pool is not None  # noqa: S101 - it lent the connection
                with suppress(asyncpg.InterfaceError):  # it has noticed, and taken the connection back
                    connection.terminate()
                await self._pool.forget()
            else:
                yield connection
                return
        async with self._lent() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator["Lent"]:
        connection = await self.borrow()
        try:
            yield connection
        except BaseException as error:
            await self.give_back(connection, error)
            raise
        await self.give_back(connection, None)


class _Autocommit(AbstractAsyncContextManager[S]):
    """The block of Database.autocommit. Written out, because a generator's context manager costs several times more.

    Args:
        database: lends the connection.
        session: what kind of session the block is given.
        repeatable: as of Database.transaction.
    """

    __slots__ = ("_connection", "_database", "_repeatable", "_session")

    def __init__(self, database: Database, session: type[S], *, repeatable: bool) -> None:
        self._database = database
        self._session = session
        self._repeatable = repeatable

    async def __aenter__(self) -> S:
        self._connection = await self._database.borrow()
        return self._session(self._connection)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._database.give_back(self._connection, error)
        attempt = _translated(self._database.contact)
        attempt.may_commit_twice = not self._repeatable
        attempt.__exit__(kind, error, trace)


class _translated:  # noqa: N801 - reads as a statement
    """Turns what Postgres or the network raises into the error tree; leaves every other error alone.

    Args:
        contact: told whether the database answered.

    Attributes:
        may_commit_twice: from here on a lost connection may hide a commit, and the change must not be made again.
    """

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self.may_commit_twice = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._contact.found()
        else:
            if isinstance(error, _GONE):
                self._contact.lost(error)
            translated = translate(error)
            if self.may_commit_twice and isinstance(error, _NO_ANSWER):
                translated = OutcomeUnknown()
            if translated is not None:
                raise translated from error


def translate(error: BaseException) -> ServerError | None:
    """Return the error of our tree that stands for a driver error, or None if it is not one a client can cause."""
    match error:
        case ServerError():
            return None
        case asyncpg.UniqueViolationError():
            return UniquenessViolation()
        case asyncpg.ForeignKeyViolationError():
            return ForeignKeyViolation()
        case asyncpg.NotNullViolationError():
            return ConstraintViolation("Not-NULL violation.")
        case asyncpg.DataError() if isinstance(error.__cause__, UnicodeEncodeError):
            return InvalidInput("Invalid value: text with lone surrogates cannot be stored.")
        case asyncpg.DataError():
            return InvalidInput(f"Invalid value: {error}")
        case asyncpg.ProgramLimitExceededError():  # an index holds 2.7 kB per row, a parser some thousand levels
            return InvalidInput("Invalid value: it is too long or nested too deeply to be stored.")
        case asyncpg.DeadlockDetectedError() | asyncpg.SerializationError():
            return Unavailable("The request met another one and was undone; try again.")
        case asyncpg.QueryCanceledError():  # a statement_timeout of the operator's
            return Unavailable(TIMED_OUT)
        case _ if isinstance(error, STATEMENT_REFUSED):
            refused_statement()
            return Unavailable("The database cannot be reached; try again.")
        case asyncpg.InterfaceError() if not str(error).endswith(("is closed", "is closing", "back to the pool")):
            return None  # the driver was used wrongly: a defect of ours, which another attempt does not mend
        case _ if isinstance(error, (*_LOST, asyncpg.InterfaceError)):
            return Unavailable(UNREACHABLE)
    return None


async def prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make jsonb and json values Python values on a connection; the init step of the pool."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads, format="text"
        )


async def _keep(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Return a connection to the pool as it is: sessions set nothing that outlives a transaction.

    asyncpg's own reset costs a round trip per session; Database.connection does it for what may leave things behind.
    """
