"""What the whole server takes when nobody asks: memory, and its share of a core, after its start and after a load.

    python -m bench.idle [--seconds 30]

One process besides Postgres; the load is the reads and the commonest writes, in both spellings.
"""

import argparse
import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from subprocess import Popen
from typing import Final

import asyncpg

from bench.dataset import SMALL, make, postgres
from bench.load import load
from bench.reads import SPELLINGS, workloads
from bench.servers import cpu_seconds, ours, resident_megabytes
from bench.writes import AT_WORK, writes
from server_core.db.dsn import plain_dsn

MEGABYTES: Final = 120.0
SHARE: Final = 0.01
_SETTLED_AFTER: Final = 10.0
_LOAD_SECONDS: Final = 1.0
_WRITES: Final = ("flow run heartbeat", "one task run state", "100 log lines", "queue poll")
_HEADERS: Final = {"x-prefect-core-version": "1.4.1"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Idle:
    """What an idle process takes.

    Attributes:
        megabytes: resident memory.
        share: of a core.
    """

    megabytes: float
    share: float


async def idle(*, seconds: float) -> dict[str, Idle]:
    """Measure after the start and after a load; each for so many seconds, some seconds later."""
    found: dict[str, Idle] = {}
    with postgres() as dsn:
        await make(dsn, SMALL)
        connection = await asyncpg.connect(plain_dsn(dsn))
        await connection.execute(AT_WORK)
        await connection.close()
        with ours(dsn) as (url, process):
            found["after the start"] = await _watched(process, seconds)
            for workload in workloads(SMALL).values():
                for spelling in SPELLINGS:
                    await load(url, workload.bodies(spelling), seconds=_LOAD_SECONDS)
            for name in _WRITES:
                await load(url, writes()[name].bodies(), seconds=_LOAD_SECONDS, headers=_HEADERS)
            found["after a load"] = await _watched(process, seconds)
    return found


def table(found: Mapping[str, Idle]) -> str:
    """Return the figures as lines of text."""
    lines = [f"{'idle':<18}{'MB':>8}{'% of a core':>14}   targets: {MEGABYTES:.0f} MB, {SHARE:.0%}"]
    lines += [f"{name:<18}{each.megabytes:>8.0f}{each.share * 100:>14.2f}" for name, each in found.items()]
    return "\n".join(lines)


async def _watched(process: "Popen[bytes]", seconds: float) -> Idle:
    await asyncio.sleep(_SETTLED_AFTER)
    before = cpu_seconds(process)
    await asyncio.sleep(seconds)
    return Idle(megabytes=resident_megabytes(process), share=(cpu_seconds(process) - before) / seconds)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    print(table(asyncio.run(idle(seconds=parser.parse_args().seconds))))


if __name__ == "__main__":
    main()
