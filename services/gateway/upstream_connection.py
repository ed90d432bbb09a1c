"""A request's bytes → its answer, over one connection to a service; of a long answer, its chunks. Called by upstream.

Answers that come whole and simple, as nearly all do, go past the parser.
"""

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import cast

import httptools

from server_core.deadlines import Deadlines
from server_core.spool import Spool
from server_core.wire import PLAIN, GraphQLResponse

_SIMPLE = re.compile(
    rb"HTTP/1\.1 200(?: [^\r\n]*+)?\r\n"
    rb"(?:(?!content-length|transfer-encoding|connection:(?! *keep-alive\r))[!#-9A-Z^-z|~]++:[^\r\n]*+\r\n)*+"
    rb"content-length: *([0-9]{1,9})\r\n"
    rb"(?:(?!content-length|transfer-encoding|connection:(?! *keep-alive\r))[!#-9A-Z^-z|~]++:[^\r\n]*+\r\n)*+"
    rb"\r\n",
    re.IGNORECASE,
)
"""The head of an answer that needs no parser: a length, no other framing, and the connection is kept."""

_PLAIN = b"\r\n%b: %b\r\n" % PLAIN


class Broken(Exception):
    """The exchange cannot be completed on this connection."""

    def __init__(self, reason: str, *, begun: bool) -> None:
        super().__init__(reason)
        self.begun = begun


class Late(Exception):
    """The time for an answer is over."""


class Connection(asyncio.Protocol):
    """One connection: one request at a time. Also the callbacks of the parser of its answers.

    Args:
        loop: the event loop.
        busy: has it expire when an answer takes too long, or the next chunk of one.
        make_spool: makes what chunks lie in.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, busy: "Deadlines[Connection]", make_spool: Callable[..., Spool]
    ) -> None:
        self.loop = loop
        self._busy = busy
        self._make_spool = make_spool
        self.used_at = 0.0
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[GraphQLResponse] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._chunks: list[bytes] = []
        self._begun = False
        self._framed = False
        self._headed = False
        self._keep = False
        self._chunked = False
        self._plain = False
        self._spool: Spool | None = None
        self._pausing: asyncio.Task[None] | None = None

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last answer is complete, nothing else came, nobody closed."""
        return self._keep and self._transport is not None and not self._transport.is_closing()

    def send(self, payload: bytes, *, chunked: bool) -> "asyncio.Future[GraphQLResponse]":
        """Send a request; return what becomes its answer, or Broken, or Late. `done` comes after it.

        Args:
            payload: head and body.
            chunked: a long answer is wanted as it comes.
        """
        self._chunked = chunked
        self._answer = answer = self.loop.create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(Broken("closed", begun=False))
            return answer
        self._begun = self._keep = self._headed = False
        self._parser = None
        self._transport.write(payload)
        return answer

    def done(self) -> None:
        """Take notice that nobody waits for an answer any more."""
        self._answer = None

    def expire(self) -> None:
        """Wait for the answer no longer."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Late())
        elif self._spool is not None:
            self._fail("no chunk for too long")

    def close(self) -> None:
        """Close without waiting for anything."""
        self._keep = False
        if self._transport is not None:
            self._transport.abort()

    def _reset(self) -> None:
        self._chunks = []
        self._framed = self._headed = self._plain = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's; create_connection makes only this kind.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or answer.done():
            if self._spool is None:
                self.close()  # nobody asked: what comes next could be taken for the answer to the next request
                return
        elif not self._begun:
            self._begun = True
            if self._whole(data, answer):
                return
            self._reset()
            self._parser = httptools.HttpResponseParser(self)
        assert self._parser is not None  # noqa: S101 - the first piece made it
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"not HTTP: {error}")

    def _whole(self, data: bytes, answer: "asyncio.Future[GraphQLResponse]") -> bool:
        """Take an answer that came in one piece, as most do, past the parser; tell whether it was one."""
        head = _SIMPLE.match(data)
        if head is None or int(head[1]) != len(data) - head.end() or self._transport is None:
            return False
        self._keep = self._transport.get_write_buffer_size() == 0
        self.used_at = monotonic()
        plain = data.find(_PLAIN, 0, head.end()) >= 0
        answer.set_result(GraphQLResponse(body=data[head.end() :], plain=plain))
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._keep = False
        if self._headed and not self._framed and exc is None:
            self._complete()  # an answer without a length ends with the connection
        else:
            self._fail("connection closed")

    def _fail(self, reason: str) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.fail(Broken(reason, begun=True))
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Broken(reason, begun=self._begun))
        self.close()

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done() and self._parser is not None:
            status = self._parser.get_status_code()
            plain = self._plain and status == HTTPStatus.OK
            self._answer.set_result(GraphQLResponse(body=b"".join(self._chunks), status=status, plain=plain))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self._framed = True
            self._chunked = self._chunked and name == b"transfer-encoding"
        elif (name, value) == PLAIN:
            self._plain = True

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_body(self, body: bytes) -> None:
        spool = self._spool
        if spool is None:
            if not self._begins_list():
                self._chunks.append(body)
                return
            assert self._answer is not None  # noqa: S101 - _begins_list has looked
            spool = self._spool = self._make_spool(stop=self.close)
            self._answer.set_result(GraphQLResponse(body=b"", plain=True, chunks=spool))
        spool.push(body)
        transport = self._transport
        if self._pausing is None and transport is not None and not transport.is_closing():
            self._busy.begin(self)
            if spool.full:
                transport.pause_reading()
                self._busy.end(self)
                self._pausing = self.loop.create_task(self._resume(spool, transport))

    def _begins_list(self) -> bool:
        """Tell whether what comes now is the beginning of a long answer to be passed on as it comes."""
        return (
            self._chunked
            and self._framed
            and self._plain
            and not self._chunks
            and self._parser is not None
            and self._parser.get_status_code() == HTTPStatus.OK
            and self._answer is not None
            and not self._answer.done()
        )

    async def _resume(self, spool: Spool, transport: asyncio.Transport) -> None:
        """Read on when there is room."""
        await spool.room()
        self._pausing = None
        if not transport.is_closing():
            self._busy.begin(self)
            transport.resume_reading()

    def on_message_complete(self) -> None:
        parser, transport, spool = self._parser, self._transport, self._spool
        if parser is None or transport is None or (spool is None and (self._answer is None or self._answer.done())):
            self.close()
            return
        if parser.get_status_code() < 200:  # 100 Continue and its like: the answer is still to come
            self._reset()
            return
        self._keep = parser.should_keep_alive() and transport.get_write_buffer_size() == 0
        self.used_at = monotonic()
        if spool is None:
            self._complete()
        else:
            self._spool = None
            if self._pausing is not None:
                self._pausing.cancel()
                self._pausing = None
                transport.resume_reading()
            spool.end()
