"""What the same questions cost when there are ten times the rows: cost with many rows over cost with few.

    python -m bench.growth [--flow-runs 5000] [--times 10] [--seconds 3] [--rounds 3]

Two databases of one Postgres and a server in one process for each, asked in turn: the reads of bench.reads with
variables, the agents' queue poll and a task run state. Each flow run has ten task runs, their states, twenty log lines.
`--flow-runs 50000` is the larger target: half a million runs, five million task runs, ten million log lines.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from bench.dataset import Size, grow, make, postgres
from bench.load import load
from bench.reads import workloads
from bench.rounds import SLICE, Measure, Result, in_turn, ratio, sliced
from bench.servers import ours
from bench.writes import AT_WORK, writes
from server_core.db.dsn import plain_dsn

FEW: Final = "few rows"
MANY: Final = "many rows"
TARGET: Final = 1.3
_FIRST: Final = 1_000
_WRITES: Final = {"queue poll": "queue poll", "state write": "one task run state"}
_HEADERS: Final = {"x-prefect-core-version": "1.4.1"}

_BIG: Final = "flow_run, flow_run_state, task_run, task_run_state, log"
_INDEXES: Final = f"""
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
WHERE indrelid::regclass::text = ANY (string_to_array('{_BIG}', ', '))
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What was measured.

    Attributes:
        few, many: flow runs.
        results: question → `few rows` and `many rows` → requests per second.
    """

    few: int
    many: int
    results: dict[str, dict[str, Result]]

    def cost(self, question: str) -> float:
        """Return what a question costs with many rows, as a multiple of what it costs with few."""
        return ratio(self.results[question], FEW, MANY)

    def table(self) -> str:
        """Return the figures as lines of text."""
        lines = [f"{'requests per second':<22}{self.few:>12}{self.many:>12}   cost (target < {TARGET})"]
        for name, results in self.results.items():
            rates = f"{results[FEW].median:>12.0f}{results[MANY].median:>12.0f}"
            lines.append(f"{name:<22}{rates}   {self.cost(name):.2f}")
        return "\n".join(lines)


async def growth(*, flow_runs: int, times: int, seconds: float, rounds: int) -> Growth:
    """Make both databases and measure.

    Raises:
        LoadFailed: a server answered otherwise than expected.
    """
    sizes = {FEW: Size(flow_runs=flow_runs), MANY: Size(flow_runs=flow_runs * times)}
    contenders: dict[str, dict[str, Measure]] = {}
    with ExitStack() as stack:
        dsn = stack.enter_context(postgres(shared_buffers="2GB", max_wal_size="16GB"))
        for name, size in sizes.items():
            since = time.perf_counter()
            own = await _database(dsn, name.replace(" ", "_"))
            await _fill(own, size)
            print(f"{size.flow_runs} flow runs after {time.perf_counter() - since:.0f} s", flush=True)
            url, _ = stack.enter_context(ours(own))
            questions = {each: found.bodies("variables") for each, found in workloads(size).items()}
            questions |= {each: writes()[write].bodies() for each, write in _WRITES.items()}
            for question, bodies in questions.items():
                contenders.setdefault(question, {})[name] = _measure(url, bodies)
        for measures in contenders.values():  # what was never read comes from the disk
            for measure in measures.values():
                await measure()
        results = {
            question: await in_turn(measures, rounds, slices=sliced(seconds))
            for question, measures in contenders.items()
        }
    return Growth(few=sizes[FEW].flow_runs, many=sizes[MANY].flow_runs, results=results)


def _measure(url: str, bodies: Sequence[bytes]) -> Measure:
    async def rate() -> float:
        return (await load(url, bodies, seconds=SLICE, headers=_HEADERS)).rate

    return rate


async def _fill(dsn: str, size: Size) -> None:
    """Make a data set; the indexes of large tables are built when the rows are there, which takes half the time."""
    await make(dsn, Size(flows=size.flows, flow_runs=min(_FIRST, size.flow_runs)))
    async with _without_indexes(dsn):
        await grow(dsn, size, already=min(_FIRST, size.flow_runs))
    connection = await asyncpg.connect(plain_dsn(dsn))
    await connection.execute(AT_WORK)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")
    await connection.close()


@asynccontextmanager
async def _without_indexes(dsn: str) -> AsyncIterator[None]:
    connection = await asyncpg.connect(plain_dsn(dsn))
    indexes = await connection.fetch(_INDEXES)
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    yield
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for index in indexes:
        await connection.execute(index["definition"])
    await connection.close()


async def _database(dsn: str, name: str) -> str:
    connection = await asyncpg.connect(plain_dsn(dsn))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return dsn.replace("/prefect_server?", f"/{name}?")


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--flow-runs", type=int, default=5_000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found = asyncio.run(
        growth(flow_runs=given.flow_runs, times=given.times, seconds=given.seconds, rounds=given.rounds)
    )
    print(found.table())


if __name__ == "__main__":
    main()
