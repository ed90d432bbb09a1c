"""WebSockets of Starlette → conversations. The endpoint of a service's WebSocket routes.

Per socket one task reads, one writes and one watches the clock; when the first of them is done, so is the socket.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from server_core.config import LiveSettings
from server_core.graphql_ws.conversation import Conversation, Operations
from server_core.graphql_ws.outbox import Outbox
from server_core.graphql_ws.protocol import GOING_AWAY, NOT_ACCEPTABLE, negotiate
from server_core.wire import forwarded_headers

logger = logging.getLogger(__name__)

TRY_AGAIN_LATER: Final = 1013
"""RFC 6455 registry: the server has no room for now."""

LEAVE_SECONDS: Final = 1.0
"""How long requests on sockets may still take when the server stops, and clients to take their answers."""


class Sockets:
    """Serves WebSockets.

    Args:
        service: who answers.
        settings: limits and times.
        exact: fractions in variables as Decimal, for a service that writes none of them as JSON.
    """

    def __init__(self, service: Operations, settings: LiveSettings, *, exact: bool = False) -> None:
        self._service = service
        self._settings = settings
        self._exact = exact
        self._conversations: set[Conversation] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._leaving = False

    @property
    def open(self) -> int:
        """How many clients there are."""
        return len(self._conversations)

    async def serve(self, websocket: WebSocket) -> None:
        """Talk to one client until it leaves, breaks the protocol or does not read, or the server stops."""
        protocol = negotiate(websocket.scope["subprotocols"], exact=self._exact)
        if protocol is None:
            await websocket.accept()
            await websocket.close(NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        await websocket.accept(protocol.name)
        if self._leaving:
            await websocket.close(GOING_AWAY)
            return
        if self.open >= self._settings.max_sockets:
            await websocket.close(TRY_AGAIN_LATER, "Too many connections")
            return
        outbox = Outbox(websocket.send_text, websocket.close, timeout=self._settings.send_timeout_seconds)
        conversation = Conversation(
            protocol,
            self._service,
            outbox,
            most=self._settings.max_operations_per_socket,
            headers=forwarded_headers(websocket.headers),
        )
        self._conversations.add(conversation)
        self._empty.clear()
        try:
            await first_done(_read(websocket, conversation, outbox), outbox.run(), self._watch_clock(conversation))
        except TimeoutError:
            logger.warning("a WebSocket client does not read, its connection is closed")
        except WebSocketDisconnect:
            pass
        finally:
            conversation.stop()
            self._conversations.discard(conversation)
            if not self._conversations:
                self._empty.set()

    async def leave(self) -> None:
        """Say good-bye to all clients, after the requests that run were answered; returns within LEAVE_SECONDS."""
        self._leaving = True
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await asyncio.gather(*(conversation.leave() for conversation in self._conversations))
                await self._empty.wait()
        except TimeoutError:
            for conversation in self._conversations:
                conversation.close(GOING_AWAY)

    async def _watch_clock(self, conversation: Conversation) -> None:
        try:
            async with asyncio.timeout(self._settings.init_timeout_seconds):
                await conversation.initialised.wait()
        except TimeoutError:
            conversation.late()
            await asyncio.Event().wait()  # the writer ends it
        while True:
            await asyncio.sleep(self._settings.keep_alive_seconds)
            conversation.keep_alive()


async def _read(websocket: WebSocket, conversation: Conversation, outbox: Outbox) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        conversation.heard(message["bytes"] if text is None else text)
        await outbox.room()


async def first_done(*work: Coroutine[Any, Any, None]) -> None:
    """Run all, return when one is done and raise what it raises; the others are cancelled."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
