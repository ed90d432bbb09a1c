"""One client on a WebSocket: its messages → operations begun and ended, their results → its outbox. Called by socket.

Knows the protocol, the service and the outbox, but no socket: whoever can pass texts to and fro can hold one.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, Protocol

from server_core.activity import branch
from server_core.graphql_ws import protocol as messages
from server_core.graphql_ws.outbox import Outbox
from server_core.wire import NO_HEADERS, End, GraphQLRequest, GraphQLResponse, Watcher, forwarded_headers


class Operations(Protocol):
    """What a conversation needs of the service."""

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Begin a subscription, or answer what is none; a failure is an answer with `errors`."""


class Conversation:
    """What one client has begun.

    Args:
        protocol: its protocol, fresh.
        service: who answers.
        outbox: where to put what it is sent.
        most: operations it may have open at a time.
        headers: the `x-prefect*` headers of its handshake.

    Attributes:
        initialised: set when the client has begun as the protocol wants it.
    """

    def __init__(
        self,
        protocol: messages.Protocol,
        service: Operations,
        outbox: Outbox,
        *,
        most: int,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        self._protocol = protocol
        self._service = service
        self._outbox = outbox
        self._most = most
        self._headers = headers
        self._serial = count()
        self._operations: dict[str, _Operation] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False
        self.initialised = asyncio.Event()

    def heard(self, message: str | bytes) -> None:
        """Do what a message asks for; nothing any more once the socket is to be closed."""
        if self._closing:
            return
        for step in self._protocol.received(message):
            match step:
                case messages.Say(text=text):
                    self._outbox.put(text)
                case messages.Begin(id=id, request=request):
                    self._begin(id, request)
                case messages.End(id=id):
                    self._forget(id)
                case messages.Close():
                    self._closing = True
                    self._outbox.put(step)
        if self._protocol.initialised:
            self.initialised.set()

    def late(self) -> None:
        """Close: the client did not begin in time."""
        self._closing = True
        self._outbox.put(self._protocol.timed_out())

    async def leave(self) -> None:
        """Close because the server stops, after the requests that run were answered; nothing more is heard."""
        self._closing = True
        for id in [id for id, operation in self._operations.items() if operation.end is not None]:
            self._forget(id)
        if self._running:
            await asyncio.wait(self._running)
        self.close(messages.GOING_AWAY)

    def close(self, code: int) -> None:
        """Close after what is still to be sent."""
        self._closing = True
        self._outbox.put(messages.Close(code=code, reason=""))

    def keep_alive(self) -> None:
        """Show the client that the connection is alive; one such message waits at most."""
        self._outbox.replace("keep-alive", (self._protocol.keep_alive(),))

    def stop(self) -> None:
        """End everything: the client is gone. Requests that were begun are carried out, nobody hears of it."""
        for id in list(self._operations):
            self._forget(id)

    def _begin(self, id: str, request: GraphQLRequest) -> None:
        live = sum(each.end is not None for each in self._operations.values())
        if live + len(self._running) >= self._most:
            excess = f"more than {self._most} operations are open on this connection"
            self._fail(id, [messages.problem(messages.LIMIT_REACHED, excess)])
            return
        operation = self._operations[id] = _Operation(self, id, next(self._serial))
        task = asyncio.create_task(self._carry_out(operation, request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _carry_out(self, operation: "_Operation", request: GraphQLRequest) -> None:
        headers = {**self._headers, **_parameter_headers(self._protocol.parameters)}
        with branch():  # what is noted of one operation is not the others'
            begun = await self._service.subscribe(replace(request, headers=headers), operation)
        if isinstance(begun, GraphQLResponse):
            if self._is_open(operation):
                self._answer(operation.id, begun.body.decode())
        elif self._is_open(operation):
            operation.end = begun
        else:
            begun()

    def _is_open(self, operation: "_Operation") -> bool:
        return self._operations.get(operation.id) is operation

    def _answer(self, id: str, body: str) -> None:
        if body.startswith('{"errors":'):
            document = json.loads(body)
            if "data" not in document:
                self._fail(id, document["errors"])
                return
        self._outbox.put("".join(self._protocol.result(id, body)))
        self._complete(id)

    def _result(self, operation: "_Operation", body: str) -> None:
        if self._is_open(operation):
            self._outbox.replace(operation.key, self._protocol.result(operation.id, body))

    def _ended(self, operation: "_Operation", errors: Sequence[Mapping[str, Any]]) -> None:
        if not self._is_open(operation):
            return
        if errors:
            self._fail(operation.id, errors)
        else:
            self._complete(operation.id)

    def _complete(self, id: str) -> None:
        self._over(id)
        self._outbox.put(self._protocol.completion(id))

    def _fail(self, id: str, errors: Sequence[Mapping[str, Any]]) -> None:
        self._over(id)
        self._outbox.put(self._protocol.failure(id, errors))

    def _over(self, id: str) -> None:
        """Note that an operation is over on our side; what it was to be sent last still is."""
        self._operations.pop(id, None)
        self._protocol.ended(id)

    def _forget(self, id: str) -> None:
        """Forget an operation that the client has ended; what was not sent yet is not sent any more."""
        operation = self._operations.pop(id, None)
        if operation is not None:
            self._outbox.drop(operation.key)
            if operation.end is not None:
                operation.end()


def _parameter_headers(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the `x-prefect*` headers among what a client said when it began: browsers cannot set any on a handshake.

    They stand beside each other, or under `headers` as clients of Hasura are used to.
    """
    nested = parameters.get("headers")
    given = {**nested, **parameters} if isinstance(nested, dict) else parameters
    return forwarded_headers({name: value for name, value in given.items() if isinstance(value, str)})


class _Operation:
    """One operation of the client; as a watcher it passes on what it is told.

    Attributes:
        end: how to end it, once it is known to be a subscription.
    """

    def __init__(self, conversation: Conversation, id: str, key: int) -> None:
        self.id = id
        self.key = key
        self.end: End | None = None
        self._conversation = conversation

    def result(self, body: str) -> None:
        """Take a result; one that was not sent yet is replaced."""
        self._conversation._result(self, body)

    def ended(self, errors: Sequence[Mapping[str, Any]]) -> None:
        """Take the errors that ended it."""
        self._conversation._ended(self, errors)
