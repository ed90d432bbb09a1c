"""The two WebSocket sub-protocols of GraphQL as state machines: a message in, what to do out. Called by conversation.

    graphql-transport-ws    of the library graphql-ws; a client that breaks it is cut off with a code of its own
    graphql-ws              of the library subscriptions-transport-ws (the older one); complaints are messages

No I/O and no clock: the caller sends, begins, ends and closes what it is told to.
"""

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from server_core.errors import InvalidInput
from server_core.wire import GraphQLRequest, loads, parse_request

UNEXPECTED_PAYLOAD: Final = "unexpected-payload"
START_FAILED: Final = "start-failed"
LIMIT_REACHED: Final = "limit-reached"

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
INVALID_MESSAGE: Final = 4400
UNAUTHORIZED: Final = 4401
NOT_ACCEPTABLE: Final = 4406
INIT_TIMEOUT: Final = 4408
ALREADY_SUBSCRIBED: Final = 4409
TOO_MANY_INITS: Final = 4429

LONGEST_REASON: Final = 123
"""Bytes that fit into a close frame beside the code."""


def problem(code: str, message: str) -> dict[str, Any]:
    """Return an error of the protocol itself as it stands in a message, in the shape of Hasura's (data-api.md §2.6)."""
    return {"extensions": {"path": "$", "code": code}, "message": message}


@dataclass(frozen=True, kw_only=True, slots=True)
class Say:
    """Send this message."""

    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Begin:
    """Begin an operation; its messages carry the id."""

    id: str
    request: GraphQLRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """End an operation, without a word."""

    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Close:
    """Close the socket after what is still to be sent."""

    code: int
    reason: str


Step = Say | Begin | End | Close

Parts = tuple[str, ...]
"""A message in pieces: a large one in the middle is shared by all who are sent it."""


class Protocol(ABC):
    """The state of one connection.

    Args:
        exact: fractions in variables as Decimal, so that no digit is lost.

    Attributes:
        name: as in Sec-WebSocket-Protocol.
        initialised: `connection_init` was acknowledged.
        parameters: what came with it.
        open: ids of the operations that were begun and have not ended.
    """

    name: ClassVar[str]

    def __init__(self, *, exact: bool = False) -> None:
        self.initialised = False
        self.parameters: Mapping[str, Any] = {}
        self._exact = exact
        self.open: set[str] = set()

    def received(self, message: str | bytes) -> Sequence[Step]:
        """Take a message of the client; return what is to be done, in order."""
        try:
            if not isinstance(message, str):
                raise InvalidInput("Messages are text, not binary.")
            document = loads(message, exact=self._exact)
            if not isinstance(document, dict) or not isinstance(document.get("type"), str):
                raise InvalidInput("A message is a JSON object with a `type`.")
        except InvalidInput as error:
            return self._unreadable(error.message)
        except (ValueError, RecursionError):
            return self._unreadable("The message is not valid JSON.")
        return self._message(document["type"], document)

    def ended(self, id: str) -> None:
        """Note that an operation is over on our side: its id is free again."""
        self.open.discard(id)

    def timed_out(self) -> Close:
        """Return what to do with a client that did not begin in time."""
        return Close(code=INIT_TIMEOUT, reason="Connection initialisation timeout")

    def _initialise(self, payload: object) -> None:
        self.initialised = True
        self.parameters = payload if isinstance(payload, dict) else {}

    @abstractmethod
    def _message(self, type: str, document: Mapping[str, Any]) -> Sequence[Step]: ...

    @abstractmethod
    def _unreadable(self, reason: str) -> Sequence[Step]: ...

    @abstractmethod
    def result(self, id: str, body: str) -> Parts:
        """Return the message with a result; `body` is `{"data":…}`."""

    @abstractmethod
    def failure(self, id: str, errors: Sequence[Mapping[str, Any]]) -> str:
        """Return the message that ends an operation with errors."""

    @abstractmethod
    def keep_alive(self) -> str:
        """Return the message that shows the connection is alive."""

    def completion(self, id: str) -> str:
        """Return the message that ends an operation."""
        return _text("complete", id=id)


