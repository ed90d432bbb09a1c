"""`prefect-server config`: the settings in force, where they come from, and what is wrong with them."""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Any

import typer

from server_core.cli.assemble import loop_names
from server_core.config import Settings
from server_core.config_loader import Reading, read_settings
from server_core.config_values import Setting, all_settings
from server_core.db.dsn import plain_dsn, redacted
from server_core.errors import ConfigError

_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]+(?=@)")
"""Of a URL: those of a service behind a proxy, or of a collector."""

app = typer.Typer(help="The settings.", no_args_is_help=True)


@app.command()
def show(
    json_lines: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    changed: Annotated[bool, typer.Option("--changed", help="Leave out what has its default.")] = False,
) -> None:
    """Print the settings in force and where each comes from, without secrets."""
    reading = read_settings()
    if reading.settings is None:
        raise ConfigError(reading.problems[0])
    values = _flat(asdict(reading.settings))
    rows = [
        (setting.key, _shown(setting, values[setting.key]), reading.sources.get(setting.key, "default"))
        for setting in all_settings()
        if not changed or setting.key in reading.sources
    ]
    if json_lines:
        typer.echo(json.dumps({key: {"value": value, "source": source} for key, value, source in rows}, indent=2))
        return
    for key, value, source in rows:
        typer.echo(f"{key} = {value}{'' if source == 'default' else f'    # {source}'}")


@app.command()
def check() -> None:
    """Look for mistakes in the settings; exit code 1 with a line for each: wrong values and unknown names."""
    lines = list(mistakes(read_settings(), loop_names()))
    for line in lines:
        typer.echo(line)
    if lines:
        raise typer.Exit(1)
    typer.echo("The settings can be used.")


def mistakes(reading: Reading, loops: list[str]) -> Iterator[str]:
    """Yield what is wrong with settings, a line each.

    Args:
        reading: of the settings.
        loops: names of the loops of the towel.
    """
    yield from reading.problems
    yield from reading.unknown
    if reading.settings is None:
        return
    settings: Settings = reading.settings
    if settings.database.connection_url is not None:
        try:
            plain_dsn(settings.database.connection_url)
        except ConfigError as error:
            yield error.message
    for name in (settings.towel.loops or "").split(","):
        if name.strip() and name.strip() not in loops:
            yield f"towel.loops: unknown loop {name.strip()!r}; the loops are {', '.join(loops)}"


def _shown(setting: Setting, value: Any) -> str:
    if value is None:
        return ""
    if setting.key in ("database.connection_url", "database.direct_url"):
        return redacted(value)
    if setting.secret:
        return "***"
    return str(value).lower() if isinstance(value, bool) else _CREDENTIALS.sub("***", str(value))


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if isinstance(value, dict):
            flat.update({f"{name}.{member}": each for member, each in value.items()})
        else:
            flat[name] = value
    return flat
