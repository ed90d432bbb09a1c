"""Runs commands of the client's CLI one after the other in this process, which takes a second to start.

`commands.py COMMANDS` takes a JSON list of argument lists and prints a JSON list of [exit code, output] last.
"""

import json
import sys

from click.testing import CliRunner
from prefect.cli import cli


def main(commands):
    told = []
    for command in commands:
        result = CliRunner().invoke(cli, command)
        output = result.output
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            output += f"{type(result.exception).__name__}: {result.exception}"
        told.append([result.exit_code, output])
    print(json.dumps(told))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
