"""LISTEN → which tables changed: told to the hub for as long as it has live queries. Started by app.

A table's trigger (migrations/sql/functions/notify_live_queries.sql, or the same in any other database) notifies only
while somebody holds a shared advisory lock for the table, because NOTIFY makes commits wait for each other. So for each
table that a live query reads the listener

    arms it        takes the lock: writers that begin to write now will notify
    lets drain     waits until the transactions that were running then are over: they may not have seen the lock
    covers it      tells the hub, which asks once more; from now on every change of the table is told

Until a table is covered its live queries are asked at an interval. So they are while a table is written to all the
time: it is disarmed then, because notifying would slow down the writers and tell nothing new. When the connection is
lost nothing is covered until a new one has gone through the same steps: no change is missed, whatever happened between.
"""

import asyncio
import json
import logging
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from server_core.db.dsn import plain_dsn
from server_core.db.route import look
from services.data.catalog.model import QualifiedName
from services.data.live.hub import NOTHING, Hub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

CHANNEL: Final = "live_queries"
LOCK_CLASS: Final = 0x6C697665
"""First half of the advisory locks' key ("live"); the second is the oid of the table."""

BEAT_SECONDS: Final = 10.0
"""How often the connection is tried and the triggers are looked up; one without live queries is closed then. An answer
that takes as long means that the connection is dead."""

PROBE_SECONDS: Final = 5.0
"""How long a notification to oneself may take: behind some poolers it never comes."""

BUSY: Final = 10
"""Notifications about one table within a second: then it counts as written to all the time …"""

BUSY_SECONDS: Final = 5.0
"""… for so long, unless the listener is told otherwise."""

_RETRY: Final = (0.1, 30.0)
"""First and longest pause before the next attempt to connect."""

_DRAIN: Final = (0.005, 1.0)
"""First and longest pause between looks at the transactions that were running."""

_NOTIFIED: Final = """
SELECT n.nspname AS schema, c.relname AS name, c.oid::bigint AS oid
FROM pg_catalog.pg_trigger t
JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE p.proname = 'notify_live_queries' AND t.tgenabled IN ('O', 'A') AND t.tgtype & 1 = 0 AND t.tgqual IS NULL
    AND cardinality(t.tgattr::int2[]) = 0 AND c.relkind = 'r' AND NOT c.relhassubclass
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid)
GROUP BY 1, 2, 3
HAVING bit_or(t.tgtype) & 60 = 60
"""
"""The tables of which every change fires the trigger: statements of all four kinds, no parents or children."""

_ARM: Final = "SELECT pg_advisory_lock_shared($1, oid::oid::int) FROM unnest($2::bigint[]) oid"
_DISARM: Final = "SELECT pg_advisory_unlock_shared($1, oid::oid::int) FROM unnest($2::bigint[]) oid"
_NOW: Final = "SELECT txid_current()"
"""An id of our own: every transaction that has one by now has a smaller one. (No snapshot tells: it passes over those
younger than the last that ended.)"""

_OLDEST: Final = "SELECT txid_snapshot_xmin(txid_current_snapshot())"
"""Every transaction with a smaller id is over."""


class _Pooled(Exception):
    """There is no session to listen in."""


