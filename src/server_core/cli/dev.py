"""`prefect-server dev`: the database alone, and the services as processes, for people who work on the server."""

import asyncio
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from server_core.cli.assemble import NEED_DATABASE, SERVICES, loop_names
from server_core.cli.embedded import start_embedded
from server_core.cli.lifetime import Lifetime, run
from server_core.cli.readiness import database_url, prepare
from server_core.cli.supervisor import supervise
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.config_values import environment_name
from server_core.errors import ConfigError
from server_core.observe import configure_logging

COMPOSE_FILE = "docker-compose.yml"
COMPOSE_DSN = "postgresql://prefect:prefect@localhost:5432/prefect_server"
"""The Postgres of our docker-compose.yml, as it is published on this machine."""

ALIASES = {"apollo": "gateway", "hasura": "data"}
"""Names of the legacy services that ours replace."""

app = typer.Typer(help="For people who work on the server.", no_args_is_help=True)


@app.command()
def infrastructure(
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Run the embedded Postgres even where there is a Docker engine.")
    ] = False,
) -> None:
    """Run Postgres alone, upgraded, in the foreground until Ctrl-C.

    It is the one of docker-compose.yml in the current folder where a Docker engine answers, else the embedded one.
    """
    settings = load_settings()
    configure_logging(settings.logging)
    run(lambda lifetime: _infrastructure(lifetime, settings, embedded))


@app.command()
def services(
    include: Annotated[
        list[str] | None, typer.Option("-i", "--include", help="Run these only; several or comma-separated.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option("-e", "--exclude", help="Run all but these.")] = None,
) -> None:
    """Run the services, one process each, until Ctrl-C or until one of them ends.

    Names: gateway, data, graphql, towel (and apollo, hasura for the first two), and the loops of the towel: scheduler,
    lazarus, zombie_killer, … Without a database URL they use the Postgres of `prefect-server dev infrastructure`.
    """
    settings = load_settings()
    configure_logging(settings.logging)
    choice = choose(include or [], exclude or [], loop_names())
    run(lambda lifetime: _services(lifetime, settings, choice))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What `dev services` runs: services, in their order, and loops of the towel; None: as its settings say."""

    services: Sequence[str]
    loops: Sequence[str] | None


def choose(include: Sequence[str], exclude: Sequence[str], loops: Sequence[str]) -> Choice:
    """Return what to run of the services, and of these loops.

    Raises:
        ConfigError: a name is unknown, or none is left.
    """
    wanted, unwanted = _names(include, loops), _names(exclude, loops)
    chosen = [
        name
        for name in loops
        if (not wanted or name in wanted or "towel" in wanted) and name not in unwanted and "towel" not in unwanted
    ]
    services = [
        name
        for name in SERVICES
        if (bool(chosen) if name == "towel" else (not wanted or name in wanted) and name not in unwanted)
    ]
    if not services:
        raise ConfigError("No service is left to run.")
    return Choice(services=services, loops=None if chosen == list(loops) else chosen)


def _names(given: Sequence[str], loops: Sequence[str]) -> set[str]:
    names = {ALIASES.get(name.strip(), name.strip()) for each in given for name in each.split(",") if name.strip()}
    unknown = sorted(names.difference(SERVICES, loops))
    if unknown:
        known = f"{', '.join((*SERVICES, *ALIASES))}, the loops {', '.join(loops)}"
        raise ConfigError(f"Unknown service {', '.join(unknown)}; the services are {known}.")
    return names


async def _infrastructure(lifetime: Lifetime, settings: Settings, embedded: bool) -> None:
    if not embedded and Path(COMPOSE_FILE).is_file() and await _docker_answers():  # noqa: ASYNC240 - once, at start
        await _compose(lifetime, settings)
        return
    dsn = await start_embedded(lifetime, settings)
    await lifetime.unless_stopped(prepare(settings, dsn))
    typer.echo(_said(dsn))
    await lifetime.stopping.wait()


def _said(dsn: str) -> str:
    return f"Postgres is ready: {dsn}\nStart the services with: prefect-server dev services"


async def _docker_answers() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    quiet = asyncio.subprocess.DEVNULL
    asked = await asyncio.create_subprocess_exec(docker, "info", stdin=quiet, stdout=quiet, stderr=quiet)
    return await asked.wait() == 0


async def _compose(lifetime: Lifetime, settings: Settings) -> None:
    """Run the composed Postgres; in a session of its own, so that a Ctrl-C reaches it through us, once."""
    compose = ("docker", "compose", "-f", COMPOSE_FILE)
    child = await asyncio.create_subprocess_exec(*compose, "up", "postgres", start_new_session=True)
    ended = asyncio.ensure_future(child.wait())
    stop = asyncio.ensure_future(lifetime.stopping.wait())
    ready = asyncio.ensure_future(_say_when_ready(settings, COMPOSE_DSN))
    await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    stop.cancel()
    if ended.done():
        raise ConfigError(f"docker compose ended with exit code {child.returncode}.")
    child.send_signal(signal.SIGINT)
    await ended


async def _say_when_ready(settings: Settings, dsn: str) -> None:
    await prepare(settings, dsn)
    typer.echo(_said(dsn))


async def _services(lifetime: Lifetime, settings: Settings, choice: Choice) -> None:
    environ = dict(os.environ)
    if any(name in NEED_DATABASE for name in choice.services):
        environ[environment_name("database.connection_url")] = database_url(settings)
    if choice.loops:
        environ[environment_name("towel.loops")] = ",".join(choice.loops)
    failure = await supervise(lifetime, choice.services, environ)
    if failure is not None:
        raise ConfigError(f"{failure}; the others were stopped.")
