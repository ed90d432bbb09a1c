"""The ids under which log lines are stored (actions.md §2.9)."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from server_core.rules.logs import line_id, random_line_id

LINE: dict[str, Any] = {
    "flow_run_id": UUID(int=1),
    "task_run_id": None,
    "timestamp": datetime(2022, 3, 4, 5, 6, 7, 8, tzinfo=UTC),
    "texts": ("name", "INFO", "message", None),
    "place": 0,
}


def test_the_same_line_has_the_same_id_wherever_it_is_made() -> None:
    """Stored ids outlive this process, and releases: this value may not change."""
    assert line_id(**LINE) == UUID("000000d1-c16b-8421-9e6e-68ac88818d99")
    elsewhere = LINE["timestamp"].astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert line_id(**{**LINE, "timestamp": elsewhere}) == line_id(**LINE)


@pytest.mark.parametrize(
    "other",
    [
        {"flow_run_id": UUID(int=2)},
        {"task_run_id": UUID(int=0)},
        {"timestamp": LINE["timestamp"] + timedelta(microseconds=1)},
        {"timestamp": datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))},
        {"texts": ("name", "INFO", "message", "")},
        {"texts": ("nameINFO", "", "message", None)},
        {"texts": (None, "INFO", "message", "-")},
        {"texts": ("name", "INFO", None, "message")},
        {"place": 1},
        {"place": 1 << 30},
    ],
)
def test_another_line_has_another_id(other: dict[str, Any]) -> None:
    assert line_id(**{**LINE, **other}) != line_id(**LINE)


def test_ids_are_in_order_of_place() -> None:
    ids = [line_id(**{**LINE, "place": place}) for place in range(3000)]
    ids += [random_line_id(place) for place in range(3000, 6000)]
    assert all(first < second for first, second in pairwise(ids))
    assert {each.variant for each in ids} == {"specified in RFC 4122"}
    assert {each.version for each in ids} == {8}
