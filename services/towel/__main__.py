"""Runs the maintenance loops as a process of their own: `python -m services.towel`."""

import asyncio
import sys

import uvicorn

from server_core.access import observe_requests
from server_core.config_loader import load_settings
from server_core.db.connection import wait_until_ready
from server_core.errors import ConfigError, ServerError
from server_core.metrics import process_registry
from server_core.observe import configure_logging
from server_core.serving import PROTOCOLS
from services.towel.app import create_app, create_towel

GRACE_SECONDS = 1
"""After a signal requests in flight get this long; the process is gone within five seconds."""


def main() -> int:
    """Run until SIGINT or SIGTERM; return the exit code."""
    try:
        settings = load_settings()
        dsn = settings.database.connection_url
        if not dsn:
            raise ConfigError("database.connection_url: the towel needs a database.")
        configure_logging(settings.logging)
        registry = process_registry()
        towel = create_towel(settings, dsn, registry=registry)
        asyncio.run(
            wait_until_ready(
                dsn,
                retry_seconds=settings.database.connect_retry_seconds,
                timeout_seconds=settings.database.connect_timeout_seconds,
            )
        )
    except ServerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    app = create_app(towel)
    observe_requests(app, service="towel", settings=settings, registry=registry)
    uvicorn.run(
        app,
        host=settings.towel.host,
        port=settings.towel.port,
        loop="uvloop",
        **PROTOCOLS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
