"""A silent run → what becomes of it: tried again or given up, with the words for it (actions.md §5.3, §5.4).

Called by server_core.actions.liveness. A run is silent when the heartbeat of its flow run is older than a limit; which
ones are is a question to the database (store.liveness).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from server_core.states import State, make_state

LAZARUS_LOG_NAME = "prefect-server.Lazarus.FlowRun"
ZOMBIE_TASK_LOG_NAME = "prefect-server.ZombieKiller.TaskRun"
ZOMBIE_FLOW_LOG_NAME = "prefect-server.ZombieKiller.FlowRun"


@dataclass(frozen=True, kw_only=True, slots=True)
class SilentFlowRun:
    """A flow run whose process is gone.

    Attributes:
        id: the run.
        heartbeat: the last sign of life.
        times_resurrected: how often it was rescheduled for that reason.
    """

    id: UUID
    heartbeat: datetime
    times_resurrected: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SilentTaskRun:
    """A running task run whose flow run is silent.

    Attributes:
        id: the run.
        name: its name, or its task's.
        flow_run_id: the flow run.
        flow_run_state: the state of that.
        heartbeat: the flow run's last sign of life.
        retries_used: how many Retrying states it has had.
        max_retries: how many its task allows.
        retry_delay: the pause its task wants before each.
    """

    id: UUID
    name: str | None
    flow_run_id: UUID
    flow_run_state: str | None
    heartbeat: datetime
    retries_used: int
    max_retries: int
    retry_delay: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What becomes of a silent run.

    Attributes:
        state: the state it enters; its message is the line in the run's log.
        level: of that line.
        tries_again: the run is rescheduled and not given up.
    """

    state: State
    level: str
    tries_again: bool


def judge_stalled_flow_run(run: SilentFlowRun, *, now: datetime, timeout: timedelta, attempts: int) -> Verdict:
    """Decide about a flow run that is Submitted or Running, silent, and has no task at work (§5.3).

    Args:
        timeout: the limit the run was silent for, for the text.
        attempts: how often one run is rescheduled; 0 never.
    """
    if run.times_resurrected < attempts:
        attempt = run.times_resurrected + 1
        message = f"Rescheduled by Lazarus, attempt {attempt} of {attempts}: {_silence(run.heartbeat, timeout)}."
        state = make_state("Scheduled", now=now, message=message, start_time=now)
        return Verdict(state=state, level="INFO", tries_again=True)
    after = f"after {attempts} attempts to reschedule it" if attempts else "which is never rescheduled"
    message = f"Flow run {run.id}, {after}, was marked as failed by Lazarus: {_silence(run.heartbeat, timeout)}."
    return Verdict(state=make_state("Failed", now=now, message=message), level="ERROR", tries_again=False)


def judge_silent_task_run(run: SilentTaskRun, *, now: datetime, timeout: timedelta) -> Verdict:
    """Decide about a Running task run whose flow run is silent: retried if its task allows it, else failed (§5.4)."""
    silence = _silence(run.heartbeat, timeout)
    if run.flow_run_state == "Running" and run.retries_used < run.max_retries:
        retry = run.retries_used + 1
        message = f"Retrying the task, {retry} of {run.max_retries}, for the zombie killer: {silence}."
        state = make_state("Retrying", now=now, message=message, start_time=now + run.retry_delay, run_count=retry)
        return Verdict(state=state, level="ERROR", tries_again=True)
    name = "" if run.name is None else f" ({run.name})"
    message = f"Task run {run.id}{name} was marked as failed by the zombie killer: {silence}."
    return Verdict(state=make_state("Failed", now=now, message=message), level="ERROR", tries_again=False)


def judge_silent_cancelling_run(run: SilentFlowRun, *, now: datetime, timeout: timedelta) -> Verdict:
    """Decide about a flow run that was told to cancel and is silent since: its process will not report back (§5.4)."""
    message = (
        f"Flow run {run.id} was marked as failed by the zombie killer while it was cancelling: "
        f"{_silence(run.heartbeat, timeout)}."
    )
    return Verdict(state=make_state("Failed", now=now, message=message), level="ERROR", tries_again=False)


def _silence(heartbeat: datetime, timeout: timedelta) -> str:
    return (
        f"no heartbeat was detected from the flow run since {heartbeat.isoformat(timespec='seconds')}, "
        f"longer than {timeout.total_seconds():g} seconds"
    )
