"""Runs the action service as a process of its own: `python -m services.graphql`."""

import sys

import uvicorn

from server_core.config_loader import load_settings
from server_core.errors import ConfigError
from server_core.observe import configure_logging
from services.graphql.app import create_app, create_service


def main() -> int:
    """Serve until a signal comes; return the exit code."""
    try:
        settings = load_settings()
        dsn = settings.database.connection_url
        if not dsn:
            raise ConfigError("database.connection_url: the action service needs a database.")
    except ConfigError as error:
        print(error.message, file=sys.stderr)
        return 2
    configure_logging(settings.logging.level)
    uvicorn.run(
        create_app(create_service(settings, dsn), settings),
        host=settings.graphql.host,
        port=settings.graphql.port,
        timeout_keep_alive=settings.graphql.keep_alive_seconds,
        log_config=None,
        access_log=False,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
