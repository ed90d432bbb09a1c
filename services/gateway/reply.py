"""Turns a Reply into the messages of ASGI: its length, CORS, and gzip where the client takes it. Called by edge.

Compression is for the links between people and server, not for the small answers that runs live on: bodies below
GZIP_BYTES go as they are, bodies above THREAD_BYTES are compressed in a thread (zlib lets the event loop run).
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from starlette.types import Scope, Send

from server_core.answering import send_answer, send_chunks
from server_core.departure import Departure
from server_core.spool import Spool

JSON = "application/json; charset=utf-8"
GZIP_BYTES = 4_096
THREAD_BYTES = 65_536
LONGEST_READ = 1_000
"""Characters of a header with preferences; what was made of it is remembered, so it must not be any number."""
_LEVEL = 1
"""The cheapest level: for this JSON it saves four fifths of the bytes, the dearest one saves little more."""

_GZIP = zlib.MAX_WBITS | 16
_JSON = (b"content-type", JSON.encode())
_CORS = (b"access-control-allow-origin", b"*")


class Reply(NamedTuple):
    """A complete HTTP answer.

    Attributes:
        body: its bytes.
        status: HTTP status.
        media: content type; empty for an answer without a body.
        headers: further headers.
    """

    body: bytes
    status: int = 200
    media: str = JSON
    headers: Sequence[tuple[str, str]] = ()


async def send_reply(scope: Scope, send: Send, reply: Reply, *, accepted: str | None, bodiless: bool = False) -> None:
    """Send a reply, with the CORS header that every response has (data-api.md §3.1).

    Args:
        scope, send: of ASGI.
        reply: what to send.
        accepted: the Accept-Encoding header, empty for none; None: never compress.
        bodiless: it is the answer to HEAD: all of it but the body.
    """
    body = reply.body
    headers = [_CORS]
    if reply.media:
        headers.append(_JSON if reply.media is JSON else (b"content-type", reply.media.encode()))
    if accepted is not None and reply.media:
        coding = preferred_coding(accepted)
        if len(body) >= GZIP_BYTES or coding == "gzip!":
            headers.append((b"vary", b"Accept-Encoding"))
            if coding:
                body = await compressed(body)
                headers.append((b"content-encoding", b"gzip"))
    if reply.status != 204:
        headers.append((b"content-length", str(len(body)).encode()))
    if reply.headers:
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    await send_answer(scope, send, status=reply.status, headers=headers, body=b"" if bodiless else body)


async def send_list(send: Send, spool: Spool, *, accepted: str | None, departure: Departure) -> None:
    """Send a long answer in chunks, with the headers that a Reply with it would have but for its length.

    Args:
        send: of ASGI.
        spool: the chunks; closed in the end.
        accepted: as in send_reply.
        departure: the client, looked after until the end.

    Raises:
        CutOff: the chunks failed.
    """
    headers = [_CORS, _JSON]
    if accepted is not None:
        headers.append((b"vary", b"Accept-Encoding"))
        if preferred_coding(accepted):
            headers.append((b"content-encoding", b"gzip"))
            await send_chunks(send, spool, headers=headers, departure=departure, encoded=_Compressed)
            return
    await send_chunks(send, spool, headers=headers, departure=departure)


class _Compressed:
    """Chunks in gzip, each of which can be read when it has come."""

    def __init__(self, chunks: Spool) -> None:
        self._chunks = chunks
        self._gzip = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._ended = True
            return self._gzip.flush()
        if len(chunk) < THREAD_BYTES:
            return self._encode(chunk)
        return await asyncio.to_thread(self._encode, chunk)

    def _encode(self, chunk: bytes) -> bytes:
        return self._gzip.compress(chunk) + self._gzip.flush(zlib.Z_SYNC_FLUSH)


async def compressed(body: bytes) -> bytes:
    """Return a body in gzip; what takes longer than a millisecond is done in a thread."""
    if len(body) < THREAD_BYTES:
        return zlib.compress(body, _LEVEL, _GZIP)
    return await asyncio.to_thread(zlib.compress, body, _LEVEL, _GZIP)


def preferred_coding(accepted: str) -> str:
    """Choose between gzip and no coding as RFC 9110 §12.5.3 weighs them.

    Args:
        accepted: an Accept-Encoding header; empty if there is none. One of absurd length is not read.

    Returns:
        `gzip`, empty for no coding, or `gzip!` where the client refuses a body that is not compressed.
    """
    return _coding(accepted) if len(accepted) <= LONGEST_READ else ""


def prefers_html(accepted: str) -> bool:
    """Tell whether a client would rather have a page than JSON: a browser's navigation says so, a program does not."""
    return len(accepted) <= LONGEST_READ and _html_first(accepted)


@lru_cache(maxsize=256)
def _coding(accepted: str) -> str:
    weights = dict(weighed(accepted))
    rest = weights.get("*", 0.0)
    gzip = max(weights.get("gzip", rest), weights.get("x-gzip", 0.0))
    identity = weights.get("identity", rest if "*" in weights else None)
    if gzip <= 0 or (identity is not None and identity > gzip):
        return ""
    return "gzip!" if identity == 0 else "gzip"


@lru_cache(maxsize=256)
def _html_first(accepted: str) -> bool:
    html, json = _weight("text/html", accepted), _weight("application/json", accepted)
    return html[0] > 0 and html > json


def _weight(media: str, accepted: str) -> tuple[float, int, int]:
    """Weigh a media type by the most specific range that covers it: its weight, how specific it is, its place."""
    ranges = {media: 2, media.partition("/")[0] + "/*": 1, "*/*": 0}
    found = [(ranges[name], weight, -place) for place, (name, weight) in enumerate(weighed(accepted)) if name in ranges]
    exact, weight, place = max(found, default=(0, 0.0, 0))
    return weight, exact, place


def weighed(header: str) -> Iterable[tuple[str, float]]:
    """Read a list with weights (`a;q=0.5, b`): each member's name in lower case and its weight, 0 if unreadable."""
    for member in header.split(","):
        name, *parameters = (part.strip().lower() for part in member.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if name:
            yield name, weight if 0 <= weight <= 1 else 0.0
