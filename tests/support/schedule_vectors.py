"""Asks the real client for the events of every case and writes them down: tests/unit/schedules/vectors.jsonl, which
the tests read back with `vectors`.

    python -m tests.support.schedule_vectors PYTHON_WITH_PREFECT_1_4_1

Cases that the client itself cannot evaluate (it raises for a rule without a match) are left out, and those that reach
past 2037, where its tables of clock changes end.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any
from zlib import crc32

from server_core.rules.schedules import parse_schedule
from tests.support.schedule_cases import Case, cells, matrix, random_cases

VECTORS = Path(__file__).parents[1] / "unit" / "schedules" / "vectors.jsonl"
PLAIN: list[Any] = [{}, None]
"""Parameters and labels of most events; such an event is written as its time alone."""

LAST = "2037"

ORACLE = Path(__file__).with_name("schedule_oracle.py")


def ask(python: Path, cases: Iterable[Case]) -> list[tuple[Case, list[Any]]]:
    """Return each case with the client's events, without the cases that the client cannot answer well.

    Args:
        python: interpreter of an environment with the client.
        cases: what to ask.
    """
    requests = list(cases)
    lines = "\n".join(json.dumps(request) for request in requests)
    done = subprocess.run([python, ORACLE], input=lines, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        (request, answer["events"])
        for request, answer in zip(requests, answers, strict=True)
        if "events" in answer and all(event[0] < LAST for event in answer["events"])
    ]


def events_of(case: Case) -> list[Any]:
    """Return the events that our rules have for a case, written as the client's are."""
    events = parse_schedule(case["document"]).next(case["n"], after=datetime.fromisoformat(case["after"]))
    return [[event.start_time.isoformat(), event.parameter_defaults, event.labels] for event in events]


def main() -> None:
    """Write the vectors."""
    cases = chain(matrix(), cells(), random_cases(seed=20_200_308, count=600))
    with VECTORS.open("w") as file:
        for case, events in ask(Path(sys.argv[1]), cases):
            short = [event[0] if event[1:] == PLAIN else event for event in events]
            line = json.dumps({**case, "events": short}, separators=(",", ":"))
            file.write(line.replace('+00:00"', 'Z"') + "\n")


def vectors(*, share: int = 1) -> Iterator[tuple[Case, list[Any]]]:
    """Yield the cases that were written down, and the events the client had for each.

    Args:
        share: leave out all but one in so many, chosen by their text: always the same ones, of every kind.
    """
    for line in VECTORS.read_text().splitlines():
        if crc32(line.encode()) % share:
            continue
        case = json.loads(line.replace('Z"', '+00:00"'))
        events = case.pop("events")
        yield case, [[event, *PLAIN] if isinstance(event, str) else event for event in events]


if __name__ == "__main__":
    main()
