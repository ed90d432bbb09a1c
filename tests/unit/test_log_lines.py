"""A log record → one line of JSON, whatever a client sent (observe.py)."""

import json
import logging
from typing import Any

import pytest

from server_core.observe import JsonFormatter


@pytest.mark.parametrize("value", ["plain é", "half \ud800", 10**30, object(), None])
def test_every_record_has_a_line(value: Any) -> None:
    record = logging.LogRecord("name", logging.ERROR, "", 1, "said %s", (value,), None)
    record.incident = value
    line = json.loads(JsonFormatter().format(record))
    assert (line["severity"], line["message"]) == ("ERROR", f"said {value}")
