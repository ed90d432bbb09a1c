"""Contenders → medians and ratios: all measured in turn, in several rounds of one run, because machines are noisy."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

SLICE: Final = 1.0
"""Seconds that wrk measures at least."""

Measure = Callable[[], Awaitable[float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What one contender did.

    Attributes:
        name: the contender.
        rounds: its figure in each round, mostly requests per second.
    """

    name: str
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure to compare."""
        return median(self.rounds)


async def in_turn(contenders: Mapping[str, Measure], rounds: int, *, slices: int = 1) -> dict[str, Result]:
    """Measure each contender in every round; the order turns, so that none always follows the same one.

    Args:
        contenders: by name.
        rounds: figures that each of them gets.
        slices: a figure is the mean of so many measurements. Between two of the same contender all others have their
            turn: a machine that is slow for some seconds is so for all.
    """
    figures: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds * slices):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            figures[name].append(await contenders[name]())
    return {
        name: Result(name=name, rounds=tuple(fmean(found[at : at + slices]) for at in range(0, len(found), slices)))
        for name, found in figures.items()
    }


def sliced(seconds: float) -> int:
    """Return how many slices of SLICE seconds a measurement of some seconds has."""
    return max(1, round(seconds / SLICE))


def ratio(results: Mapping[str, Result], name: str, baseline: str) -> float:
    """Return the median of one contender's ratios to another, round by round."""
    pairs = zip(results[name].rounds, results[baseline].rounds, strict=True)
    return median(ours / theirs for ours, theirs in pairs)
