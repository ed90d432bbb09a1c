"""The listener alone: what it tells a hub that only takes notes."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from server_core.db.session import Database
from services.data.answer import Prepared
from services.data.catalog.model import QualifiedName
from services.data.live.hub import NOTHING, Hub
from services.data.live.listener import Listener

PROJECT = QualifiedName("public", "project")


async def never(_: Prepared) -> bytes:
    """Answer nothing: there are no live queries here."""
    raise AssertionError


class Notes(Hub):
    """Wants one table; notes in turn what it is told."""

    def __init__(self) -> None:
        super().__init__(never, min_interval=0, poll_interval=0, at_once=1)
        self.told: asyncio.Queue[object] = asyncio.Queue()
        self.wanted.set()

    def tables(self) -> frozenset[QualifiedName]:
        """Return what is wanted."""
        return frozenset({PROJECT})

    def changed(self, table: QualifiedName) -> None:
        """Note a change."""
        self.told.put_nowait(table)

    def cover(self, tables: frozenset[QualifiedName]) -> None:
        """Note what is covered."""
        self.told.put_nowait(tables)

    async def next(self) -> object:
        """Return what was told next."""
        async with asyncio.timeout(20):
            return await self.told.get()


@pytest.fixture
async def notes(database_url: str) -> AsyncIterator[Notes]:
    """Notes of a listener that is quick to try a busy table again."""
    hub = Notes()
    task = asyncio.create_task(Listener(database_url, hub, busy_seconds=0.1).run())
    yield hub
    task.cancel()
    await asyncio.wait([task])


async def test_one_statement_is_one_notification_per_table_and_transaction(notes: Notes, database: Database) -> None:
    assert await notes.next() == {PROJECT}
    async with database.transaction() as session:
        for name in ("a", "b"):
            await session.execute("INSERT INTO project (name) SELECT $1 || n FROM generate_series(1, 100) n", name)
        await session.execute("INSERT INTO cloud_hook (type) VALUES ('WEB')")
    assert await notes.next() == PROJECT
    async with database.transaction() as session:
        await session.execute("DELETE FROM project")
    assert await notes.next() == PROJECT
    assert notes.told.empty()


async def test_what_is_rolled_back_is_not_told(notes: Notes, database: Database) -> None:
    assert await notes.next() == {PROJECT}
    async with database.transaction() as session:
        await session.execute("SAVEPOINT s; INSERT INTO project (name) VALUES ('a'); ROLLBACK TO s")
    async with database.transaction() as session:
        await session.execute("INSERT INTO project (name) VALUES ('b')")
    assert await notes.next() == PROJECT
    assert notes.told.empty()


async def test_a_busy_table_is_left_alone_and_then_tried_again(notes: Notes, database: Database) -> None:
    assert await notes.next() == {PROJECT}
    told: object = PROJECT
    while told == PROJECT:
        async with database.transaction() as session:
            await session.execute("INSERT INTO project (name) VALUES (gen_random_uuid()::text)")
        told = await notes.next()
    assert told == NOTHING
    while told != {PROJECT}:
        told = await notes.next()
