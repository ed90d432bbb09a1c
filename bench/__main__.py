"""All benchmarks in one run: each target's workload and its baseline, in turn.

    python -m bench [full|quick] [--only SECTION …] [--json FILE] [--results]      (or `just bench`, `just bench quick`)

`quick` takes under three minutes: a tenth of the rows, shorter rounds, no growth and no idleness. A full run takes
about forty minutes; `--results` writes it to bench/RESULTS.md.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import gateways, growth, idle, operations, planning, served, writes
from bench.dataset import LARGE, SMALL, Size
from bench.load import CONNECTIONS, generator
from bench.peers.install import Missing
from bench.reads import SPELLINGS
from bench.report import RESULTS, Report, Row, about
from bench.rounds import SLICE, ratio


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How much is measured.

    Attributes:
        size: rows of the read workloads.
        seconds: one measurement.
        rounds: how often each is made.
        flow_runs: of the smaller data set of the growth.
        flows: that the scheduler plans.
    """

    size: Size
    seconds: float
    rounds: int
    flow_runs: int
    flows: int


FULL: Final = Scale(size=LARGE, seconds=3, rounds=3, flow_runs=20_000, flows=10_000)
QUICK: Final = Scale(size=SMALL, seconds=1, rounds=1, flow_runs=0, flows=1_000)


async def _reads(scale: Scale) -> list[Row]:
    found = await served.served(size=scale.size, seconds=scale.seconds, rounds=scale.rounds)
    rows = []
    for name, results in found.results.items():
        raw = results[served.RAW].median
        for service, target in served.RAW_TARGETS.items():
            for spelling in SPELLINGS:
                contender = served.spelled(service, spelling)
                rows.append(
                    Row(
                        section=f"Reads: {service} / raw ASGI",
                        what=f"{name}, {spelling}",
                        figure=ratio(results, contender, served.RAW),
                        target=target,
                        detail=f"{results[contender].median:.0f} / {raw:.0f} per second",
                    )
                )
        ours = served.spelled(served.DATA, "variables")
        measured = served.PEER in results
        rows.append(
            Row(
                section="Reads: data / PostGraphile",
                what=name,
                figure=ratio(results, ours, served.PEER) if measured else None,
                target=served.PEER_TARGETS[name],
                detail=f"{results[ours].median:.0f} / {results[served.PEER].median:.0f} per second"
                if measured
                else found.missing[served.PEER],
            )
        )
    for name, results in found.statements.items():
        rows.append(
            Row(
                section="Generated SQL / the ideal, in pgbench",
                what=name,
                figure=ratio(results, served.GENERATED, served.IDEAL),
                target=served.IDEAL_TARGET,
                detail=f"{results[served.GENERATED].median:.0f} / {results[served.IDEAL].median:.0f} per second",
            )
        )
    for service, times in found.cold.items():
        rows += [
            Row(
                section="Documents of a shape never seen, one client",
                what=f"{service}, {name}",
                figure=milliseconds,
                target=served.COLD_MILLISECONDS,
                kind="at most",
                unit="ms",
            )
            for name, milliseconds in times.items()
        ]
    return sorted(rows, key=lambda row: [each.section for each in rows].index(row.section))


async def _writes(scale: Scale) -> list[Row]:
    found = await writes.measured(scale.seconds, scale.rounds)
    return [
        Row(
            section=f"Writes: {contender} / raw ASGI",
            what=name,
            figure=ratio(results, contender, writes.RAW),
            target=writes.TARGET if contender == writes.ACTIONS else None,
            detail=f"{results[contender].median:.0f} / {results[writes.RAW].median:.0f} per second",
        )
        for contender in (writes.ACTIONS, writes.WHOLE)
        for name, results in found.items()
    ]


async def _operations(scale: Scale) -> list[Row]:
    try:
        found = await operations.operations(seconds=scale.seconds, rounds=scale.rounds)
    except Missing as error:
        found = operations.Operations(results={}, megabytes={}, generator={}, missing=str(error))
    section = "One process, 16 clients / Prefect 3's server"
    if found.missing:
        return [
            Row(section=section, what=name, figure=None, target=target, detail=found.missing)
            for name, target in operations.TARGETS.items()
        ]
    return [
        Row(
            section=section,
            what=name,
            figure=ratio(results, operations.OURS, operations.THEIRS),
            target=operations.TARGETS.get(name),
            detail=f"{results[operations.OURS].median:.0f} / {results[operations.THEIRS].median:.1f} per second",
        )
        for name, results in found.results.items()
    ]


