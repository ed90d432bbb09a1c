"""Statements of a long deletion come to last about as long as they should (demands.md row 20)."""

import pytest

from server_core.rules.pacing import FIRST_ROWS, LEAST_ROWS, MOST_ROWS, next_rows


@pytest.mark.parametrize(
    ("rows", "took", "seconds", "expected"),
    [
        (500, 500, 0.1, 1000),
        (500, 500, 0.15, 666),
        (500, 500, 0.001, 1000),  # never more than twice as many at once
        (500, 500, 0.0, 1000),
        (500, 500, 0.4, 250),
        (500, 100, 0.4, 50),  # a hundred rows took that long
        (500, 100, 0.1, 500),  # there were no more
        (500, 0, 5.0, LEAST_ROWS),
        (500, 0, 0.0, 500),
        (LEAST_ROWS, LEAST_ROWS, 60.0, LEAST_ROWS),
        (MOST_ROWS, MOST_ROWS, 0.01, MOST_ROWS),
        (2, 2, 60.0, 2),  # who begins smaller stays so
    ],
)
def test_the_next_statement(rows: int, took: int, seconds: float, expected: int) -> None:
    assert next_rows(rows, took=took, seconds=seconds, target_seconds=0.2) == expected


@pytest.mark.parametrize("per_row", [1e-6, 3e-5, 2e-4, 1e-3])
def test_it_settles(per_row: float) -> None:
    rows = FIRST_ROWS
    for _ in range(20):
        rows = next_rows(rows, took=rows, seconds=rows * per_row, target_seconds=0.2)
    assert rows == MOST_ROWS or 0.15 <= rows * per_row <= 0.2
