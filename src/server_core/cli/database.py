"""`prefect-server database`: the schema of the database, upgraded and asked for by hand, and what is too old in it."""

import asyncio
from dataclasses import replace

import typer

from server_core.actions.context import ActionContext
from server_core.actions.erasure import TimeBudget
from server_core.actions.retention import apply_retention
from server_core.cli.readiness import database_url, prepare, wait_for_database, wait_for_schema
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.db import migrate
from server_core.db.dsn import redacted
from server_core.db.revisions import Revisions, head_revisions
from server_core.db.session import Database
from server_core.observe import configure_logging

app = typer.Typer(help="The database: its schema, and what is too old in it.", no_args_is_help=True)

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


@app.command()
def retention(
    url: str | None = _URL,
    dry_run: bool = typer.Option(False, "--dry-run", help="Delete nothing, count only."),
) -> None:
    """Delete once what is older than the settings `retention.*` keep it, and print how much that was.

    The towel does the same all the time. Servers may run meanwhile; interrupted, it can be run again.
    """
    settings, dsn = _target(url)

    async def work() -> dict[str, int]:
        await wait_for_schema(settings, dsn)
        async with Database(dsn, settings.database) as database:
            context = ActionContext(database=database, settings=settings)
            return await apply_retention(context, budget=lambda _: TimeBudget(None), dry_run=dry_run)

    counts = asyncio.run(work())
    for name, count in counts.items():
        typer.echo(f"{name}: {count} {'would go' if dry_run else 'deleted'}")
    if not counts:
        typer.echo("No retention is set: see `retention.*` in `prefect-server settings`.")


def _target(url: str | None) -> tuple[Settings, str]:
    settings = load_settings()
    configure_logging(settings.logging)
    if url is not None:
        settings = replace(settings, database=replace(settings.database, connection_url=url))
    return settings, database_url(settings)
