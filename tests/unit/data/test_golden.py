"""Each case folder: the operation becomes exactly the committed SQL, and one statement."""

from pathlib import Path

import pytest

from tests.unit.data.golden import CASES, laid_out, request_of, requests, sql_of


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_operation_becomes_the_committed_sql(case: Path) -> None:
    assert sql_of(case) == (case / "case.sql").read_text()


def test_laying_out_changes_only_white_space() -> None:
    for case in CASES.iterdir():
        text = requests(mutations=True).prepare(request_of(case)).text
        assert "".join(laid_out(text).split()) == "".join(text.split())
