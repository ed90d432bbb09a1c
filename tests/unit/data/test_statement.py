"""What a statement keeps of its texts: one for each power of two that limits need, within bounds."""

import pytest

from services.data.plan.values import RowCount, Variable
from services.data.sql.fragment import Rendered
from services.data.sql.statement import Statement


@pytest.mark.parametrize(("length", "kept"), [(10, 31), (1_000, 20), (5_000, 4), (50_000, 4)])
def test_long_statements_keep_few_texts(length: int, kept: int) -> None:
    limit = RowCount(source=Variable(name="n"), path="$")
    rendered = Rendered(pieces=("x" * (length - 10), ""), ceilings=((0,),), sources=(limit,))
    statement = Statement(rendered=rendered, aliases=("a",))
    most = 0
    for _ in range(2):
        for exponent in range(31):
            text, parameters, _ = statement.bind({"n": str(2**exponent)})
            assert (text, parameters) == ("x" * (length - 10) + str(2**exponent), [str(2**exponent)])
            most = max(most, len(statement._texts))
    assert most == kept
