"""A whole answer → the client: by one call of the server that runs us where it takes that, else by ASGI's two messages.

Two messages go through every layer twice, each checks and counts, and uvicorn writes twice: a tenth of what a short
request costs. So `serving` puts a function into the scope's extensions under ANSWER_AT_ONCE, which takes an answer
whole; layers that add to answers (access) put their own around it. Under another server nothing is there, and the
messages are sent.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from starlette.types import Message, Scope, Send

ANSWER_AT_ONCE: Final = "prefect_server.answer_at_once"

Headers = Sequence[tuple[bytes, bytes]]
AnswerAtOnce = Callable[[int, Headers, bytes], bool]
"""Status, headers (names in lower case, Content-Length among them) and body → whether they were taken; if not, nothing
was written, and they go by messages."""


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
