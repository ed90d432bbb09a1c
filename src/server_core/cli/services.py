"""`prefect-server services NAME`: one service in this process, for those who run each by itself."""

import asyncio
import os
import sys
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from server_core.cli.assemble import NEED_DATABASE, lifespan, service_app
from server_core.cli.doorway import Doorway
from server_core.cli.front import BasePath, TlsCert, TlsKey, front_url, with_front
from server_core.cli.lifetime import Lifetime, bind, run, url_of
from server_core.cli.readiness import database_url, wait_for_schema
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.errors import ConfigError
from server_core.memory import settle
from server_core.observe import configure_logging
from server_core.tls import Certificate

KEEP_ALIVE_SECONDS = 5
"""When services without a setting for it close idle connections: later than a gateway stops to use them."""


class Service(StrEnum):
    """The four services."""

    GATEWAY = "gateway"
    DATA = "data"
    GRAPHQL = "graphql"
    TOWEL = "towel"


def services(
    name: Annotated[Service, typer.Argument(help="gateway, data, graphql or towel.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to listen on. [default: gateway 4200, data 3000, graphql 4201, towel 4202]"
        ),
    ] = None,
    loops: Annotated[
        str | None,
        typer.Option(help="Loops of the towel to run, comma-separated: scheduler, lazarus, … [default: all]"),
    ] = None,
    base_path: BasePath = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    exit_with_parent: Annotated[bool, typer.Option("--exit-with-parent", hidden=True)] = False,
) -> None:
    """Start one service; Postgres is all the services share.

    Waits for the database and for its schema, which `prefect-server database upgrade` brings to this release. The towel
    answers `/health` and `/metrics` only. SIGHUP, or `POST /-/reload` from this machine, lets data read metadata file
    and database schema anew; SIGHUP lets the gateway read its certificate anew, if there is one.
    """
    settings = load_settings()
    configure_logging(settings.logging)
    if loops is not None and name is not Service.TOWEL:
        raise ConfigError(f"--loops is for the towel; {name} has none.")
    if name is not Service.GATEWAY and (base_path, tls_cert, tls_key) != (None, None, None):
        raise ConfigError(f"--base-path, --tls-cert and --tls-key are for the gateway; {name} has none.")
    settings = _with_options(settings, name, host, port)
    front = with_front(settings.gateway, base_path=base_path, tls_cert=tls_cert, tls_key=tls_key)
    settings = replace(settings, gateway=front)
    if loops is not None:
        settings = replace(settings, towel=replace(settings.towel, loops=loops))
    run(lambda lifetime: _run_http(lifetime, settings, name, exit_with_parent))


def _with_options(settings: Settings, name: str, host: str | None, port: int | None) -> Settings:
    section = getattr(settings, name)
    changed = replace(section, host=section.host if host is None else host, port=section.port if port is None else port)
    return replace(settings, **{name: changed})


async def _run_http(lifetime: Lifetime, settings: Settings, name: str, exit_with_parent: bool) -> None:
    section = getattr(settings, name)
    front = name == Service.GATEWAY
    certificate = Certificate.of(settings.gateway) if front else None
    sockets = bind(section.host, section.port, key=name)
    if exit_with_parent:
        _watch_parent(lifetime)
    dsn = database_url(settings) if name in NEED_DATABASE else None
    app = service_app(name, settings, dsn)
    doorway = Doorway()
    async with lifetime.serving(
        doorway,
        sockets,
        settings=settings,
        keep_alive_seconds=getattr(section, "keep_alive_seconds", KEEP_ALIVE_SECONDS),
        message_limit_bytes=settings.gateway.body_limit_bytes,
        certificate=certificate,
        proxy_headers=not front,
    ) as served:
        if dsn is not None:
            await lifetime.unless_stopped(wait_for_schema(settings, dsn))
        async with lifespan(app):
            if reload := getattr(app.state, "reload", None):
                lifetime.on_hangup(reload)
            settle()
            doorway.open(app)
            url = front_url(settings.gateway, sockets) if front else url_of(sockets)
            typer.echo(f"prefect-server {name} is ready at {url}")
            await served


def _watch_parent(lifetime: Lifetime) -> None:
    """Stop when the process that started us is gone, killed or not: then its end of our stdin is closed."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def on_input() -> None:
        if not os.read(stdin, 4096):
            loop.remove_reader(stdin)
            lifetime.stop()

    loop.add_reader(stdin, on_input)
