"""Generated SQL and hand-written SQL, in pgbench → how fast Postgres runs either. Called by the report.

Both are prepared statements with the same values, run by 8 clients in turn; no server of ours is between.
"""

import asyncio
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from bench.raw import SQL
from bench.reads import Workload
from bench.rounds import Measure
from server_core.config import Settings
from server_core.wire import GraphQLRequest, parse_body
from services.data.app import METADATA, DataService

CLIENTS: Final = 8
_RATE: Final = re.compile(r"tps = ([0-9.]+) \(without initial connection time\)")
_PARAMETER: Final = re.compile(r"\$(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A statement with the values of one request."""

    text: str
    values: Sequence[Any]


def available() -> bool:
    """Tell whether pgbench is installed."""
    return shutil.which("pgbench") is not None


async def generated(dsn: str, workloads: Sequence[Workload]) -> list[Statement]:
    """Return the statements that the data service makes of the first request of each workload."""
    service = DataService(Settings(), dsn, METADATA)
    await service.start()
    try:
        found = []
        for workload in workloads:
            request = parse_body(workload.bodies("variables")[0], exact=True)
            assert isinstance(request, GraphQLRequest)
            prepared = await service.prepare(request)
            found.append(Statement(text=prepared.text, values=list(prepared.parameters)))
        return found
    finally:
        await service.stop()


def ideal(workload: Workload) -> Statement:
    """Return the hand-written statement with the same values."""
    return Statement(text=SQL[workload.name], values=workload.values[0])


def in_pgbench(dsn: str, statement: Statement, *, seconds: float) -> Measure:
    """Return what measures a statement: transactions per second."""

    async def measure() -> float:
        with TemporaryDirectory(prefix="prefect-server-bench-") as folder:
            script = _script(Path(folder), statement)
            defined = [f"-Dp{number}={_text(value)}" for number, value in enumerate(statement.values, 1)]
            options = ["-n", "-M", "prepared", f"-c{CLIENTS}", "-j1", f"-T{max(1, round(seconds))}", "-f", str(script)]
            process = await asyncio.create_subprocess_exec(
                "pgbench", *options, *defined, *_connection(dsn), stdout=PIPE, stderr=PIPE
            )
            printed, complaint = await process.communicate()
            rate = _RATE.search(printed.decode())
            if rate is None:
                raise RuntimeError(f"pgbench failed: {complaint.decode()}")
            return float(rate[1])

    return measure


def contenders(dsn: str, ours: Statement, theirs: Statement, *, seconds: float) -> Mapping[str, Measure]:
    """Return both statements as contenders of a run."""
    return {
        "generated": in_pgbench(dsn, ours, seconds=seconds),
        "ideal": in_pgbench(dsn, theirs, seconds=seconds),
    }


def _script(folder: Path, statement: Statement) -> Path:
    script = folder / "script.sql"
    script.write_text(_PARAMETER.sub(r":p\1", statement.text).replace("\n", " ") + ";\n")
    return script


def _text(value: Any) -> str:
    return "{" + ",".join(value) + "}" if isinstance(value, list) else str(value)


def _connection(dsn: str) -> list[str]:
    parts = urlsplit(dsn)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host = parts.hostname or query.get("host", "localhost")
    port = str(parts.port or query.get("port", "5432"))
    return ["-h", host, "-p", port, "-U", parts.username or "postgres", parts.path.lstrip("/")]
