"""ASGI's messages → the body of a request, no longer than it may be. Used at the doors of all services."""

from collections.abc import Callable

from starlette.types import Receive

from server_core.wire import BEGINNING_BYTES, BodyLimits


class BodyIncomplete(Exception):
    """The client left before the body was complete."""

    message = "The request body is incomplete."
    """Nobody reads it."""


class BodyTooLarge(Exception):
    """The body is over its limit; nothing of it is kept.

    Args:
        limit: bytes.
        begun: whether anything was read.
        more: whether there may be more of it to come.
    """

    def __init__(self, limit: int, *, begun: bool, more: bool) -> None:
        super().__init__(limit)
        self.limit = limit
        self.begun = begun
        self.more = more

    @property
    def message(self) -> str:
        """What the client is told."""
        return f"The request body is larger than {self.limit} bytes."


async def receive_body(
    receive: Receive, limits: BodyLimits, *, declared: bytes = b"", beginning: Callable[[bytes], bytes] = bytes
) -> bytes:
    """Read a body. A declared length over the limit of logs is refused unread; one over the general limit, when the
    body begins otherwise.

    Args:
        receive: of the request's ASGI scope.
        limits: most bytes.
        declared: the header `Content-Length`; empty for none.
        beginning: makes of the first bytes of the body what they would be without its encoding.

    Raises:
        BodyTooLarge: it is too large.
        BodyIncomplete: the client left.
    """
    length = int(declared) if declared.isdigit() else 0
    if length > limits.most:
        raise BodyTooLarge(limits.body, begun=False, more=True)
    limit = None
    pieces: list[bytes] = []
    held = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyIncomplete
        piece: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if not more and not pieces and len(piece) <= limits.body:
            return piece  # as nearly all do
        held += len(piece)
        pieces.append(piece)
        if limit is None and (held >= BEGINNING_BYTES or not more):
            limit = limits.at(beginning(b"".join(pieces)))
        if limit is not None and max(held, length) > limit:
            pieces.clear()  # whoever handles the exception holds this frame
            raise BodyTooLarge(limit, begun=True, more=more)
        if not more:
            return b"".join(pieces)
