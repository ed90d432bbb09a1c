"""The embedded Postgres of this process, tied to its lifetime, and that of another process, found by its folder."""

import asyncio
import logging
import threading
from pathlib import Path
from urllib.parse import quote

from server_core.cli.lifetime import Lifetime
from server_core.config import Settings
from server_core.db.embedded import DATABASE, SUPERUSER, EmbeddedPostgres, TcpAccess
from server_core.errors import ConfigError

logger = logging.getLogger(__name__)

WATCH_SECONDS = 1.0
"""How often the server looks whether its Postgres is still there."""

_PORT_LINE, _SOCKETS_LINE = 3, 4
"""Where postmaster.pid says how to connect; the file's format is the same in every Postgres since 9.1."""


async def start_embedded(lifetime: Lifetime, settings: Settings, tcp: TcpAccess | None = None) -> str:
    """Start the embedded Postgres and return its DSN, by the socket.

    It is stopped however this process ends, and started again if it ends before.

    Args:
        lifetime: of this process.
        settings: where its home is.
        tcp: also listen there; None: on the socket only.

    Raises:
        ConfigError: it cannot be started.
    """
    kept = _Kept(EmbeddedPostgres(settings.home, tcp=tcp))
    lifetime.at_exit.append(kept.stop)
    dsn = await asyncio.to_thread(kept.start)
    lifetime.alongside(_watch(kept))
    return dsn


class _Kept:
    """An embedded Postgres that several threads start and stop, one at a time; once stopped it stays so.

    A stop that comes in the middle of a start waits for it: half a start would leave an orphan.
    """

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres
        self._one_at_a_time = threading.Lock()
        self._stopped = False

    def start(self) -> str:
        with self._one_at_a_time:
            return self._postgres.start()

    def start_again_if_ended(self) -> None:
        with self._one_at_a_time:
            if self._stopped or self._postgres.pid is not None:
                return
            logger.error("the embedded Postgres ended by itself; starting it again")
            self._postgres.stop()
            self._postgres.start()

    def stop(self) -> None:
        with self._one_at_a_time:
            self._stopped = True
            self._postgres.stop()


async def _watch(kept: _Kept) -> None:
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            await asyncio.to_thread(kept.start_again_if_ended)
        except ConfigError as error:
            logger.error("%s", error.message)


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
