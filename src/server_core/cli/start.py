"""`prefect-server start`: the whole server in this process, on an embedded Postgres where no database is given."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Annotated

import typer

from server_core.cli.assemble import lifespan, until_it_answers, whole_server
from server_core.cli.doorway import Doorway
from server_core.cli.embedded import start_embedded
from server_core.cli.front import BasePath, TlsCert, TlsKey, front_url, with_front
from server_core.cli.lifetime import Lifetime, bind, run
from server_core.cli.readiness import prepare, with_database
from server_core.config import Settings
from server_core.config_loader import load_settings
from server_core.db.dsn import redacted
from server_core.memory import settle
from server_core.observe import configure_logging
from server_core.tls import Certificate

CLIENT_DEFAULT = "http://localhost:4200"


def start(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 0.0.0.0 for every one. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one. [default: 4200]")
    ] = None,
    database_url: Annotated[
        str | None, typer.Option(help="URL of a Postgres; without one, an embedded Postgres is run.")
    ] = None,
    base_path: BasePath = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Start the whole server in one process.

    Waits for the database, upgrades its schema, creates the default tenant once, and serves until Ctrl-C. SIGHUP reads
    the certificate anew, if there is one.
    """
    settings = with_database(_with_options(load_settings(), host, port), database_url or None)
    front = with_front(settings.gateway, base_path=base_path, tls_cert=tls_cert, tls_key=tls_key)
    settings = replace(settings, gateway=front)
    configure_logging(settings.logging)
    certificate = Certificate.of(settings.gateway)
    sockets = bind(settings.gateway.host, settings.gateway.port, key="gateway")
    run(lambda lifetime: _start(lifetime, settings, sockets, certificate))


def _with_options(settings: Settings, host: str | None, port: int | None) -> Settings:
    gateway = replace(
        settings.gateway,
        host=settings.gateway.host if host is None else host,
        port=settings.gateway.port if port is None else port,
    )
    return replace(settings, gateway=gateway)


async def _start(
    lifetime: Lifetime, settings: Settings, sockets: list[socket.socket], certificate: Certificate | None
) -> None:
    dsn = settings.database.connection_url
    place = redacted(dsn) if dsn else f"embedded Postgres in {settings.home / 'postgres'}"
    doorway = Doorway()
    async with lifetime.serving(
        doorway,
        sockets,
        settings=settings,
        keep_alive_seconds=settings.gateway.keep_alive_seconds,
        message_limit_bytes=settings.gateway.body_limit_bytes,
        certificate=certificate,
        proxy_headers=False,
    ) as served:
        if dsn is None:
            typer.echo(f"Starting the {place}")
            dsn = await start_embedded(lifetime, settings)
        else:
            typer.echo(f"Connecting to {place}")
        await lifetime.unless_stopped(prepare(settings, dsn))
        app, loops = whole_server(settings, dsn)
        async with lifespan(app):
            await lifetime.unless_stopped(until_it_answers(app))
            await loops.start()
            settle()
            doorway.open(app)
            typer.echo(banner(front_url(settings.gateway, sockets), place))
            await asyncio.gather(served, _stop_with(lifetime, loops.stop))


async def _stop_with(lifetime: Lifetime, stop: Callable[[], Awaitable[None]]) -> None:
    """Stop the loops while the last requests are finished, not after them."""
    await lifetime.stopping.wait()
    await stop()


def banner(url: str, place: str) -> str:
    """Return what a person wants to know once the server is ready."""
    own = url.replace("127.0.0.1", "localhost")
    endpoint = "" if own == CLIENT_DEFAULT else f" && export PREFECT__SERVER__ENDPOINT={url}"
    return f"""
prefect-server is ready at {url}

  database   {place}
  clients    prefect backend server{endpoint}
  stop       Ctrl-C
"""
