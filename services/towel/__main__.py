"""Runs the maintenance loops as a process of their own: `python -m services.towel`."""

import asyncio
import signal
import sys

from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.db.migrate import wait_until_ready
from server_core.errors import ConfigError, ServerError
from server_core.observe import configure_logging
from services.towel.app import create_towel


def main() -> int:
    """Run until SIGINT or SIGTERM; return the exit code."""
    try:
        settings = load_settings()
        dsn = settings.database.connection_url
        if not dsn:
            raise ConfigError("database.connection_url: the towel needs a database.")
        configure_logging(settings.logging.level)
        asyncio.run(_run(settings, dsn))
    except ServerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


async def _run(settings: Settings, dsn: str) -> None:
    await wait_until_ready(
        dsn,
        retry_seconds=settings.database.connect_retry_seconds,
        timeout_seconds=settings.database.connect_timeout_seconds,
    )
    stopping = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    towel = create_towel(settings, dsn)
    await towel.start()
    await stopping.wait()
    await towel.stop()


if __name__ == "__main__":
    raise SystemExit(main())
