"""The command tree → docs/cli.md. Called by the test that compares the committed file with the code.

Rendered here and not by the library's help, whose layout changes from release to release.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import typer

HEADER = """\
# Commands

Written by `python -m server_core.cli.reference`; a test compares it with the code. Each command has `--help`.

Exit codes: 0 done or stopped; 1 it cannot be done, and one line on stderr says why; 2 the command line is wrong;
130 stopped at once by a second Ctrl-C. What is for people goes to stdout, logs go to stderr as JSON lines.
"""


def reference(app: typer.Typer) -> str:
    """Return docs/cli.md of an application."""
    return HEADER + "".join(_pages(typer.main.get_command(app), "prefect-server"))


def _pages(command: Any, path: str) -> Iterator[str]:
    members = getattr(command, "commands", None)
    if members is not None:
        for name, member in members.items():
            yield from _pages(member, f"{path} {name}")
        return
    parameters = [each for each in command.params if not getattr(each, "hidden", False) and each.name != "help"]
    arguments = [each for each in parameters if each.param_type_name == "argument"]
    options = [each for each in parameters if each.param_type_name == "option"]
    usage = " ".join([path, *(each.name.upper() for each in arguments), *(["[OPTIONS]"] if options else [])])
    yield f"\n## `{usage}`\n\n{inspect.cleandoc(command.help)}\n"
    if parameters:
        yield "\n"
    for each in arguments:
        yield f"- `{each.name.upper()}`: {_text(each)}\n"
    for each in options:
        yield f"- {', '.join(f'`{name}`' for name in each.opts)}: {_text(each)}\n"


def _text(parameter: Any) -> str:
    return " ".join(parameter.help.split())


if __name__ == "__main__":
    from server_core.cli.main import app

    typer.echo(reference(app), nl=False)
