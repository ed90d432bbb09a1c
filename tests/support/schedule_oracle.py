"""Schedule documents (JSON lines on stdin) → events of the real client (JSON lines on stdout).

Run by the interpreter of an environment that holds prefect 1.4.1 (client-operations.md §9); imports nothing of ours.
A request is `{"document": …, "after": ISO time in UTC, "n": count}`; an answer is `{"events": [[start_time,
parameter_defaults, labels], …]}`, or `{"error": class name}` when the client refuses the document or fails.
"""

import json
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

import pendulum  # type: ignore[import-not-found, unused-ignore]  # noqa: E402
from prefect.serialization.schedule import ScheduleSchema  # type: ignore[import-not-found, unused-ignore]  # noqa: E402


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return what the client makes of one request."""
    try:
        schedule = ScheduleSchema().load(request["document"])
        after: Any = pendulum.parse(request["after"])
        events = schedule.next(request["n"], after=after.in_timezone("UTC"), return_events=True)
    except Exception as error:
        return {"error": type(error).__name__, "text": str(error)[:200]}
    return {
        "events": [
            [event.start_time.in_timezone("UTC").isoformat(), event.parameter_defaults, event.labels]
            for event in events
        ]
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
