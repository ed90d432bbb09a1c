"""Case folders → the SQL each must give, laid out for reading. `python -m tests.unit.data.golden` writes them anew.

A case is `case.graphql`, optionally `variables.json`, and `case.sql`: what the operation must become. Review the diff.
A mutation becomes several statements; a parameter that an earlier one returned is written `statement, column, row`.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from server_core.wire import GraphQLRequest
from services.data.app import METADATA
from services.data.catalog.introspect import read_catalog
from services.data.catalog.metadata import load_metadata
from services.data.catalog.tracked import track
from services.data.plan.values import Items, Source, Variable, resolve
from services.data.request import Requests
from services.data.schema.bindings import Schema
from services.data.schema.build import build_schema
from services.data.sql.script import Script
from tests.support.settings import remembers

HERE: Final = Path(__file__).parent
CASES: Final = HERE / "cases"
_BREAKS: Final = re.compile(
    r"\((?P<sub>SELECT |WITH |INSERT |UPDATE |DELETE )?|\)"
    r"| (?=FROM [\"(]|WHERE |ORDER BY |LIMIT |OFFSET |VALUES |ON CONFLICT |RETURNING )"
)


@cache
def schema(*, mutations: bool = False) -> Schema:
    """Return the schema over the committed catalog: no database is asked."""
    tracked = track(read_catalog((HERE / "catalog.json").read_text()), load_metadata(METADATA))
    return build_schema(tracked, mutations=mutations)


def requests(*, null_collapse: bool = True, mutations: bool = False) -> Requests:
    """Return a fresh Requests over that schema."""
    return Requests(schema(mutations=mutations), null_collapse=null_collapse, remember=remembers())


def request_of(case: Path) -> GraphQLRequest:
    """Return the request of a case folder."""
    variables = case / "variables.json"
    given: dict[str, Any] = json.loads(variables.read_text()) if variables.exists() else {}
    return GraphQLRequest(query=(case / "case.graphql").read_text(), variables=given)


def sql_of(case: Path) -> str:
    """Return what a case becomes: the statement, laid out, and its parameters as comments."""
    prepared = requests(mutations=True).prepare(request_of(case))
    if prepared.answer.script is not None:
        return _script(prepared.answer.script, prepared.variables)
    statement = prepared.answer.statement
    if statement is None:
        return "-- no statement\n"
    parameters = [f"-- ${number} = {json.dumps(value)}" for number, value in enumerate(prepared.parameters, 1)]
    return "\n".join([laid_out(prepared.text), *parameters]) + "\n"


def _script(script: Script, variables: Mapping[str, Any]) -> str:
    """Return the statements of a script, in order."""
    commands = [command for field in script.fields for command in (*field.writes, field.read) if command is not None]
    return "\n".join(
        "\n".join(
            [
                laid_out(command.text),
                *(f"-- ${number} = {_parameter(each, variables)}" for number, each in enumerate(command.parameters, 1)),
                "",
            ]
        )
        for command in commands
    )


def _parameter(source: Source, variables: Mapping[str, Any]) -> str:
    match source:
        case Variable(name=name, path=path) if name[0] in "#@":
            return f"{name} {path}"
        case Items(items=items):
            return "[" + ", ".join(_parameter(item, variables) for item in items) + "]"
    return json.dumps(resolve(source, variables))


def laid_out(text: str) -> str:
    """Break a statement into lines: one step further in for each subquery."""
    lines: list[str] = []
    line, at = "", 0
    open_subqueries: list[bool] = []
    for match in _BREAKS.finditer(text):
        line += text[at : match.start()]
        at = match.end()
        indent = sum(open_subqueries)
        if match.group() == ")":
            if open_subqueries.pop():
                lines.append("  " * indent + line)
                line = ""
            line += ")"
        elif match.group().startswith("("):
            line += "("
            open_subqueries.append(bool(match.group("sub")))
            if match.group("sub"):
                lines.append("  " * indent + line)
                line = match.group("sub")
        elif line.strip():
            lines.append("  " * indent + line)
            line = ""
    lines.append("  " * sum(open_subqueries) + line + text[at:])
    return "\n".join(line.rstrip() for line in lines)


def main() -> None:
    """Write every case.sql anew."""
    for case in sorted(CASES.iterdir()):
        (case / "case.sql").write_text(sql_of(case))


if __name__ == "__main__":
    main()