async def _gateways(scale: Scale) -> list[Row]:
    found = await gateways.gateways(seconds=scale.seconds, rounds=scale.rounds)
    rows = []
    for other, target in gateways.TARGETS.items():
        for (name, spelling), results in found.results.items():
            measured = other in results
            rows.append(
                Row(
                    section=f"Gateway in its own process / {other}",
                    what=f"{name}, {spelling}",
                    figure=ratio(results, gateways.OURS, other) if measured else None,
                    target=target,
                    detail=f"{results[gateways.OURS].median:.0f} / {results[other].median:.0f} per second"
                    if measured
                    else found.missing,
                )
            )
    return rows


async def _idle(scale: Scale) -> list[Row]:
    rows = []
    for when, found in (await idle.idle(seconds=30)).items():
        rows += [
            Row(
                section="Idle, one process besides Postgres",
                what=f"memory {when}",
                figure=found.megabytes,
                target=idle.MEGABYTES,
                kind="at most",
                unit="MB",
            ),
            Row(
                section="Idle, one process besides Postgres",
                what=f"share of a core {when}",
                figure=found.share * 100,
                target=idle.SHARE * 100,
                kind="at most",
                unit="%",
            ),
        ]
    return rows


async def _growth(scale: Scale) -> list[Row]:
    found = await growth.growth(flow_runs=scale.flow_runs, times=10, seconds=scale.seconds, rounds=scale.rounds)
    return [
        Row(
            section=f"Cost with {found.many} flow runs / with {found.few}",
            what=name,
            figure=found.cost(name),
            target=growth.TARGET,
            kind="at most",
            detail=f"{results[growth.FEW].median:.0f} and {results[growth.MANY].median:.0f} per second",
        )
        for name, results in found.results.items()
    ]


async def _scheduler(scale: Scale) -> list[Row]:
    found = await planning.planning(flows=scale.flows)
    section = f"Scheduler, {found.flows} active flows"
    return [
        Row(
            section=section,
            what=what,
            figure=figure,
            target=target,
            kind="at most",
            unit=unit,
        )
        for what, figure, target, unit in (
            (f"first pass, {found.flow_runs} runs planned", found.first_seconds, planning.FIRST_SECONDS, "s"),
            ("its statements", found.statements, planning.STATEMENTS, ""),
            ("second pass, nothing due", found.second_seconds, planning.SECOND_SECONDS, "s"),
        )
    ]


Section = Callable[[Scale], Awaitable[list[Row]]]
SECTIONS: Final[dict[str, Section]] = {
    "reads": _reads,
    "writes": _writes,
    "operations": _operations,
    "gateways": _gateways,
    "scheduler": _scheduler,
    "idle": _idle,
    "growth": _growth,
}
SLOW: Final = ("idle", "growth")
"""What a quick run leaves out."""


async def main(given: argparse.Namespace) -> None:
    """Measure and report."""
    scale = QUICK if given.scale == "quick" else FULL
    names = given.only or [name for name in SECTIONS if given.scale == "full" or name not in SLOW]
    begun = time.perf_counter()
    rows: list[Row] = []
    load = (
        f"by {generator()}, {CONNECTIONS} connections,"
        f" {scale.rounds} rounds of {scale.seconds:g} s in slices of {SLICE:g} s"
    )
    done: list[str] = []
    report = Report(rows=rows, about={})
    for name in names:
        since = time.perf_counter()
        try:
            rows += await SECTIONS[name](scale)
        except Exception as error:  # what fails shall not cost what was measured before
            said = (str(error).strip().splitlines() or [""])[-1]
            rows.append(
                Row(section=name, what="all of it", figure=None, target=None, detail=f"{type(error).__name__}: {said}")
            )
        done.append(f"{name} ({time.perf_counter() - since:.0f} s)")
        print(done[-1], flush=True)
        minutes = (time.perf_counter() - begun) / 60
        report = Report(rows=rows, about=about(load=load, sections=", ".join(done), took=f"{minutes:.0f} minutes"))
        if given.json:
            given.json.write_text(report.json())
        if given.results:
            RESULTS.write_text(report.markdown())
    print(report.markdown())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scale", nargs="?", choices=("full", "quick"), default="full")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=[])
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--results", action="store_true", help=f"write {RESULTS.name}")
    asyncio.run(main(parser.parse_args()))
