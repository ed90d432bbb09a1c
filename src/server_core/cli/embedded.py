"""The embedded Postgres of this process, tied to its lifetime, and that of another process, found by its folder."""

import asyncio
import threading
from pathlib import Path
from urllib.parse import quote

from server_core.cli.lifetime import Lifetime
from server_core.config import Settings
from server_core.db.embedded import DATABASE, SUPERUSER, EmbeddedPostgres

_PORT_LINE, _SOCKETS_LINE = 3, 4
"""Where postmaster.pid says how to connect; the file's format is the same in every Postgres since 9.1."""


async def start_embedded(lifetime: Lifetime, settings: Settings) -> str:
    """Start the embedded Postgres, to be stopped however this process ends, and return its DSN.

    Raises:
        ConfigError: it cannot be started.
    """
    postgres = EmbeddedPostgres(settings.home)
    # A stop that comes in the middle of a start waits for it: half a start would leave an orphan.
    one_at_a_time = threading.Lock()

    def begin() -> str:
        with one_at_a_time:
            return postgres.start()

    def end() -> None:
        with one_at_a_time:
            postgres.stop()

    lifetime.at_exit.append(end)
    return await asyncio.to_thread(begin)


def running_embedded(home: Path) -> str | None:
    """Return the DSN of the embedded Postgres that another process runs under a home, or None."""
    postgres = EmbeddedPostgres(home)
    if postgres.pid is None:
        return None
    try:
        lines = (postgres.data / "postmaster.pid").read_text().splitlines()
        port, sockets = lines[_PORT_LINE], lines[_SOCKETS_LINE]
    except (OSError, IndexError):  # it is starting or has just stopped
        return None
    return f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(sockets, safe='/')}&port={port}"
