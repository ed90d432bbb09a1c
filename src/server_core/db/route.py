"""A DSN → what is at its other end: Postgres itself or a pooler, and what the role sets that we cannot work with.

Asked once, when a pool is opened, on a connection of its own that leaves nothing behind. Called by db and the data API.

A pooler in transaction mode (PgBouncer, and most that providers run) gives a server connection to one transaction, not
to one client. So through a pooler nothing may be set, prepared by name, listened to or locked beyond a transaction. It
is told by the process id: a pooler sends a made-up one when a client connects, since no server process is the client's.
In session mode the same would work as without a pooler, but nothing shows the mode; what suits the one suits the other.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import asyncpg

from server_core.db.dsn import plain_dsn

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

STARTUP: Final = {"timezone": "UTC", "datestyle": "ISO", "standard_conforming_strings": "on"}
"""What every connection asks for, whatever the role says. Poolers take these and keep them per client."""

NEEDED: Final = {
    "search_path": "public",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
}
"""What a role or a database may set otherwise, to which our statements would mean something else. Time limits are not
in here: they are the operator's to set."""

STATEMENTS: Final = 200
"""Prepared statements kept per connection, where settings say nothing and there is no pooler."""

POOLED: Final = "pooled"
"""Key in the `info` of a connection of SQLAlchemy's: whether it leads through a pooler."""

STATEMENT_REFUSED: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
"""What comes of prepared statements kept behind a pooler that does not know of them."""

_LOOK: Final = """
SELECT pg_backend_pid() AS pid, current_schemas(false) AS schemas, current_setting('default_transaction_isolation')
    AS default_transaction_isolation, current_setting('default_transaction_read_only') AS default_transaction_read_only,
    current_setting('default_transaction_deferrable') AS default_transaction_deferrable,
    current_setting('intervalstyle') AS intervalstyle, current_setting('bytea_output') AS bytea_output
"""


@dataclass(frozen=True, kw_only=True)
class Route:
    """What connections made with one DSN are like.

    Attributes:
        pooled: they lead through a pooler.
        deviations: what of NEEDED must be asked for, because it is otherwise by default.
    """

    pooled: bool = False
    deviations: Mapping[str, str] = field(default_factory=dict)

    def statement_cache_size(self, wanted: int | None) -> int:
        """Return how many prepared statements a connection may keep; `wanted`: what settings say."""
        if wanted is not None:
            return wanted
        return 0 if self.pooled else STATEMENTS

    @property
    def startup(self) -> Mapping[str, str]:
        """What to ask for when connecting. Poolers refuse what they do not keep per client."""
        return STARTUP if self.pooled else {**STARTUP, **self.deviations}

    @property
    def local(self) -> str:
        """Statements that each transaction must begin with, in the simple protocol; empty if there is none."""
        return local_settings(self.deviations) if self.pooled else ""


def local_settings(settings: Mapping[str, str]) -> str:
    """Return statements that set values, constants of ours, until the transaction ends.

    What a transaction is like by default is of no use once it has begun: that becomes what this one is like.
    """
    return "".join(f"SET LOCAL {_here(name)} TO '{value}';" for name, value in settings.items())


def _here(name: str) -> str:
    return name.replace("default_transaction_", "transaction_")


async def look(connection: "Connection") -> Route:
    """Return what a connection is like. It must keep no prepared statements."""
    row = await connection.fetchrow(_LOOK)
    assert row is not None  # noqa: S101 - a SELECT without FROM has one row
    found = {**row, "search_path": "public" if row["schemas"][:1] == ["public"] else ""}
    return Route(
        pooled=row["pid"] != connection.get_server_pid(),
        deviations={name: value for name, value in NEEDED.items() if found[name] != value},
    )


async def look_up(dsn: str) -> Route:
    """Return what connections made with a DSN are like; raises what connecting does."""
    connection = await asyncpg.connect(
        plain_dsn(dsn), statement_cache_size=0, server_settings={**STARTUP, "application_name": "prefect-server"}
    )
    try:
        route = await look(connection)
    finally:
        await connection.close()
    if route.pooled:
        logger.info(
            "the database is reached through a pooler: statements are prepared anew each time; set database.direct_url"
            " to the URL of Postgres itself for notifications of live queries, leases and migrations"
        )
    return route


def refused_statement() -> None:
    """Say what to set when a pooler does not know a prepared statement."""
    logger.error(
        "a pooler between us and Postgres does not keep prepared statements: leave database.statement_cache_size empty,"
        " or set max_prepared_statements of PgBouncer (1.21 or later)"
    )
