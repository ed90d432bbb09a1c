"""The reads of performance.md → requests per second: the data service alone, all in one process, the raw baseline and
PostGraphile; and how long the first document of a shape takes.

    python -m bench.served [--quick] [--seconds 3] [--rounds 3] [--only a b]
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.client import connect, head, request
from bench.dataset import LARGE, SMALL, Size, make, postgres
from bench.load import ask, generator, load
from bench.peers.install import Missing
from bench.peers.postgraphile import postgraphile, questions
from bench.reads import SPELLINGS, Workload, workloads
from bench.rounds import SLICE, Measure, Result, in_turn, ratio, sliced
from bench.servers import asgi, ours, together
from bench.statements import available, contenders, generated, ideal

RAW: Final = "raw"
PEER: Final = "PostGraphile"
DATA: Final = "data"
WHOLE: Final = "one process"
GENERATED: Final = "generated"
IDEAL: Final = "ideal"
RAW_TARGETS: Final = {DATA: 0.9, WHOLE: 0.75}
PEER_TARGETS: Final = {"a": 4.0, "b": 8.0, "c": 1.8, "d": 3.5}
IDEAL_TARGET: Final = 0.9
COLD_MILLISECONDS: Final = 6.0
_COLD: Final = 60
_WARM: Final = 2
"""Seconds in which all servers of a workload come up to speed at the same time, before any is measured."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What was measured.

    Attributes:
        results: workload → contender → requests per second; ours in both spellings: `data, literals`.
        statements: workload → `generated` and `ideal` → transactions per second in pgbench.
        cold: service → workload → milliseconds of a document whose shape is new, in the median.
        missing: what was not measured → why.
    """

    results: dict[str, dict[str, Result]]
    statements: dict[str, dict[str, Result]]
    cold: dict[str, dict[str, float]]
    missing: dict[str, str]

    def table(self) -> str:
        """Return the figures as lines of text."""
        names = list(next(iter(self.results.values())))
        lines = [f"{'':<4}" + "".join(f"{name:>24}" for name in names)]
        for workload, results in self.results.items():
            cells = (f"{results[name].median:.0f} ({ratio(results, name, RAW):.2f})" for name in names)
            lines.append(f"{workload:<4}" + "".join(f"{cell:>24}" for cell in cells))
        for workload, results in self.statements.items():
            lines.append(f"SQL of {workload}: {ratio(results, GENERATED, IDEAL):.2f} of the ideal")
        lines += [f"cold, {service}: {times}" for service, times in self.cold.items()]
        return "\n".join([*lines, *(f"{what} was not measured: {why}" for what, why in self.missing.items())])


def spelled(contender: str, spelling: str) -> str:
    """Return the name of a contender's results in a spelling."""
    return f"{contender}, {spelling}"


async def served(*, size: Size, seconds: float, rounds: int, only: Sequence[str] = ()) -> Served:
    """Make the data set and measure.

    Raises:
        LoadFailed: a server answered otherwise than expected.
    """
    asked = {name: each for name, each in workloads(size).items() if not only or name in only}
    found = Served(results={}, statements={}, cold={}, missing={})
    with ExitStack() as stack:
        dsn = stack.enter_context(postgres())
        await make(dsn, size)
        if available():
            statements = await generated(dsn, list(asked.values()))
            for (name, workload), statement in zip(asked.items(), statements, strict=True):
                pair = contenders(dsn, statement, ideal(workload), seconds=SLICE)
                found.statements[name] = await in_turn(pair, rounds, slices=sliced(seconds))
        else:
            found.missing["generated SQL"] = "pgbench is not installed"
        baseline = asgi("bench.raw:app", environment={"BENCH_DSN": dsn})
        (raw, _), (data, _), (whole, _) = await together(stack, baseline, ours(dsn, "data"), ours(dsn))
        urls = {DATA: data, WHOLE: whole}
        peer = ""
        try:
            peer, _ = stack.enter_context(postgraphile(dsn))
        except Missing as error:
            found.missing[PEER] = str(error)
        for service, url in urls.items():
            found.cold[service] = {name: await _cold(url, workload) for name, workload in asked.items()}
        for name, workload in asked.items():
            requests = {RAW: (f"{raw}/{name}", workload.bodies("variables"))}
            for service, url in urls.items():
                requests |= {spelled(service, each): (url, workload.bodies(each)) for each in SPELLINGS}
            if peer:
                requests[PEER] = (peer, questions(size)[name].bodies("variables"))
            for url, bodies in requests.values():
                await ask(url, bodies[0])
            await asyncio.gather(*(load(url, bodies, seconds=_WARM) for url, bodies in requests.values()))
            measures = {each: _measure(url, bodies) for each, (url, bodies) in requests.items()}
            found.results[name] = await in_turn(measures, rounds, slices=sliced(seconds))
    return found


def _measure(url: str, bodies: Sequence[bytes]) -> Measure:
    async def rate() -> float:
        return (await load(url, bodies, seconds=SLICE)).rate

    return rate


async def _cold(url: str, workload: Workload) -> float:
    """Return the milliseconds of a request whose document has a shape that was never seen, in the median."""
    connection = await connect(url)
    opening = head(url)
    first, *others = workload.bodies("literals")[: _COLD + 1]
    await connection.ask(request(opening, first))
    times = []
    for number, body in enumerate(others):
        asked = request(opening, body.replace(b"{ id", b"{ never%d: id" % number, 1))
        since = time.perf_counter()
        answer = await connection.ask(asked)
        times.append((time.perf_counter() - since) * 1000)
        assert b'"never%d":' % number in answer, answer[:500]
    connection.close()
    return median(times)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=(), choices=("a", "b", "c", "d"))
    given = parser.parse_args()
    size = SMALL if given.quick else LARGE
    print(f"load by {generator()}")
    print(asyncio.run(served(size=size, seconds=given.seconds, rounds=given.rounds, only=given.only)).table())


if __name__ == "__main__":
    main()
