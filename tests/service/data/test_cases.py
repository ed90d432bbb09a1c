"""Every case gets exactly its answer, by one statement."""

from pathlib import Path

import pytest

from services.data.app import DataService
from tests.service.data.cases import CASES, name_of, request_of, written
from tests.support.recorder import recorded


@pytest.mark.parametrize("case", CASES, ids=name_of)
async def test_answer(service: DataService, case: Path) -> None:
    async with recorded(service.postgres.pool) as recorder:
        response = await service.execute(request_of(case))
    assert written(response.body, case) == (case / "case.json").read_text()
    assert len(recorder.sent) == 1
