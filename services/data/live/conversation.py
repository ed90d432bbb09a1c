"""One client on a WebSocket: its messages → operations begun and ended, their results → its outbox. Called by socket.

Knows the protocol, the service and the outbox, but no socket: whoever can pass texts to and fro can hold one.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

from server_core.wire import GraphQLRequest, GraphQLResponse
from services.data.errors import DataError, LimitReached
from services.data.live import protocol as messages
from services.data.live.hub import Watcher
from services.data.live.outbox import Outbox


class Operations(Protocol):
    """What a conversation needs of the service."""

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        """Answer a query or mutation; a failure is an answer with `errors`."""

    def watch(self, request: GraphQLRequest, watcher: Watcher) -> Callable[[], None] | None:
        """Begin a subscription and return how to end it; None if the request is none.

        Raises:
            DataError: the request is not valid.
        """


class Conversation:
    """What one client has begun.

    Args:
        protocol: its protocol, fresh.
        service: who answers.
        outbox: where to put what it is sent.
        most: operations it may have open at a time.

    Attributes:
        initialised: set when the client has begun as the protocol wants it.
    """

    def __init__(self, protocol: messages.Protocol, service: Operations, outbox: Outbox, *, most: int) -> None:
        self._protocol = protocol
        self._service = service
        self._outbox = outbox
        self._most = most
        self._serial = count()
        self._subscriptions: dict[str, _Subscription] = {}
        self._requests: dict[str, asyncio.Task[None]] = {}
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
                    self._end(id)
                case messages.Close():
                    self._closing = True
                    self._outbox.put(step)
        if self._protocol.initialised:
            self.initialised.set()

    def late(self) -> None:
        """Close: the client did not begin in time."""
        self._closing = True
        self._outbox.put(self._protocol.timed_out())

    def keep_alive(self) -> None:
        """Show the client that the connection is alive; one such message waits at most."""
        self._outbox.replace("keep-alive", (self._protocol.keep_alive(),))

    def stop(self) -> None:
        """End everything: the client is gone. Requests that were begun are carried out, nobody hears of it."""
        for subscription in self._subscriptions.values():
            subscription.end()
        self._subscriptions.clear()
        self._requests.clear()

    def _begin(self, id: str, request: GraphQLRequest) -> None:
        if len(self._subscriptions) + len(self._running) >= self._most:
            self._fail(id, [LimitReached(f"more than {self._most} operations are open on this connection").entry()])
            return
        subscription = _Subscription(
            outbox=self._outbox,
            key=next(self._serial),
            wrap=lambda body: self._protocol.result(id, body),
            fail=lambda error: self._fail(id, [error.entry()]),
        )
        try:
            end = self._service.watch(request, subscription)
        except DataError as error:
            self._fail(id, [error.entry()])
            return
        if end is not None:
            subscription.begun(end)
            self._subscriptions[id] = subscription
            return
        task = self._requests[id] = asyncio.create_task(self._execute(id, request))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _execute(self, id: str, request: GraphQLRequest) -> None:
        body = (await self._service.execute(request)).body.decode()
        if self._requests.get(id) is not asyncio.current_task():
            return
        del self._requests[id]
        if body.startswith('{"errors":'):
            self._fail(id, json.loads(body)["errors"])
            return
        self._protocol.ended(id)
        self._outbox.put("".join(self._protocol.result(id, body)))
        self._outbox.put(self._protocol.completion(id))

    def _end(self, id: str) -> None:
        """Forget an operation that the client has ended."""
        self._requests.pop(id, None)
        subscription = self._subscriptions.pop(id, None)
        if subscription is not None:
            subscription.end()

    def _fail(self, id: str, errors: Sequence[Mapping[str, Any]]) -> None:
        self._subscriptions.pop(id, None)
        self._protocol.ended(id)
        self._outbox.put(self._protocol.failure(id, errors))


class _Subscription:
    """Passes the results of one live query on to the outbox."""

    def __init__(
        self, *, outbox: Outbox, key: int, wrap: Callable[[str], messages.Parts], fail: Callable[[DataError], None]
    ) -> None:
        self._outbox = outbox
        self._key = key
        self._wrap = wrap
        self._fail = fail
        self._end: Callable[[], None] = lambda: None

    def begun(self, end: Callable[[], None]) -> None:
        """Note how to end the live query."""
        self._end = end

    def result(self, body: str) -> None:
        """Take a result; one that was not sent yet is replaced."""
        self._outbox.replace(self._key, self._wrap(body))

    def failed(self, error: DataError) -> None:
        """Take the error that ended the live query."""
        self._fail(error)

    def end(self) -> None:
        """End the live query; what was not sent yet is not sent any more."""
        self._end()
        self._outbox.drop(self._key)
