"""Runs the action service as a process of its own: `python -m services.graphql`."""

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
from services.graphql.app import create_app, create_service

GRACE_SECONDS = 4
"""After a signal requests in flight get this long; the process is gone within five seconds."""


def main() -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    try:
        settings = load_settings()
        dsn = settings.database.connection_url
        if not dsn:
            raise ConfigError("database.connection_url: the action service needs a database.")
        configure_logging(settings.logging)
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
    registry = process_registry()
    app = create_app(create_service(settings, dsn, registry=registry), settings)
    observe_requests(app, service="graphql", settings=settings, registry=registry)
    uvicorn.run(
        app,
        host=settings.graphql.host,
        port=settings.graphql.port,
        loop="uvloop",
        **PROTOCOLS,
        timeout_keep_alive=settings.graphql.keep_alive_seconds,
        timeout_graceful_shutdown=GRACE_SECONDS,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
