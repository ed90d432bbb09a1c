"""The baseline: what a server costs that knows the four questions beforehand. Run by servers.asgi as `bench.raw:app`.

Plain ASGI on uvicorn with uvloop and httptools; asyncpg's pool, a prepared statement with the best SQL there is for the
question (sql/*.sql), Postgres' JSON sent on as it comes. `POST /a` … `/d` take the bodies of `reads` with variables.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from server_core.db.dsn import plain_dsn

SQL: Final = {path.stem: path.read_text() for path in Path(__file__).with_name("sql").glob("?.sql")}
CONNECTIONS: Final = 8
_TIMES: Final = {"b": (1,), "c": (3,)}
"""Which parameters asyncpg wants as datetime."""
_FIELDS: Final = {"a": b"flow_run_by_pk", "b": b"flow_run", "c": b"flow_run", "d": b"log"}
_JSON: Final = [(b"content-type", b"application/json")]

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Raw:
    """Answers the four questions over one pool."""

    def __init__(self) -> None:
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or open and close the pool."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = b""
        if scope["method"] == "POST":
            body = await self._answer(scope["path"][1:], await _received(receive))
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*_JSON, length]})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, name: str, body: bytes) -> bytes:
        values = list(orjson.loads(body)["variables"].values())
        for index in _TIMES.get(name, ()):
            values[index] = datetime.fromisoformat(values[index])
        assert self._pool is not None
        async with self._pool.acquire() as connection:
            found: bytes = await connection.fetchval(SQL[name], *values)
        return b'{"data":{"%b":%b}}' % (_FIELDS[name], found)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._pool = await asyncpg.create_pool(
            plain_dsn(os.environ["BENCH_DSN"]), min_size=CONNECTIONS, max_size=CONNECTIONS, init=_codec, reset=_keep
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._pool.close()
        await send({"type": "lifespan.shutdown.complete"})


async def _codec(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=bytes, decoder=bytes, format="binary")


async def _keep(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Spare the round trip that asyncpg spends on every return of a connection."""


async def _received(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


app = Raw()
