"""A TCP balancer: passes each connection to the next of its targets, as an operator's balancer would."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from urllib.parse import urlsplit


@dataclass(kw_only=True)
class Balancer:
    """Where it listens, and how many connections each target was given.

    Attributes:
        url: what to put in place of a target's base URL.
        taken: connections by target.
    """

    url: str
    taken: dict[str, int] = field(default_factory=dict)


@asynccontextmanager
async def balanced(targets: Sequence[str]) -> AsyncIterator[Balancer]:
    """Listen on a free port while the context is entered, in front of base URLs of the form `http://host:port`."""
    turns = cycle(targets)
    talks: set[asyncio.Task[None]] = set()

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = next(turns)
        balancer.taken[target] += 1
        parts = urlsplit(target)
        try:
            inner_reader, inner_writer = await asyncio.open_connection(parts.hostname, parts.port)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_copied(reader, inner_writer), _copied(inner_reader, writer))
        finally:
            writer.transport.abort()
            inner_writer.transport.abort()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await passed(reader, writer)
        except asyncio.CancelledError:
            pass  # only the end of the context cancels it; asyncio's server would complain about it
        finally:
            talks.discard(task)

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    balancer = Balancer(url=f"http://127.0.0.1:{port}", taken=dict.fromkeys(targets, 0))
    try:
        yield balancer
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until their end, which is passed on too."""
    try:
        while piece := await reader.read(2**16):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
