"""PostGraphile 5 from npm: GraphQL over the same Postgres and tables, one process on a Node.js of its own.

The workloads are those of bench.reads in its query language, with the connection filter plugin. Counts of task runs by
state are `totalCount` of a connection with a condition, one per state, which it makes subqueries of the one statement.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Final
from urllib.parse import parse_qs, urlsplit

from bench.dataset import Size
from bench.peers.install import Missing, npm
from bench.reads import STATES, Workload, workloads
from bench.servers import NotReady, free_port, running

PACKAGE: Final = Path(__file__).with_name("package.json")
SERVER: Final = Path(__file__).with_name("server.mjs")

_A: Final = (
    "rowId name state version startTime endTime scheduledStartTime stateMessage autoScheduled parameters"
    " flowByFlowId { name }"
)
_B: Final = "rowId name state startTime endTime flowByFlowId { name projectByProjectId { name } } " + " ".join(
    f'{state.lower()}: taskRunsByFlowRunId(condition: {{state: "{state}"}}) {{ totalCount }}' for state in STATES
)
_C: Final = (
    "rowId name state version scheduledStartTime stateStartTime parameters serializedState flowByFlowId { rowId name }"
)
_D: Final = "rowId timestamp level name message taskRunId"

_FIELDS: Final = {
    "a": (f"flowRunByRowId(rowId: %s) {{ {_A} }}", ("UUID!",)),
    "b": (
        "allFlowRuns(condition: {tenantId: %s}, filter: {scheduledStartTime: {lessThan: %s}},"
        f" orderBy: SCHEDULED_START_TIME_DESC, first: %s) {{ nodes {{ {_B} }} }}",
        ("UUID!", "Datetime!", "Int!"),
    ),
    "c": (
        "allFlowRuns(filter: {rowId: {in: %s}, or: [{state: {equalTo: %s}}, {state: {equalTo: %s},"
        " taskRunsByFlowRunId: {some: {stateStartTime: {lessThanOrEqualTo: %s}}}}]},"
        f" orderBy: SCHEDULED_START_TIME_ASC, first: %s) {{ nodes {{ {_C} }} }}",
        ("[UUID!]!", "String!", "String!", "Datetime!", "Int!"),
    ),
    "d": (
        f"allLogs(condition: {{flowRunId: %s}}, orderBy: TIMESTAMP_ASC, first: %s) {{ nodes {{ {_D} }} }}",
        ("UUID!", "Int!"),
    ),
}


def questions(size: Size) -> dict[str, Workload]:
    """Return the workloads for a data set of a size, by name; with the values of bench.reads."""
    return {
        name: replace(workload, field=_FIELDS[name][0], variables=_FIELDS[name][1])
        for name, workload in workloads(size).items()
    }


def versions() -> dict[str, str]:
    """Return what is measured."""
    said: dict[str, str] = json.loads(PACKAGE.read_text())["dependencies"]
    return said


@contextmanager
def postgraphile(dsn: str, *, pool: int = 8) -> Iterator[tuple[str, "Popen[bytes]"]]:
    """Run it on a database for a block; yields its URL and the process.

    Raises:
        Missing: it cannot be installed, or does not start here.
    """
    folder = npm("postgraphile", PACKAGE)
    shutil.copy(SERVER, folder / SERVER.name)
    port = free_port()
    settings = {**_place(dsn), "PORT": str(port), "POOL": str(pool), "NODE_ENV": "production"}
    settings["GRAPHILE_ENV"] = "production"
    command = [str(folder / "node_modules" / ".bin" / "node"), SERVER.name]
    try:
        with running(command, ready=f"http://127.0.0.1:{port}/", environment=settings, folder=folder) as process:
            yield f"http://127.0.0.1:{port}/", process
    except NotReady as error:
        raise Missing(f"it does not start: {str(error).strip().splitlines()[-1]}") from error


def _place(dsn: str) -> dict[str, str]:
    """Read a DSN into the variables that libpq and its like know: not all take a socket's folder in an URL."""
    parts = urlsplit(dsn)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    found = {
        "PGHOST": asked.get("host") or parts.hostname or "127.0.0.1",
        "PGPORT": asked.get("port") or str(parts.port or 5432),
        "PGUSER": asked.get("user") or parts.username or "postgres",
        "PGPASSWORD": asked.get("password") or parts.password or "",
        "PGDATABASE": parts.path.lstrip("/"),
    }
    return {name: value for name, value in found.items() if value}
