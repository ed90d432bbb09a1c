"""A question → go on or not, for commands that take something away. Called by the verbs of `database`."""

import sys

import typer

from server_core.errors import ConfigError


def confirm(question: str, *, yes: bool) -> None:
    """Return when it was said that the command shall go on.

    Args:
        question: what is about to happen.
        yes: it was said on the command line.

    Raises:
        ConfigError: nobody can be asked, or the answer was no; nothing was changed.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nothing was changed: say --yes where nobody can be asked.")
    if not typer.confirm(f"{question} Go on?"):
        raise ConfigError("Nothing was changed.")
