"""What goes out: which coding a client gets, and who gets the page (data-api.md §3.1)."""

import asyncio
import zlib
from typing import Any

import pytest

from server_core.departure import Departures
from server_core.spool import Spool
from services.gateway.reply import (
    LONGEST_READ,
    THREAD_BYTES,
    Reply,
    preferred_coding,
    prefers_html,
    send_list,
    send_reply,
)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("", ""),
        ("gzip, deflate", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("*", "gzip"),
        ("deflate, gzip;q=1.0, *;q=0.5", "gzip"),
        ("gzip;q=0.5, identity;q=0.1", "gzip"),
        ("gzip ; Q=0.5", "gzip"),
        ("identity", ""),
        ("br", ""),
        ("br, *;q=0", ""),
        ("*;q=0", ""),
        ("gzip;q=0", ""),
        ("gzip;q=0, *", ""),
        ("gzip;q=0.5, identity", ""),
        ("gzip;q=x", ""),
        ("gzip;q=7", ""),
        ("gzip;q=nan", ""),
        ("identity;q=0.5, *;q=0", ""),
        ("identity;q=0, gzip", "gzip!"),
        ("gzip, *;q=0", "gzip!"),
    ],
)
def test_the_coding_of_an_answer(accepted: str, coding: str) -> None:
    """RFC 9110 §12.5.3."""
    assert preferred_coding(accepted) == coding


@pytest.mark.parametrize(
    ("accepted", "html"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html, application/json", True),
        ("text/*", True),
        ("text/html, */*", True),
        ("application/json;q=0.9, text/html", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html", False),
        ("application/json, text/html;q=0.9, */*", False),
        ("text/html;q=0", False),
        ("text/html;q=0, */*", False),
        ("text/plain", False),
    ],
)
def test_who_gets_the_page(accepted: str, html: bool) -> None:
    """A browser that opens the URL; not a program, whatever it takes."""
    assert prefers_html(accepted) is html


def test_preferences_of_absurd_length_are_not_read() -> None:
    """They would be remembered: a few hundred of them fill the memory."""
    assert preferred_coding("gzip" + " " * LONGEST_READ) == ""
    assert not prefers_html("text/html" + " " * LONGEST_READ)


async def sent(chunks: list[bytes], accepted: str | None, *, whole: bool) -> list[Any]:
    """Return the messages of an answer, sent whole or in chunks."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    if whole:
        await send_reply({"type": "http"}, send, Reply(body=b"".join(chunks)), accepted=accepted)
        return messages
    spool = Spool(stop=lambda: None)
    for chunk in chunks:
        spool.push(chunk)
    spool.end()
    departure = Departures().of(asyncio.Event().wait)  # type: ignore[arg-type]
    await send_list(send, spool, accepted=accepted, departure=departure)
    return messages


@pytest.mark.parametrize("accepted", [None, "", "gzip", "br", "gzip, *;q=0"])
async def test_a_long_answer_has_the_headers_and_the_bytes_of_one_that_is_sent_whole(accepted: str | None) -> None:
    chunks = [b"a" * 10, b"b" * THREAD_BYTES * 2, bytes(range(256)) * 20]
    whole, pieces = await sent(chunks, accepted, whole=True), await sent(chunks, accepted, whole=False)
    headers = dict(whole[0]["headers"])
    del headers[b"content-length"]
    assert dict(pieces[0]["headers"]) == headers
    bodies = [b"".join(message["body"] for message in messages[1:]) for messages in (whole, pieces)]
    if b"content-encoding" in headers:
        bodies = [zlib.decompress(body, zlib.MAX_WBITS | 16) for body in bodies]
    assert bodies == [b"".join(chunks)] * 2


async def test_each_compressed_chunk_can_be_read_when_it_has_come() -> None:
    chunks = [b"first", b"second" * THREAD_BYTES, b"third"]
    _, *messages = await sent(chunks, "gzip", whole=False)
    reader = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert [reader.decompress(message["body"]) for message in messages] == [*chunks, b"", b""]
    assert reader.eof
