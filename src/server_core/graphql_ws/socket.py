"""WebSockets of Starlette → conversations. The endpoint of a service's WebSocket routes.

Per socket one task reads, one writes and one watches the clock; when the first of them is done, so is the socket.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from server_core.config import DataSettings
from server_core.graphql_ws.conversation import Conversation, Operations
from server_core.graphql_ws.outbox import Outbox
from server_core.graphql_ws.protocol import NOT_ACCEPTABLE, negotiate

logger = logging.getLogger(__name__)

TRY_AGAIN_LATER: Final = 1013
"""RFC 6455 registry: the server has no room for now."""


class Sockets:
    """Serves WebSockets.

    Args:
        service: who answers.
        settings: limits and times, the `live_` ones.
    """

    def __init__(self, service: Operations, settings: DataSettings) -> None:
        self._service = service
        self._settings = settings
        self._open = 0

    async def serve(self, websocket: WebSocket) -> None:
        """Talk to one client until it leaves, breaks the protocol or does not read."""
        protocol = negotiate(websocket.scope["subprotocols"])
        if protocol is None:
            await websocket.accept()
            await websocket.close(NOT_ACCEPTABLE, "Subprotocol not acceptable")
            return
        await websocket.accept(protocol.name)
        if self._open >= self._settings.live_max_sockets:
            await websocket.close(TRY_AGAIN_LATER, "Too many connections")
            return
        outbox = Outbox(websocket.send_text, websocket.close, timeout=self._settings.live_send_timeout_seconds)
        conversation = Conversation(protocol, self._service, outbox, most=self._settings.live_max_operations_per_socket)
        self._open += 1
        try:
            await _first_done(_read(websocket, conversation, outbox), outbox.run(), self._watch_clock(conversation))
        except TimeoutError:
            logger.warning("a WebSocket client does not read, its connection is closed")
        except WebSocketDisconnect:
            pass
        finally:
            self._open -= 1
            conversation.stop()

    async def _watch_clock(self, conversation: Conversation) -> None:
        try:
            async with asyncio.timeout(self._settings.live_init_timeout_seconds):
                await conversation.initialised.wait()
        except TimeoutError:
            conversation.late()
            await asyncio.Event().wait()  # the writer ends it
        while True:
            await asyncio.sleep(self._settings.live_keep_alive_seconds)
            conversation.keep_alive()


async def _read(websocket: WebSocket, conversation: Conversation, outbox: Outbox) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        conversation.heard(message["bytes"] if text is None else text)
        await outbox.room()


async def _first_done(*work: Coroutine[Any, Any, None]) -> None:
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
