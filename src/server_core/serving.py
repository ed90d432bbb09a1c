"""An ASGI app → a server of uvicorn that takes leave of WebSocket clients. Used wherever a service is served.

Messages are not compressed: with many clients of one live query each would cost the time to compress the same result
again, in the event loop, and memory of its own. A proxy in front of the server is the better place.
"""

import socket
from typing import Any, Final

import uvicorn

WEBSOCKETS: Final[dict[str, Any]] = {"ws": "websockets-sansio", "ws_per_message_deflate": False}
"""Options of uvicorn for WebSockets, beside `ws_max_size`."""


class Server(uvicorn.Server):
    """Uvicorn that calls `app.state.leave`, if there is one, before it cuts WebSockets off."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take leave, then stop as usual."""
        leave = getattr(getattr(self.config.app, "state", None), "leave", None)
        if leave is not None:
            await leave()
        await super().shutdown(sockets)
