"""A proxy before Postgres that loses one answer: the statement is carried out, the connection breaks. Used by tests of
what a client is told when nobody knows whether its change was committed.

    async with losing(database_url) as proxy:      # proxy.url: the same database through the proxy
        proxy.lose(Moment.COMMIT)
        …                                          # the next change is committed, but its answer never comes
        assert proxy.lost == 1
"""

import asyncio
import contextlib
import enum
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit, urlunsplit

_WRITES = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\b", re.IGNORECASE)
_IDLE = b"I"


class Moment(enum.Enum):
    """Which answer is lost.

    WRITE: that of the first statement that changes something, committed by it or not.
    COMMIT: that of the statement which commits a change: COMMIT, or the change itself outside a transaction.
    """

    WRITE = "write"
    COMMIT = "commit"


class Proxy:
    """Passes every connection on; see losing.

    Attributes:
        url: of the database, through the proxy.
        lost: how many answers were lost so far.
    """

    def __init__(self, dsn: str, but_not: str | None) -> None:
        self._dsn = dsn
        self._but_not = None if but_not is None else re.compile(but_not, re.IGNORECASE)
        self._moment: Moment | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.lost = 0

    def lose(self, moment: Moment) -> None:
        """Lose the next answer of this kind, on whichever connection it comes."""
        self._moment = moment

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until one side closes it or its answer is lost."""
        upstream_reader, upstream_writer = await self._connect()
        self._open |= {writer, upstream_writer}
        session = _Session(self)
        pumps = [
            asyncio.create_task(session.ask(reader, upstream_writer)),
            asyncio.create_task(session.answer(upstream_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for end in (writer, upstream_writer):
                self._open.discard(end)
                end.close()

    def close(self) -> None:
        """Break what is still open."""
        for end in self._open:
            end.close()

    def writes(self, statement: str) -> bool:
        """Say whether a statement changes something that is watched."""
        watched = self._but_not is None or not self._but_not.search(statement)
        return watched and bool(_WRITES.search(statement))

    def strikes(self, *, commits: bool) -> bool:
        """Say whether the answer of a statement that writes is to be lost, and if so lose no other."""
        if self._moment is None or (self._moment is Moment.COMMIT and not commits):
            return False
        self._moment = None
        return True

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._dsn)
        query = parse_qs(parts.query)
        host = query.get("host", [parts.hostname or "127.0.0.1"])[0]
        port = int(query.get("port", [parts.port or 5432])[0])
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)


class _Session:
    """One connection: knows what its prepared statements are, and whether a transaction is open."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._statements: dict[bytes, str] = {}
        self._asked = ""
        self._status = _IDLE
        self._wrote = False
        self._lost = False

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the client's messages on, looking at what they ask."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            size = await reader.readexactly(4)  # the first message has no type
            writer.write(size + await reader.readexactly(int.from_bytes(size) - 4))
            while True:
                kind, payload = await _message(reader)
                self._note(kind, payload)
                writer.write(kind + (len(payload) + 4).to_bytes(4) + payload)
                await writer.drain()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass the server's messages on, up to the answer that is lost."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                kind, payload = await _message(reader)
                if kind == b"Z":
                    self._status = payload
                    if payload == _IDLE:
                        self._wrote = False
                if not self._lost:
                    writer.write(kind + (len(payload) + 4).to_bytes(4) + payload)
                    await writer.drain()
                elif kind == b"Z":
                    self._proxy.lost += 1
                    return

    def _note(self, kind: bytes, payload: bytes) -> None:
        if kind == b"P":
            name, sql, _ = payload.split(b"\0", 2)
            self._statements[name] = sql.decode()
        elif kind == b"B":
            _, name, _ = payload.split(b"\0", 2)
            self._asked = self._statements[name]
        elif kind == b"Q":
            self._asked = payload[:-1].decode()
        if kind not in (b"E", b"Q"):
            return
        if self._asked.upper().startswith("COMMIT"):
            self._lost = self._wrote and self._proxy.strikes(commits=True)
        elif self._proxy.writes(self._asked):
            self._wrote = True
            self._lost = self._proxy.strikes(commits=self._status == _IDLE)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    kind = await reader.readexactly(1)
    size = int.from_bytes(await reader.readexactly(4))
    return kind, await reader.readexactly(size - 4)


@asynccontextmanager
async def losing(dsn: str, *, but_not: str | None = None) -> AsyncIterator[Proxy]:
    """Open a proxy before a database that speaks without TLS.

    Args:
        dsn: the database.
        but_not: statements in which this regular expression is found are left alone: those of background tasks.
    """
    proxy = Proxy(dsn, but_not)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    parts = urlsplit(dsn)
    credentials, at, _ = parts.netloc.rpartition("@")
    proxy.url = urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{port}", query="sslmode=disable"))
    try:
        yield proxy
    finally:
        server.close()
        proxy.close()
