"""The command line → one of the verbs below it; the door of the error tree for people at a terminal.

Exit codes: 0 done, 1 it cannot be done (one line on stderr says why), 2 the command line is wrong,
130 interrupted while stopping.
"""

import sys
from typing import Annotated

import typer

from server_core.cli import config, database, dev, doctor, services, start, tenant
from server_core.errors import ServerError
from server_core.observe import server_version

app = typer.Typer(
    name="prefect-server",
    help="A server for Prefect 0.14 - 1.4: one process, one Postgres.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command(name="start")(start.start)
app.command(name="services")(services.services)
app.command(name="doctor")(doctor.doctor)
app.add_typer(dev.app, name="dev")
app.add_typer(database.app, name="database")
app.add_typer(tenant.app, name="tenant")
app.add_typer(config.app, name="config")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"prefect-server {server_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before the command."""


def main() -> None:
    """Run the command line of this process; never shows a stack trace for a mistake of the user's."""
    try:
        app()
    except ServerError as error:
        sys.exit(f"prefect-server: {error.message}")
