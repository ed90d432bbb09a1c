"""Gateways in front of the same stub, in turn, in one run → requests per second of each.

    python -m bench.gateways [--seconds 3] [--rounds 3]

Ours in a process of its own, a proxy on raw asyncio streams that knows nothing of GraphQL, and a gateway of Apollo
Server as they were made when this one's predecessor was. The stub has the real schemas and answers at once, so that
what is measured is the gateway; that the stub is the faster one is seen from its own row. Workloads a, b and c of
bench.reads.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from bench.dataset import LARGE
from bench.load import ask, load
from bench.peers.gateways import ACTIONS, DATA, apollo, stream_proxy, stub
from bench.peers.install import Missing
from bench.reads import SPELLINGS, Spelling, workloads
from bench.rounds import SLICE, Measure, Result, in_turn, ratio, sliced
from bench.servers import ours, resident_megabytes

OURS: Final = "ours"
PROXY: Final = "stream proxy"
APOLLO: Final = "Apollo"
STUB: Final = "stub itself"
ASKED: Final = ("a", "b", "c")
TARGETS: Final = {APOLLO: 10.0, PROXY: 0.5}


@dataclass(frozen=True, kw_only=True)
class Gateways:
    """What was measured.

    Attributes:
        results: workload and spelling → gateway → requests per second.
        megabytes: gateway → memory afterwards.
        missing: why the Apollo gateway was not measured, if it was not.
    """

    results: dict[tuple[str, Spelling], dict[str, Result]]
    megabytes: dict[str, float]
    missing: str = ""

    def table(self) -> str:
        """Return the figures as lines of text."""
        names = (STUB, PROXY, OURS, *((APOLLO,) if not self.missing else ()))
        lines = [f"{'workload':<14}" + "".join(f"{name:>14}" for name in names) + f"{'/ proxy':>10}{'/ Apollo':>10}"]
        for (workload, spelling), results in self.results.items():
            row = f"{workload} {spelling:<12}" + "".join(f"{results[name].median:>14.0f}" for name in names)
            for other in (PROXY, APOLLO):
                row += f"{ratio(results, OURS, other):>10.2f}" if other in results else f"{'':>10}"
            lines.append(row)
        lines += [f"memory of {name}: {size:.0f} MB" for name, size in self.megabytes.items()]
        if self.missing:
            lines.append(f"Apollo was not measured: {self.missing}")
        return "\n".join(lines)


async def gateways(
    *, seconds: float, rounds: int, asked: Sequence[str] = ASKED, spellings: Sequence[Spelling] = SPELLINGS
) -> Gateways:
    """Measure all of them.

    Raises:
        LoadFailed: one answered otherwise than expected.
    """
    questions = workloads(LARGE)  # of which none is answered: the stub says the same to all
    missing = ""
    with ExitStack() as stack:
        upstream = stack.enter_context(stub())
        settings = {
            "PREFECT_SERVER__GATEWAY__DATA_URL": upstream + DATA,
            "PREFECT_SERVER__GATEWAY__GRAPHQL_URL": upstream + ACTIONS,
        }
        servers = {
            PROXY: stack.enter_context(stream_proxy(upstream)),
            OURS: stack.enter_context(ours("", "gateway", environment=settings)),
        }
        try:
            servers[APOLLO] = stack.enter_context(apollo(upstream))
        except Missing as error:
            missing = str(error)
        urls = {STUB: upstream + DATA} | {name: url for name, (url, _) in servers.items()}

        def measure(url: str, bodies: Sequence[bytes]) -> Measure:
            async def once() -> float:
                return (await load(url, bodies, seconds=SLICE)).rate

            return once

        results = {}
        for name in asked:
            for spelling in spellings:
                bodies = questions[name].bodies(spelling)
                answers = {each: json.loads(await ask(url, bodies[0]))["data"] for each, url in urls.items()}
                assert all(answer == answers[STUB] for answer in answers.values()), f"the answers to {name} differ"
                contenders = {each: measure(url, bodies) for each, url in urls.items()}
                results[name, spelling] = await in_turn(contenders, rounds, slices=sliced(seconds))
        return Gateways(
            results=results,
            megabytes={name: resident_megabytes(process) for name, (_, process) in servers.items()},
            missing=missing,
        )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(asyncio.run(gateways(seconds=given.seconds, rounds=given.rounds)).table())


if __name__ == "__main__":
    main()
