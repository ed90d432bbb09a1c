"""`prefect-server dev`: the database alone, and the services as processes, for people who work on the server."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from server_core.cli.assemble import NEED_DATABASE, SERVICES, loop_names
from server_core.cli.infrastructure import DEFAULT_PORT, Wanted
from server_core.cli.infrastructure import infrastructure as run_infrastructure
from server_core.cli.lifetime import Lifetime, run
from server_core.cli.readiness import database_url
from server_core.cli.reload import changes, source_tree
from server_core.cli.supervisor import Run, Supervisor
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.config_values import environment_name
from server_core.errors import ConfigError
from server_core.observe import configure_logging

ALIASES = {"apollo": "gateway", "hasura": "data"}
"""Names of the legacy services that ours replace."""

app = typer.Typer(help="For people who work on the server.", no_args_is_help=True)


@app.command()
def infrastructure(
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Run the embedded Postgres even where there is a Docker engine.")
    ] = False,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine. [default: 5432]")] = DEFAULT_PORT,
    skip_upgrade: Annotated[
        bool, typer.Option("--skip-upgrade", help="Leave the schema as it is: `prefect-server database upgrade`.")
    ] = False,
    skip_pull: Annotated[bool, typer.Option("--skip-pull", help="Use the image that is here.")] = False,
    tag: Annotated[
        str | None, typer.Option("-t", "--tag", help="Tag of the image of Postgres. [default: as docker-compose.yml]")
    ] = None,
) -> None:
    """Run Postgres alone, upgraded, in the foreground until Ctrl-C.

    It is the one of docker-compose.yml where a Docker engine answers, else the embedded one. Both listen on 127.0.0.1
    and are stopped at the end; what they stored stays. `prefect-server dev services` and the other commands find it by
    themselves. POSTGRES_USER and POSTGRES_PASSWORD set who may connect; without a password the embedded one gets its
    own, which it prints.
    """
    settings = load_settings()
    configure_logging(settings.logging)
    wanted = Wanted(port=port, embedded=embedded, skip_upgrade=skip_upgrade, skip_pull=skip_pull, tag=tag)
    run(lambda lifetime: run_infrastructure(lifetime, settings, wanted))


@app.command()
def services(
    include: Annotated[
        list[str] | None, typer.Option("-i", "--include", help="Run these only; several or comma-separated.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option("-e", "--exclude", help="Run all but these.")] = None,
    no_reload: Annotated[bool, typer.Option("--no-reload", help="Let them run on when their code changes.")] = False,
) -> None:
    """Run the services, one process each, until Ctrl-C.

    Names: gateway, data, graphql, towel, which runs all loops, or single loops: scheduler, lazarus, zombie_killer,
    removal, retention, statistics; also apollo and hasura, the legacy names of gateway and data. Those that are left
    out may run elsewhere, in a debugger for example. Without a database URL they use the Postgres of `prefect-server
    dev infrastructure`.

    A service whose code changes is started anew; so is one that ends by itself.
    """
    settings = load_settings()
    configure_logging(settings.logging)
    runs = choose(include or [], exclude or [], loop_names())
    run(lambda lifetime: _services(lifetime, settings, runs, reload=not no_reload))


def choose(include: Sequence[str], exclude: Sequence[str], loops: Sequence[str]) -> list[Run]:
    """Return what to run of the services, and of these loops.

    A loop that is asked for by its name is a process of its own. One takes the port of the towel, several take any.

    Raises:
        ConfigError: a name is unknown, none is included, or none is left.
    """
    wanted, unwanted = _names(include, loops), _names(exclude, loops)
    if include and not wanted:
        raise ConfigError("--include names no service.")  # an empty variable of a shell, say: not all of them
    single = [name for name in loops if name in wanted and "towel" not in wanted and name not in unwanted]
    runs = [
        Run(name=name, service=name, arguments=("services", name))
        for name in SERVICES
        if name != "towel" and (not wanted or name in wanted) and name not in unwanted
    ]
    if "towel" not in unwanted and (not wanted or "towel" in wanted):
        kept = [name for name in loops if name not in unwanted]
        some = () if len(kept) == len(loops) else ("--loops", ",".join(kept))
        if kept:
            runs.append(Run(name="towel", service="towel", arguments=("services", "towel", *some)))
    elif "towel" not in unwanted:
        port = ("--port", "0") if len(single) > 1 else ()
        runs += [
            Run(name=name, service="towel", arguments=("services", "towel", "--loops", name, *port)) for name in single
        ]
    if not runs:
        raise ConfigError("No service is left to run.")
    return runs


def _names(given: Sequence[str], loops: Sequence[str]) -> set[str]:
    names = {ALIASES.get(name.strip(), name.strip()) for each in given for name in each.split(",") if name.strip()}
    unknown = sorted(names.difference(SERVICES, loops))
    if unknown:
        known = f"{', '.join((*SERVICES, *ALIASES))}, the loops {', '.join(loops)}"
        raise ConfigError(f"Unknown service {', '.join(unknown)}; the services are {known}.")
    return names


async def _services(lifetime: Lifetime, settings: Settings, runs: Sequence[Run], *, reload: bool) -> None:
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    if settings.logging.format == "auto" and sys.stdout.isatty():  # theirs is our pipe, but a person reads it
        environ[environment_name("logging.format")] = "console"
    if any(run.service in NEED_DATABASE for run in runs):
        environ[environment_name("database.connection_url")] = database_url(settings)
    await Supervisor(lifetime, runs, environ).run(changes(source_tree()) if reload else None)