class TransportProtocol(Protocol):
    """graphql-transport-ws."""

    name = "graphql-transport-ws"

    def _message(self, type: str, document: Mapping[str, Any]) -> Sequence[Step]:
        payload = document.get("payload")
        match type:
            case "connection_init" | "ping" | "pong" if payload is not None and not isinstance(payload, dict):
                return self._unreadable("`payload` must be an object.")
            case "connection_init" if self.initialised:
                return [Close(code=TOO_MANY_INITS, reason="Too many initialisation requests")]
            case "connection_init":
                self._initialise(payload)
                return [Say(text=_text("connection_ack"))]
            case "ping":
                return [Say(text=_pong(payload))]
            case "pong":
                return []
            case "subscribe" | "complete" if not _is_id(document.get("id")):
                return self._unreadable("`id` must be a string that is not empty.")
            case "subscribe":
                return self._subscribe(document["id"], payload)
            case "complete":
                known = document["id"] in self.open
                self.open.discard(document["id"])
                return [End(id=document["id"])] if known else []
        return self._unreadable("Clients send no messages of this `type`.")

    def _subscribe(self, id: str, payload: object) -> Sequence[Step]:
        if not self.initialised:
            return [Close(code=UNAUTHORIZED, reason="Unauthorized")]
        if id in self.open:
            return [Close(code=ALREADY_SUBSCRIBED, reason=_short(f"Subscriber for {id} already exists"))]
        try:
            request = parse_request(payload, exact=self._exact)
        except InvalidInput as error:
            return self._unreadable(error.message)
        self.open.add(id)
        return [Begin(id=id, request=request)]

    def _unreadable(self, reason: str) -> Sequence[Step]:
        return [Close(code=INVALID_MESSAGE, reason=_short(f"Invalid message: {reason}"))]

    def result(self, id: str, body: str) -> Parts:
        """Return the message with a result; `body` is `{"data":…}`."""
        return (f'{{"id":{json.dumps(id)},"type":"next","payload":', body, "}")

    def failure(self, id: str, errors: Sequence[Mapping[str, Any]]) -> str:
        """Return the message that ends an operation with errors."""
        return _text("error", id=id, payload=list(errors))

    def keep_alive(self) -> str:
        """Return the message that shows the connection is alive."""
        return _text("ping")


class LegacyProtocol(Protocol):
    """graphql-ws, as subscriptions-transport-ws speaks it."""

    name = "graphql-ws"

    def _message(self, type: str, document: Mapping[str, Any]) -> Sequence[Step]:
        id = document.get("id")
        match type:
            case "connection_init":
                self._initialise(document.get("payload"))
                return [Say(text=_text("connection_ack")), Say(text=self.keep_alive())]
            case "connection_terminate":
                return [Close(code=NORMAL, reason="")]
            case "start" | "stop" if not _is_id(id):
                return self._unreadable("`id` must be a string that is not empty.")
            case "start":
                return self._start(document["id"], document.get("payload"))
            case "stop":
                known = document["id"] in self.open
                self.open.discard(document["id"])
                return [End(id=document["id"])] if known else []
        if _is_id(id):
            return [Say(text=self._complaint(document["id"], UNEXPECTED_PAYLOAD, "invalid message type"))]
        return self._unreadable("Clients send no messages of this `type`.")

    def _start(self, id: str, payload: object) -> Sequence[Step]:
        if not self.initialised:
            return [Say(text=self._complaint(id, START_FAILED, "start received before the connection is initialised"))]
        # Who uses an id again means the new operation: so does the library.
        before: list[Step] = [End(id=id)] if id in self.open else []
        self.open.discard(id)
        try:
            request = parse_request(payload, exact=self._exact)
        except InvalidInput as error:
            return [*before, Say(text=self._complaint(id, UNEXPECTED_PAYLOAD, error.message))]
        self.open.add(id)
        return [*before, Begin(id=id, request=request)]

    def _unreadable(self, reason: str) -> Sequence[Step]:
        return [Say(text=_text("connection_error", payload=problem(UNEXPECTED_PAYLOAD, reason)))]

    def _complaint(self, id: str, code: str, message: str) -> str:
        return self.failure(id, [problem(code, message)])

    def result(self, id: str, body: str) -> Parts:
        """Return the message with a result; `body` is `{"data":…}`."""
        return (f'{{"type":"data","id":{json.dumps(id)},"payload":', body, "}")

    def failure(self, id: str, errors: Sequence[Mapping[str, Any]]) -> str:
        """Return the message that ends an operation: its error; of several the first, and all under `errors`."""
        return _text("error", id=id, payload=errors[0] if len(errors) == 1 else {**errors[0], "errors": list(errors)})

    def keep_alive(self) -> str:
        """Return the message that shows the connection is alive."""
        return _text("ka")


PROTOCOLS: Final[tuple[type[Protocol], ...]] = (TransportProtocol, LegacyProtocol)
"""The better one first: it is taken when a client offers both."""


def negotiate(offered: Sequence[str], *, exact: bool = False) -> Protocol | None:
    """Return the protocol to speak with a client that offers these, None if we speak none of them."""
    return next((protocol(exact=exact) for protocol in PROTOCOLS if protocol.name in offered), None)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _pong(payload: object) -> str:
    """Return the answer to a ping, with what it carried where that can be written as JSON again."""
    if payload is not None:
        with contextlib.suppress(ValueError, RecursionError):  # a number beyond all floats, or just too deep
            # Fractions may have been read as Decimal.
            document = {"type": "pong", "payload": payload}
            return json.dumps(document, separators=(",", ":"), default=float, allow_nan=False)
    return _text("pong")


def _text(type: str, **members: Any) -> str:
    return json.dumps({"type": type, **members}, separators=(",", ":"))


def _short(reason: str) -> str:
    return reason.encode(errors="ignore")[:LONGEST_REASON].decode(errors="ignore")
