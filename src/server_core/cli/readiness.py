"""A database URL → a database that can be worked with: there, at our revisions, with a tenant. For all commands."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from server_core.actions.context import ActionContext
from server_core.actions.tenants import ensure_default_tenant
from server_core.cli.embedded import running_embedded
from server_core.config import Settings
from server_core.db import migrate
from server_core.db.connection import wait_until_ready
from server_core.db.revisions import head_revisions
from server_core.db.session import Database
from server_core.db.waits import Patience
from server_core.errors import ConfigError, Unavailable

logger = logging.getLogger(__name__)


INFRASTRUCTURE = "infrastructure.url"
"""File under `home` in which `dev infrastructure` notes the DSN of what it runs."""


def database_url(settings: Settings) -> str:
    """Return the DSN of a database that somebody else runs: the one that is set, else the embedded one under `home`,
    else the one that `dev infrastructure` has Docker run.

    Raises:
        ConfigError: none is set, and none is running.
    """
    dsn = settings.database.connection_url or running_embedded(settings.home) or _noted(settings)
    if dsn is None:
        raise ConfigError(
            "There is no database: set PREFECT_SERVER__DATABASE__CONNECTION_URL to the URL of a Postgres, or start"
            " `prefect-server dev infrastructure`, which runs one."
        )
    return dsn


def with_database(settings: Settings, url: str | None) -> Settings:
    """Return the settings with the database that a command line names; None: theirs.

    `direct_url` is then not set: what settings say of another database is not about this one.
    """
    if url is None:
        return settings
    return replace(settings, database=replace(settings.database, connection_url=url, direct_url=None))


def _noted(settings: Settings) -> str | None:
    try:
        return (settings.home / INFRASTRUCTURE).read_text().strip() or None
    except OSError:
        return None


async def wait_for_database(settings: Settings, dsn: str) -> None:
    """Return when the database accepts connections; see db.connection.wait_until_ready for what is raised."""
    await wait_until_ready(
        dsn,
        retry_seconds=settings.database.connect_retry_seconds,
        timeout_seconds=settings.database.connect_timeout_seconds,
    )


async def prepare(settings: Settings, dsn: str) -> None:
    """Wait for the database, bring it to our revisions and see that it has a tenant; safe to do in many processes.

    Raises:
        ConfigError, Unavailable: the database cannot be used; one line says why.
    """

    async def work() -> None:
        await migrate.upgrade(
            settings.database.direct_url or dsn,
            patience=Patience(wait_seconds=settings.database.upgrade_wait_seconds),
        )
        async with Database(dsn, settings.database) as database:
            await ensure_default_tenant(ActionContext(database=database, settings=settings))

    await _insist(settings, dsn, work)


async def wait_for_schema(settings: Settings, dsn: str) -> None:
    """Return when the database is there and at our revisions, which `prefect-server database upgrade` sees to.

    Raises:
        ConfigError: it never will be: it belongs to another program or to a newer prefect-server.
    """
    expected = head_revisions()
    waiting = False

    async def work() -> None:
        nonlocal waiting
        while (found := await migrate.current_revisions(dsn)) != expected:
            found.refuse_unknown()
            if not waiting:
                logger.warning(
                    "waiting for the schema: the database is at revisions %s, this release needs %s;"
                    " run `prefect-server database upgrade`",
                    found,
                    expected,
                )
                waiting = True
            await asyncio.sleep(settings.database.connect_retry_seconds)

    await _insist(settings, dsn, work)


async def _insist(settings: Settings, dsn: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do work that needs the database; when it goes away meanwhile, wait for it and do the work again.

    The work may need it at another address too (`database.direct_url`), which is waited for in the same way.
    """
    said = None
    while True:
        await wait_for_database(settings, dsn)
        try:
            await work()
        except Unavailable as error:
            if error.message != said:
                logger.warning("the database went away: %s", error.message)
            said = error.message
            await asyncio.sleep(settings.database.connect_retry_seconds)
        else:
            return
