"""Requests → how many of them a server answers. Called by every benchmark that puts load on a server over HTTP.

`wrk` does it where it is installed; else a Python generator in a process of its own (bench.generator), which is slower
and says so. Every benchmark names the one it used.
"""

import asyncio
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from subprocess import PIPE
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

CONNECTIONS: Final = 16
FRESH: Final = "903817264"
"""In a body it stands for a number of as many digits that no request had before."""
_WRK: Final = """
local requests, at = {}, 0
local mark, number = os.getenv("BENCH_FRESH"), tonumber(os.getenv("BENCH_FRESH_FROM"))
for line in io.lines(os.getenv("BENCH_REQUESTS")) do
  local body = line
  requests[#requests + 1] = wrk.format("POST", nil, nil, body)
end
request = function()
  at = at % #requests + 1
  if not string.find(requests[at], mark, 1, true) then return requests[at] end
  number = number + 1
  return (string.gsub(requests[at], mark, string.format("%d", number)))
end
done = function(summary, latency)
  io.write(string.format('{"requests": %d, "seconds": %f, "refused": %d, "broken": %d, "p50": %f, "p99": %f}',
    summary.requests, summary.duration / 1e6, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3), "\\n")
end
"""
_REPORT: Final = re.compile(r"^\{.*\}$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What came of a load.

    Attributes:
        rate: requests answered per second.
        p50, p99: how long one took, in milliseconds.
    """

    rate: float
    p50: float
    p99: float


class LoadFailed(Exception):
    """A server answered otherwise than a benchmark expects: nothing was measured."""


@cache
def generator() -> str:
    """Return what puts the load on."""
    return "wrk" if shutil.which("wrk") else "bench.generator (Python)"


async def load(
    url: str,
    bodies: Sequence[bytes],
    *,
    seconds: float,
    connections: int = CONNECTIONS,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """Post bodies, one after the other on each connection, for a time.

    Args:
        url: where to.
        bodies: JSON without line ends; sent in turn.
        seconds: how long.
        connections: how many at once.
        headers: beside the content type.

    Raises:
        LoadFailed: some were refused, or not answered.
    """
    fields = {"content-type": "application/json", **(headers or {})}
    if generator() == "wrk":
        found = await _wrk(url, bodies, seconds, connections, fields)
    else:
        found = await _python(url, bodies, seconds, connections, fields)
    if found["refused"] or found["broken"] or not found["requests"]:
        raise LoadFailed(f"{url}: {found}")
    return Load(rate=found["requests"] / found["seconds"], p50=found["p50"], p99=found["p99"])


async def ask(url: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Post one body and return the answer's, to look at before any load.

    Raises:
        LoadFailed: the status is not 200, or the answer holds errors.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    fields = {"content-type": "application/json", "connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(
        f"POST {parts.path or '/'} HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(body)}\r\n{head}\r\n".encode() + body
    )
    said = await reader.read()
    writer.close()
    status, _, rest = said.partition(b"\r\n")
    answer = rest.partition(b"\r\n\r\n")[2]
    if b" 200 " not in status + b" " or b'"errors"' in answer[:2000]:
        raise LoadFailed(f"{url}: {said[:1000].decode(errors='replace')}\nto {body[:500].decode()}")
    return answer


async def _wrk(
    url: str, bodies: Sequence[bytes], seconds: float, connections: int, headers: Mapping[str, str]
) -> dict[str, float]:
    with _files(bodies) as (requests, script):
        # wrk knows its host only after the script was read, and Node refuses requests without one.
        options = [f"-H{name}: {value}" for name, value in {"host": urlsplit(url).netloc, **headers}.items()]
        process = await asyncio.create_subprocess_exec(
            *("wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout=30s", "-s", str(script)),
            *(*options, url),
            env={"BENCH_REQUESTS": str(requests), "BENCH_FRESH": FRESH, "BENCH_FRESH_FROM": str(_fresh())},
            stdout=PIPE,
            stderr=PIPE,
        )
        return await _report(process)


async def _python(
    url: str, bodies: Sequence[bytes], seconds: float, connections: int, headers: Mapping[str, str]
) -> dict[str, float]:
    with _files(bodies) as (requests, _):
        options = {"seconds": seconds, "connections": connections, "headers": dict(headers), "fresh": _fresh()}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.generator", url, str(requests), json.dumps(options)),
            stdout=PIPE,
            stderr=PIPE,
        )
        return await _report(process)


def _fresh() -> int:
    """Return where a load's fresh numbers begin: one for each ten microseconds, so that no later load meets them."""
    least: int = 10 ** (len(FRESH) - 1)
    return least + time.time_ns() // 10**4 % (8 * least)


@contextmanager
def _files(bodies: Sequence[bytes]) -> Iterator[tuple[Path, Path]]:
    with TemporaryDirectory(prefix="prefect-server-bench-") as folder:
        requests, script = Path(folder, "requests"), Path(folder, "load.lua")
        requests.write_bytes(b"\n".join(bodies) + b"\n")
        script.write_text(_WRK)
        yield requests, script


async def _report(process: asyncio.subprocess.Process) -> dict[str, float]:
    printed, complaint = await process.communicate()
    report = _REPORT.search(printed.decode())
    if process.returncode or report is None:
        raise LoadFailed(f"the generator failed: {printed.decode()}{complaint.decode()}")
    return json.loads(report[0])  # type: ignore[no-any-return]
