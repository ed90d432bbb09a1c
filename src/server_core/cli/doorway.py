"""An app that is not ready yet → a process that already says so. Served by start and services from the first moment.

While the database is awaited `/health` answers that the process is alive and `/ready` that it is not ready; all else is
503 with `Retry-After`, which the 1.x client obeys. Then every request goes to the app.
"""

import json
from collections.abc import Awaitable
from typing import Any

from starlette.types import Receive, Scope, Send

from server_core.errors import Unavailable
from server_core.observe import server_version

RETRY_AFTER = "3"
_ALIVE = ("/health", "/healthz")
_APOLLO = "/.well-known/apollo/server-health"
_TRY_AGAIN_LATER = 1013


class Doorway:
    """An ASGI app that passes everything on once it is opened."""

    def __init__(self) -> None:
        self._app: Any = None

    @property
    def state(self) -> Any:
        """That of the app (server_core.serving looks there); None before."""
        return getattr(self._app, "state", None)

    def open(self, app: Any) -> None:
        """Pass requests on from now on."""
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer one request, or have the app answer it."""
        if self._app is None:
            return _answer(scope, receive, send)
        answering: Awaitable[None] = self._app(scope, receive, send)
        return answering


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
    elif scope["type"] == "http":
        await _answer_http(scope, send)


async def _answer_http(scope: Scope, send: Send) -> None:
    status, media, document = 503, b"application/json", dict[str, Any]()
    if scope["method"] in ("GET", "HEAD") and scope["path"].endswith(_APOLLO):
        status, media, document = 200, b"application/health+json", {"status": "pass"}
    elif scope["method"] in ("GET", "HEAD") and scope["path"].endswith(_ALIVE):
        status, document = 200, {"status": "ok", "version": server_version()}
    elif scope["path"].endswith("/ready"):
        document = {
            "status": "unavailable",
            "version": server_version(),
            "schema": "",
            "services": {"database": False},
        }
    else:
        message = "The server is starting: it waits for its database. Try again in a few seconds."
        document = {"errors": [{"message": message, "extensions": {"code": Unavailable.code}}]}
    body = json.dumps(document).encode()
    headers = [(b"content-type", media), (b"content-length", str(len(body)).encode())]
    headers.append((b"access-control-allow-origin", b"*"))
    if status == 503:
        headers.append((b"retry-after", RETRY_AFTER.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
