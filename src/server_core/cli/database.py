"""`prefect-server database`: the database as a whole, its schema, and what is too old in it."""

import asyncio
import os
import sys
from dataclasses import replace

import typer

from server_core.actions.context import ActionContext
from server_core.actions.erasure import TimeBudget
from server_core.actions.retention import apply_retention
from server_core.cli.asking import confirm
from server_core.cli.readiness import database_url, prepare, wait_for_database, wait_for_schema, with_database
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.db import administration, migrate
from server_core.db.dsn import is_local, redacted
from server_core.db.legacy import BASELINE
from server_core.db.plan import plan
from server_core.db.revisions import Revisions, head_revisions, pending
from server_core.db.session import Database
from server_core.errors import ConfigError
from server_core.observe import configure_logging

app = typer.Typer(help="The database: made and dropped, its schema, and what is too old in it.", no_args_is_help=True)

_URL = typer.Option(None, "--database-url", help="URL of the database. [default: the setting database.connection_url]")
_YES = typer.Option(False, "-y", "--yes", help="Do not ask.")
_DRY_RUN = typer.Option(False, "-n", "--dry-run", help="Change nothing; say what would be done.")
_UNSAFE = typer.Option(False, "--unsafe", help="Also where the database is not on this machine.")


@app.command()
def create(url: str | None = _URL) -> None:
    """Make the database itself, empty, if it is not there; `upgrade` gives it the schema."""
    _, dsn = _target(url)
    made = asyncio.run(administration.create_database(dsn))
    typer.echo(f"{redacted(dsn)} {'was created' if made else 'is there already'}")


@app.command()
def upgrade(
    url: str | None = _URL,
    yes: bool = _YES,
    dry_run: bool = _DRY_RUN,
    sql: bool = typer.Option(False, "--sql", help="With --dry-run: print the statements too."),
) -> None:
    """Bring the database to the schema of this release, and create the default tenant once.

    Does nothing to a database that is there already. Several may do this at the same time. Asks first at a terminal,
    when the database has a schema that would be changed.
    """
    settings, dsn = _target(url)
    found = asyncio.run(_found(settings, dsn))
    if dry_run:
        typer.echo(asyncio.run(plan(dsn)).text(statements=sql))
        return
    found.refuse_unknown()
    steps = pending(found)
    if steps and found.legacy is not None and sys.stdin.isatty():
        confirm(f"This changes the schema of {redacted(dsn)} ({len(steps)} revisions; --dry-run lists them).", yes=yes)
    asyncio.run(prepare(settings, dsn))
    typer.echo(f"{redacted(dsn)} is at revisions {head_revisions()}")


@app.command()
def downgrade(url: str | None = _URL, yes: bool = _YES, dry_run: bool = _DRY_RUN) -> None:
    """Take our additions to the schema back, for who leaves for good; runs and flows stay.

    The database is then as the legacy server left it. It needs none of this to be started on a database of ours. Stop
    the servers first.
    """
    settings, dsn = _target(url)
    found = asyncio.run(_found(settings, dsn))
    found.refuse_unknown(leaving=True)
    if found.additions is None:
        typer.echo(f"{redacted(dsn)} has no additions of ours: nothing to do")
        return
    if dry_run:
        for step in reversed(pending(replace(found, legacy=BASELINE, additions=None), until=found.additions)):
            typer.echo(f"would take back {step}")
        return
    confirm(f"This takes back what this server added to the schema of {redacted(dsn)}.", yes=yes)
    asyncio.run(migrate.downgrade(dsn))
    typer.echo(f"{redacted(dsn)} is at revisions {asyncio.run(_found(settings, dsn))}")


@app.command()
def reset(url: str | None = _URL, yes: bool = _YES, unsafe: bool = _UNSAFE) -> None:
    """Drop the database with all that is in it, make it anew and upgrade it. Connections of programs are cut."""
    settings, dsn = _target(url)
    _guard(dsn, "reset", yes=yes, unsafe=unsafe)

    async def work() -> None:
        await administration.require_creation(dsn)
        await administration.drop_database(dsn)
        await administration.create_database(dsn)
        await prepare(settings, dsn)

    asyncio.run(work())
    typer.echo(f"{redacted(dsn)} is empty and at revisions {head_revisions()}")


@app.command()
def destroy(url: str | None = _URL, yes: bool = _YES, unsafe: bool = _UNSAFE) -> None:
    """Drop the database with all that is in it. Connections of programs are cut."""
    _, dsn = _target(url)
    _guard(dsn, "destroyed", yes=yes, unsafe=unsafe)
    dropped = asyncio.run(administration.drop_database(dsn))
    typer.echo(f"{redacted(dsn)} {'was dropped' if dropped else 'is not there'}")


@app.command()
def current(url: str | None = _URL) -> None:
    """Say at which revisions the database is, and at which this release is."""
    settings, dsn = _target(url)
    found, expected = asyncio.run(_found(settings, dsn)), head_revisions()
    if found == expected:
        typer.echo(f"{redacted(dsn)} is at revisions {found}, those of this release")
    else:
        typer.echo(
            f"{redacted(dsn)} is at revisions {found}, this release needs {expected}: prefect-server database upgrade"
        )


@app.command()
def check(url: str | None = _URL) -> None:
    """Compare the schema of the database with what this release expects; exit code 1 with a line per difference."""
    settings, dsn = _target(url)
    found = asyncio.run(_found(settings, dsn))
    from server_core.cli.drift import differences  # it needs the models: see db/connection.engine

    lines = asyncio.run(differences(dsn, found))
    for line in lines:
        typer.echo(line)
    if lines:
        raise typer.Exit(1)
    typer.echo(f"{redacted(dsn)} is at revisions {found}, and its schema is that of this release")


@app.command()
def retention(
    url: str | None = _URL,
    dry_run: bool = typer.Option(False, "-n", "--dry-run", help="Delete nothing, count only."),
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
        typer.echo("No retention is set: see `retention.*` in `prefect-server config show`.")


def _target(url: str | None) -> tuple[Settings, str]:
    settings = load_settings()
    configure_logging(settings.logging)
    settings = with_database(settings, url)
    return settings, database_url(settings)


async def _found(settings: Settings, dsn: str) -> Revisions:
    await wait_for_database(settings, dsn)
    return await migrate.current_revisions(dsn)


def _guard(dsn: str, what: str, *, yes: bool, unsafe: bool) -> None:
    """Let only a database of this machine be lost, and only when that is meant."""
    if not unsafe and not is_local(dsn, os.environ):
        raise ConfigError(f"{redacted(dsn)} is not on this machine: it is {what} with --unsafe only.")
    if yes:
        return
    connected = asyncio.run(administration.count_connections(dsn))
    cut = f" {connected} connections are cut." if connected else ""
    confirm(f"This deletes {redacted(dsn)} with all that is in it.{cut}", yes=yes)