class Listener:
    """Keeps one connection that listens while the hub has live queries.

    Args:
        dsn: any libpq-style `postgresql://` URL.
        hub: who is told.
        busy_seconds: how long a table that is written to all the time is left alone.
    """

    def __init__(self, dsn: str, hub: Hub, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._dsn = plain_dsn(dsn)
        self._hub = hub
        self._busy_seconds = busy_seconds

    async def run(self) -> None:
        """Listen whenever it is wanted, until cancelled."""
        pause, longest = _RETRY
        failing = False
        while True:
            await self._hub.wanted.wait()
            try:
                async with _connected(self._dsn) as connection:
                    session = _Session(connection, self._hub, self._busy_seconds)
                    await session.begin()
                    if failing:
                        logger.info("live queries are notified of changes again")
                    pause, failing = _RETRY[0], False
                    await session.run()
                continue
            except _Pooled:
                if not failing:
                    logger.info("through a pooler no changes are notified, live queries are asked at an interval")
                pause, failing = longest, True
            except Exception as error:
                # Whatever it is: without notifications live queries go on, only slower.
                if not failing:
                    logger.warning("no notifications of changes, live queries are asked at an interval: %r", error)
                failing = True
            finally:
                self._hub.cover(NOTHING)
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draining:
    """Tables that were armed before the transaction with this id."""

    id: int
    tables: frozenset[QualifiedName]


class _Session:
    """What one connection has armed and covered."""

    def __init__(self, connection: "Connection", hub: Hub, busy_seconds: float) -> None:
        self._connection = connection
        self._hub = hub
        self._busy_seconds = busy_seconds
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._lost = False
        self._probe = json.dumps(uuid.uuid4().hex)
        self._probed = asyncio.Event()
        self._oids: Mapping[QualifiedName, int] = {}
        self._armed: dict[QualifiedName, int] = {}
        self._draining: _Draining | None = None
        self._covered = NOTHING
        self._told: dict[QualifiedName, deque[float]] = {}
        self._busy: dict[QualifiedName, float] = {}

    async def begin(self) -> None:
        """Listen, and see that notifications come.

        Raises:
            TimeoutError: they do not.
        """
        self._connection.add_termination_listener(self._terminated)
        await self._connection.add_listener(CHANNEL, self._notified)
        await self._connection.execute("SELECT pg_notify($1, $2)", CHANNEL, self._probe)
        async with asyncio.timeout(PROBE_SECONDS):
            await self._probed.wait()

    async def run(self) -> None:
        """Arm, let drain and cover until nobody wants it any more.

        Raises:
            Exception: the connection is lost.
        """
        self._hub.interest = self._wake.set
        beat = 0.0
        pause, longest = _DRAIN
        while True:
            self._wake.clear()
            if self._lost:
                raise ConnectionResetError("the connection was closed")
            async with asyncio.timeout(BEAT_SECONDS):
                if self._loop.time() >= beat:
                    if not self._hub.wanted.is_set():
                        return
                    self._oids = await self._notified_tables()
                    beat = self._loop.time() + BEAT_SECONDS
                await self._arm()
                if self._draining is not None and await self._drained(self._draining):
                    pause = _DRAIN[0]
            until = min([beat, *self._busy.values()])
            if self._draining is not None:
                until = min(until, self._loop.time() + pause)
                pause = min(pause * 2, longest)
            try:
                async with asyncio.timeout_at(until):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _arm(self) -> None:
        """Hold the locks of exactly the tables that live queries read and that are not busy."""
        now = self._loop.time()
        self._busy = {table: end for table, end in self._busy.items() if end > now}
        wanted = {
            table: self._oids[table] for table in self._hub.tables() if table in self._oids and table not in self._busy
        }
        gone = {table: oid for table, oid in self._armed.items() if wanted.get(table) != oid}
        new = {table: oid for table, oid in wanted.items() if self._armed.get(table) != oid}
        if gone:
            self._cover(self._covered - gone.keys())
            if self._draining is not None:
                self._draining = _Draining(id=self._draining.id, tables=self._draining.tables - gone.keys())
            await self._connection.execute(_DISARM, LOCK_CLASS, list(gone.values()))
        if new:
            await self._connection.execute(_ARM, LOCK_CLASS, list(new.values()))
            before = self._draining.tables if self._draining is not None else NOTHING
            self._draining = _Draining(id=await self._connection.fetchval(_NOW), tables=before | new.keys())
        self._armed = wanted

    async def _drained(self, draining: _Draining) -> bool:
        """Cover the tables if every transaction is over that may not have seen their locks."""
        oldest: int = await self._connection.fetchval(_OLDEST)
        if oldest < draining.id:
            return False
        self._draining = None
        self._cover(self._covered | draining.tables)
        return True

    def _cover(self, tables: frozenset[QualifiedName]) -> None:
        if tables != self._covered:
            self._covered = tables
            self._hub.cover(tables)

    async def _notified_tables(self) -> dict[QualifiedName, int]:
        rows = await self._connection.fetch(_NOTIFIED)
        return {QualifiedName(row["schema"], row["name"]): row["oid"] for row in rows}

    def _notified(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        """Take a notification: a change, or the probe of somebody."""
        if payload == self._probe:
            self._probed.set()
            return
        try:
            document = json.loads(str(payload))
        except ValueError:
            return
        match document:
            case [str(schema), str(name)]:
                table = QualifiedName(schema, name)
                self._hub.changed(table)
                self._count(table)

    def _count(self, table: QualifiedName) -> None:
        """Note a notification; so many that the table counts as busy end in its being disarmed."""
        if table not in self._armed:
            return
        now = self._loop.time()
        told = self._told.setdefault(table, deque(maxlen=BUSY))
        told.append(now)
        if len(told) == BUSY and now - told[0] < 1:
            self._busy[table] = now + self._busy_seconds
            told.clear()
            self._wake.set()

    def _terminated(self, _connection: Any) -> None:
        self._lost = True
        self._wake.set()


@asynccontextmanager
async def _connected(dsn: str) -> "AsyncIterator[Connection]":
    """Open a connection for the length of a block; it changes nothing in the database.

    Raises:
        _Pooled: it leads through a pooler, where listening would be done by a connection that others use.
    """
    connection = await asyncpg.connect(
        dsn, timeout=10, statement_cache_size=0, server_settings={"application_name": "prefect-server data live"}
    )
    try:
        if (await look(connection)).pooled:
            raise _Pooled
        await connection.execute("SET statement_timeout TO 0; SET default_transaction_read_only TO on")
        yield connection
    finally:
        connection.terminate()
