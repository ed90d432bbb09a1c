"""Descriptions of indexes → indexes on tables that others write to meanwhile. Called by revisions in additions/.

An index is built CONCURRENTLY: writers go on, however large the table is. That works outside a transaction only, so a
build that is cut short leaves an invalid index behind, which is dropped and built again by the next upgrade.
"""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from alembic import op

from server_core.db.route import POOLED
from server_core.db.scripts import run_statement, writes_only

logger = logging.getLogger(__name__)

LOCK_NOT_AVAILABLE = "55P03"
"""SQLSTATE of a wait that was cut short."""


@dataclass(frozen=True, kw_only=True)
class NewIndex:
    """An index to build.

    Attributes:
        name: of the index, in the schema of its table.
        table: with its schema.
        columns: what stands in the parentheses.
        where: which rows it holds; None: all.
        unique: no two rows may be equal in the columns.
    """

    name: str
    table: str
    columns: str
    where: str | None = None
    unique: bool = False

    @property
    def statement(self) -> str:
        """The statement that builds it."""
        kind = "UNIQUE INDEX" if self.unique else "INDEX"
        rows = "" if self.where is None else f" WHERE {self.where}"
        return f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {self.name} ON {self.table} ({self.columns}){rows}"

    @property
    def full_name(self) -> str:
        """Its name with the schema."""
        return f"{self.table.rpartition('.')[0]}.{self.name}"


def build_indexes(indexes: Sequence[NewIndex]) -> None:
    """Build those that are not there yet; an invalid one counts as not there. Each is committed by itself."""
    with op.get_context().autocommit_block():
        for index in indexes:
            _without_timeout()
            if _is_invalid(index):
                logger.warning("index %s was not finished; it is built again", index.name)
                _drop(index)
            logger.info("building index %s on %s; this takes minutes on a large table", index.name, index.table)
            try:
                run_statement(index.statement)
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                    _sweep(index)
                raise


def drop_indexes(indexes: Sequence[NewIndex]) -> None:
    """Drop them without stopping writers."""
    with op.get_context().autocommit_block():
        _without_timeout()
        for index in indexes:
            _drop(index)


def _without_timeout() -> None:
    """Take off the limit that a role may have; how long to wait for older transactions is said by who upgrades.

    Not through a pooler, where it would be taken off for others.
    """
    if not writes_only() and not op.get_bind().info.get(POOLED):
        run_statement("SET statement_timeout = 0")


def _is_invalid(index: NewIndex) -> bool:
    if writes_only():
        return False
    found = op.get_bind().execute(
        sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"), {"name": index.full_name}
    )
    return found.scalar() is False


def _sweep(index: NewIndex) -> None:
    """Take away what is left of a build that waited for too long; it would be written and never read."""
    with contextlib.suppress(sa.exc.DBAPIError):
        if not op.get_bind().info.get(POOLED):
            run_statement("SET lock_timeout = '2s'")
        run_statement(f"DROP INDEX IF EXISTS {index.full_name}")


def _drop(index: NewIndex) -> None:
    run_statement(f"DROP INDEX CONCURRENTLY IF EXISTS {index.full_name}")
