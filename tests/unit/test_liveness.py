"""What becomes of silent runs (actions.md §5.3, §5.4): who is tried again, what the words say (demands.md 8)."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.rules.liveness import (
    SilentFlowRun,
    SilentTaskRun,
    judge_silent_cancelling_run,
    judge_silent_task_run,
    judge_stalled_flow_run,
)

NOW = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)
LIMIT = timedelta(minutes=10)
RUN = UUID(int=1)
TASK = UUID(int=2)


def flow_run(times_resurrected: int = 0) -> SilentFlowRun:
    return SilentFlowRun(
        id=RUN, heartbeat=NOW - timedelta(minutes=11), limit=LIMIT, times_resurrected=times_resurrected
    )


def task_run(**fields: Any) -> SilentTaskRun:
    plain = {
        "id": TASK,
        "name": "extract",
        "flow_run_id": RUN,
        "flow_run_state": "Running",
        "heartbeat": NOW - timedelta(minutes=11),
        "limit": LIMIT,
        "retries_used": 0,
        "max_retries": 2,
        "retry_delay": timedelta(minutes=5),
    }
    return SilentTaskRun(**{**plain, **fields})


@pytest.mark.parametrize(
    ("times", "attempts", "state", "level"),
    [(0, 3, "Scheduled", "INFO"), (2, 3, "Scheduled", "INFO"), (3, 3, "Failed", "ERROR"), (0, 0, "Failed", "ERROR")],
)
def test_stalled_flow_runs(times: int, attempts: int, state: str, level: str) -> None:
    verdict = judge_stalled_flow_run(flow_run(times), now=NOW, attempts=attempts)
    assert (verdict.state.name, verdict.level) == (state, level)
    assert verdict.tries_again == (state == "Scheduled")
    assert verdict.state.start_time == (NOW if verdict.tries_again else None)


def test_the_attempt_is_named() -> None:
    verdict = judge_stalled_flow_run(flow_run(1), now=NOW, attempts=3)
    assert "attempt 2 of 3" in str(verdict.state.message)


def test_never_is_a_word_for_no_attempts() -> None:
    verdict = judge_stalled_flow_run(flow_run(), now=NOW, attempts=0)
    assert "never" in str(verdict.state.message)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "Retrying"),
        ({"retries_used": 1}, "Retrying"),
        ({"retries_used": 2}, "Failed"),
        ({"max_retries": 0}, "Failed"),
        ({"flow_run_state": "Cancelling"}, "Failed"),
        ({"flow_run_state": "Failed"}, "Failed"),
        ({"flow_run_state": None}, "Failed"),
    ],
)
def test_silent_task_runs(fields: dict[str, Any], state: str) -> None:
    run = task_run(**fields)
    verdict = judge_silent_task_run(run, now=NOW)
    assert (verdict.state.name, verdict.level) == (state, "ERROR")
    if state == "Retrying":
        assert verdict.state.start_time == NOW + timedelta(minutes=5)
        assert verdict.state.document["run_count"] == run.retries_used + 1
    else:
        assert f"{TASK} (extract)" in str(verdict.state.message)


@pytest.mark.parametrize("ends_as", ["Failed", "Cancelled"])
def test_silent_cancellations_end_as_configured(ends_as: str) -> None:
    verdict = judge_silent_cancelling_run(flow_run(), now=NOW, ends_as=ends_as)
    assert (verdict.state.name, verdict.tries_again) == (ends_as, False)
    assert f"marked as {ends_as.lower()}" in str(verdict.state.message)


def test_every_text_says_since_when_and_how_long() -> None:
    verdicts = [
        judge_stalled_flow_run(flow_run(), now=NOW, attempts=3),
        judge_silent_task_run(task_run(max_retries=0), now=NOW),
        judge_silent_cancelling_run(flow_run(), now=NOW, ends_as="Failed"),
    ]
    for verdict in verdicts:
        assert "2021-05-06T06:57:09+00:00" in str(verdict.state.message)
        assert "600 seconds" in str(verdict.state.message)
