"""Benchmarks compare what was measured in turn: every contender in every slice, each figure its own."""

from bench.rounds import Measure, in_turn, ratio, sliced


async def test_contenders_are_measured_in_turn_and_a_figure_is_the_mean_of_its_slices() -> None:
    turns: list[str] = []

    def measure(name: str, figures: list[float]) -> Measure:
        async def once() -> float:
            turns.append(name)
            return figures.pop(0)

        return once

    contenders = {"ours": measure("ours", [1, 3, 5, 7]), "raw": measure("raw", [2, 2, 4, 4])}
    results = await in_turn(contenders, 2, slices=2)
    assert turns == ["ours", "raw", "raw", "ours"] * 2
    assert results["ours"].rounds == (2, 6)
    assert results["raw"].rounds == (2, 4)
    assert ratio(results, "ours", "raw") == 1.25


def test_a_measurement_has_a_slice_for_each_second() -> None:
    assert [sliced(seconds) for seconds in (0.2, 1, 3)] == [1, 1, 3]
