"""`prefect-server database`: the schema of the database, upgraded and asked for by hand."""

import asyncio
from dataclasses import replace

import typer

from server_core.cli.readiness import database_url, prepare, wait_for_database
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.db import migrate
from server_core.db.dsn import redacted
from server_core.db.revisions import Revisions, head_revisions
from server_core.observe import configure_logging

app = typer.Typer(help="The schema of the database.", no_args_is_help=True)

_URL = typer.Option(None, "--database-url", help="URL of the database. [default: the setting database.connection_url]")


@app.command()
def upgrade(url: str | None = _URL) -> None:
    """Bring the database to the schema of this release, and create the default tenant once.

    Does nothing to a database that is there already. Several may do this at the same time.
    """
    settings, dsn = _target(url)
    asyncio.run(prepare(settings, dsn))
    typer.echo(f"{redacted(dsn)} is at revisions {head_revisions()}")


@app.command()
def status(url: str | None = _URL) -> None:
    """Say at which revisions the database is; exit code 1 when they are not those of this release."""
    settings, dsn = _target(url)

    async def ask() -> Revisions:
        await wait_for_database(settings, dsn)
        return await migrate.current_revisions(dsn)

    found, expected = asyncio.run(ask()), head_revisions()
    if found == expected:
        typer.echo(f"{redacted(dsn)} is at revisions {found}, those of this release")
        return
    typer.echo(
        f"{redacted(dsn)} is at revisions {found}, this release needs {expected}: prefect-server database upgrade"
    )
    raise typer.Exit(1)


def _target(url: str | None) -> tuple[Settings, str]:
    settings = load_settings()
    configure_logging(settings.logging.level)
    if url is not None:
        settings = replace(settings, database=replace(settings.database, connection_url=url))
    return settings, database_url(settings)
