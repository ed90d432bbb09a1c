"""A silent run → what becomes of it: tried again or given up, with the words for it (actions.md §5.3, §5.4).

Called by server_core.actions.liveness. A run is silent when the heartbeat of its flow run is older than a limit; which
ones are is a question to the database (store.liveness). Limits are settings of the server, or of the run's flow group.
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
        limit: how long it may be silent.
        times_resurrected: how often it was rescheduled for that reason.
    """

    id: UUID
    heartbeat: datetime
    limit: timedelta
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
        limit: how long that may be silent.
        retries_used: how many Retrying states it has had.
        max_retries: how many its task allows.
        retry_delay: the pause its task wants before each.
    """

    id: UUID
    name: str | None
    flow_run_id: UUID
    flow_run_state: str | None
    heartbeat: datetime
    limit: timedelta
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


def judge_stalled_flow_run(run: SilentFlowRun, *, now: datetime, attempts: int) -> Verdict:
    """Decide about a flow run that is Submitted or Running, silent, and has no task at work (§5.3).

    Args:
        attempts: how often one run is rescheduled; 0 never.
    """
    silence = _silence(run.heartbeat, run.limit)
    if run.times_resurrected < attempts:
        attempt = run.times_resurrected + 1
        message = f"Rescheduled by Lazarus, attempt {attempt} of {attempts}: {silence}."
        state = make_state("Scheduled", now=now, message=message, start_time=now)
        return Verdict(state=state, level="INFO", tries_again=True)
    after = f"after {attempts} attempts to reschedule it" if attempts else "which is never rescheduled"
    message = f"Flow run {run.id}, {after}, was marked as failed by Lazarus: {silence}."
    return Verdict(state=make_state("Failed", now=now, message=message), level="ERROR", tries_again=False)


def judge_silent_task_run(run: SilentTaskRun, *, now: datetime) -> Verdict:
    """Decide about a Running task run whose flow run is silent: retried if its task allows it, else failed (§5.4)."""
    silence = _silence(run.heartbeat, run.limit)
    if run.flow_run_state == "Running" and run.retries_used < run.max_retries:
        retry = run.retries_used + 1
        message = f"Retrying the task, {retry} of {run.max_retries}, for the zombie killer: {silence}."
        state = make_state("Retrying", now=now, message=message, start_time=now + run.retry_delay, run_count=retry)
        return Verdict(state=state, level="ERROR", tries_again=True)
    name = "" if run.name is None else f" ({run.name})"
    message = f"Task run {run.id}{name} was marked as failed by the zombie killer: {silence}."
    return Verdict(state=make_state("Failed", now=now, message=message), level="ERROR", tries_again=False)


def judge_silent_cancelling_run(run: SilentFlowRun, *, now: datetime, ends_as: str) -> Verdict:
    """Decide about a flow run that was told to cancel and is silent since: its process will not report back (§5.4).

    Args:
        ends_as: Failed or Cancelled; entering the latter takes the unfinished task runs along.
    """
    message = (
        f"Flow run {run.id} was marked as {ends_as.lower()} by the zombie killer while it was cancelling: "
        f"{_silence(run.heartbeat, run.limit)}."
    )
    level = "ERROR" if ends_as == "Failed" else "WARNING"
    return Verdict(state=make_state(ends_as, now=now, message=message), level=level, tries_again=False)


def _silence(heartbeat: datetime, limit: timedelta) -> str:
    return (
        f"no heartbeat was detected from the flow run since {heartbeat.isoformat(timespec='seconds')}, "
        f"longer than {limit.total_seconds():g} seconds"
    )
