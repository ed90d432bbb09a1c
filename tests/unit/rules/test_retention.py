"""Which rows are too old, as the settings say (demands.md rows 5 and 19)."""

from datetime import UTC, datetime, timedelta

import pytest

from server_core.config import RetentionSettings
from server_core.rules.retention import NEVER, Limits, limits
from server_core.states import FAILED, FINISHED, SUCCESSFUL

NOW = datetime(2021, 5, 6, 7, 8, 9, tzinfo=UTC)


def of(**days: float | None) -> Limits:
    return limits(RetentionSettings(**days), now=NOW)  # type: ignore[arg-type]


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def test_nothing_goes_by_default() -> None:
    nothing = of()
    assert (nothing.latest_log, nothing.latest_flow_run) == (None, None)
    assert (nothing.artifacts, nothing.messages, nothing.agents) == (None, None, None)
    assert nothing.kept_flow_runs == 10


@pytest.mark.parametrize("name", ["logs", "artifacts", "messages", "agents"])
def test_days_of_a_class(name: str) -> None:
    assert getattr(of(**{f"{name}_days": 1.5}), name) == ago(1.5)
    assert getattr(of(**{f"{name}_days": 0}), name) is None


def test_levels_of_logs() -> None:
    assert of(logs_days=30).log_levels == {}
    assert of(logs_days=30, debug_logs_days=3).log_levels == {"DEBUG": ago(3)}
    assert of(logs_days=30, info_logs_days=0).log_levels == {"INFO": NEVER}
    assert of(logs_days=30, debug_logs_days=3).latest_log == ago(3)
    assert of(debug_logs_days=3).logs is None
    assert of(debug_logs_days=3).latest_log == ago(3)
    assert of(debug_logs_days=0).latest_log is None


def test_states_of_flow_runs() -> None:
    assert of(flow_runs_days=30).flow_runs == dict.fromkeys(FINISHED, ago(30))
    found = of(flow_runs_days=30, success_flow_runs_days=7, failed_flow_runs_days=90, cancelled_flow_runs_days=0)
    assert set(found.flow_runs) == FINISHED - {"Cancelled"}
    assert {found.flow_runs[state] for state in SUCCESSFUL} == {ago(7)}
    assert {found.flow_runs[state] for state in FAILED} == {ago(90)}
    assert found.flow_runs["Looped"] == ago(30)
    assert found.latest_flow_run == ago(7)
    assert set(of(failed_flow_runs_days=1).flow_runs) == FAILED


def test_longer_than_there_is_time() -> None:
    assert of(flow_runs_days=1e9).latest_flow_run is None
    assert of(logs_days=1e9).latest_log is None
