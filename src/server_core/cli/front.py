"""Options of commands that open the gateway's port → its settings; the URL it then has. Called by start, services."""

import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from server_core.cli.lifetime import url_of
from server_core.config import GatewaySettings

BasePath = Annotated[str | None, typer.Option(help="Prefix below which a proxy shows the server, such as /prefect.")]
TlsCert = Annotated[Path | None, typer.Option(help="Certificate in PEM; the server then speaks HTTPS.")]
TlsKey = Annotated[Path | None, typer.Option(help="Its key in PEM, unless it is in the same file.")]


def with_front(
    settings: GatewaySettings, *, base_path: str | None, tls_cert: Path | None, tls_key: Path | None
) -> GatewaySettings:
    """Return the settings with what the command line gives; a certificate comes without the key of another."""
    if tls_cert is not None:
        settings = replace(settings, tls_cert=tls_cert, tls_key=None)
    return replace(
        settings,
        base_path=settings.base_path if base_path is None else base_path,
        tls_key=settings.tls_key if tls_key is None else tls_key,
    )


def front_url(settings: GatewaySettings, sockets: Sequence[socket.socket]) -> str:
    """Return the URL at which this machine reaches the gateway."""
    path = settings.base_path.strip().strip("/")
    return url_of(sockets, scheme="https" if settings.tls_cert else "http", path=path and f"/{path}")
