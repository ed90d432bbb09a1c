"""The real client, asked now: its events and ours, for schedules that the committed vectors do not hold."""

from datetime import datetime
from pathlib import Path

import pytest

from server_core.rules.schedules import parse_schedule
from tests.support.schedule_cases import random_cases
from tests.support.schedule_vectors import ask


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_events_equal_those_of_the_client(prefect_environment: Path, seed: int) -> None:
    answered = ask(prefect_environment / "bin" / "python", random_cases(seed=seed, count=120))
    assert len(answered) > 100
    for case, expected in answered:
        events = parse_schedule(case["document"]).next(case["n"], after=datetime.fromisoformat(case["after"]))
        assert [[event.start_time.isoformat(), event.parameter_defaults, event.labels] for event in events] == expected
