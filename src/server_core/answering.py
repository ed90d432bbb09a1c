"""An answer → the client: whole, by one call of the server that runs us where it takes that, or in chunks.

Two messages go through every layer twice, each checks and counts, and uvicorn writes twice: a tenth of what a short
request costs. So `serving` puts a function into the scope's extensions under ANSWER_AT_ONCE, which takes an answer
whole; layers that add to answers (access) put their own around it. Under another server nothing is there, and the
messages are sent.

Of an answer in chunks the length is not known when it begins, and neither is whether it can be completed. If not, the
client is told by the only means that is left: its connection is cut amid the answer (CUT_OFF).
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from starlette.types import Message, Scope, Send

from server_core.departure import Departed, Departure
from server_core.spool import Spool

logger = logging.getLogger(__name__)

ANSWER_AT_ONCE: Final = "prefect_server.answer_at_once"

Headers = Sequence[tuple[bytes, bytes]]
AnswerAtOnce = Callable[[int, Headers, bytes], bool]
"""Status, headers (names in lower case, Content-Length among them) and body → whether they were taken; if not, nothing
was written, and they go by messages."""


CUT_OFF: Final = "prefect_server.cut_off"
"""Extension of the scope: a function that ends the connection at once, whatever lies there unsent."""


class CutOff(Exception):
    """An answer cannot be completed of which a part was sent; it is logged. Where no layer knows how to end the
    connection, a server does that when it meets this."""


def answerer(scope: Scope) -> AnswerAtOnce | None:
    """Return what takes an answer to this request whole, if there is such a thing."""
    extensions: dict[str, Any] | None = scope.get("extensions")
    return None if extensions is None else extensions.get(ANSWER_AT_ONCE)


async def send_answer(scope: Scope, send: Send, *, status: int, headers: Headers, body: bytes) -> None:
    """Answer an HTTP request.

    Args:
        scope, send: of the request.
        status: HTTP status.
        headers: names in lower case; Content-Length among them, or it is sent in chunks.
        body: the whole of it.
    """
    at_once = answerer(scope)
    if at_once is not None and at_once(status, headers, body):
        return
    start: Message = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def send_chunks(
    send: Send,
    spool: Spool,
    *,
    headers: Headers,
    departure: Departure,
    encoded: Callable[[Spool], AsyncIterator[bytes]] = aiter,
) -> None:
    """Answer an HTTP request with status 200, in chunks; the head goes with the first. Nothing is sent to who leaves.

    Args:
        send: of the request, whose client speaks HTTP/1.1 or later.
        spool: the chunks; closed in the end.
        headers: names in lower case, Content-Length not among them.
        departure: the client, looked after until the end.
        encoded: makes of the chunks what is sent, none of it empty.

    Raises:
        CutOff: the chunks failed.
    """
    sent = 0
    try:
        with departure.cancelling():
            async for chunk in encoded(spool):
                if not sent:
                    await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
                sent += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
    except Departed:
        pass
    except Exception as error:
        error_id = uuid4().hex
        logger.error("an answer was cut off after %d bytes", sent, exc_info=error, extra={"error_id": error_id})
        raise CutOff from error
    finally:
        spool.close()
        departure.over()
