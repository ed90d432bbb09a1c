"""A wish to see the schema anew → the reload, logged, and its outcome. Called by app (`POST /-/reload`) and the process
(SIGHUP).

What was shown stays until the new schema is complete: if the metadata file is broken, or the database away, nothing
changes. Requests in flight end on the schema they began with.
"""

import ipaddress
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server_core.errors import ConfigError
from services.data.errors import DataError

logger = logging.getLogger(__name__)

Reload = Callable[[], Awaitable[None]]

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "origin")
"""Headers of what comes from elsewhere through a program on this machine: a proxy, a browser."""


async def reload_logged(reload: Reload) -> tuple[int, str]:
    """Reload; return an HTTP status and what to say. Never raises for what people can put right."""
    try:
        await reload()
    except ConfigError as error:
        logger.error("schema not reloaded, the old one stays: %s", error.message)
        return 422, error.message
    except DataError as error:
        logger.error("schema not reloaded, the old one stays: %s", error.message)
        return 503, error.message
    logger.info("schema reloaded")
    return 200, "reloaded"


def reload_endpoint(reload: Reload) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint: who may start programs on this machine may ask for a reload, nobody else."""

    async def endpoint(request: Request) -> Response:
        if not _from_this_machine(request):
            return JSONResponse({"message": "only from this machine"}, 403)
        status, message = await reload_logged(reload)
        return JSONResponse({"message": message}, status)

    return endpoint


def _from_this_machine(request: Request) -> bool:
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ipaddress.ip_address(request.client.host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
