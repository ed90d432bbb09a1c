"""Verbs on runs that show no sign of life (actions.md §5.3, §5.4). Called by the towel's lazarus and zombie killer.

Each takes runs that were found silent, locks them and looks again, so that a heartbeat or a state that came in between
wins; states and log lines of a call are one transaction. A run that cannot be moved is logged and left out.
"""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from server_core.actions.changes import FlowRunStateChange
from server_core.actions.cloud_hooks import notify
from server_core.actions.context import ActionContext
from server_core.actions.logs import LogEntry, write_logs_in
from server_core.actions.states import (
    FlowRunStateWrite,
    TaskRunStateWrite,
    write_flow_run_states,
    write_task_run_states,
)
from server_core.db.session import WriteSession
from server_core.errors import StateUpdateFailed
from server_core.rules import liveness as rules
from server_core.rules.liveness import SilentFlowRun, SilentTaskRun, Verdict
from server_core.store import liveness as store

logger = logging.getLogger(__name__)


async def revive_flow_runs(context: ActionContext, *, flow_run_ids: Sequence[UUID], silent_since: datetime) -> int:
    """Reschedule stalled flow runs, or fail those that were rescheduled often enough; return how many were rescheduled.

    Args:
        flow_run_ids: those no longer stalled are left alone.
        silent_since: a heartbeat later than this is a sign of life.
    """
    now = context.clock()
    timeout = _timeout(context)
    attempts = context.settings.towel.resurrection_attempt_limit
    async with context.database.transaction() as session:
        rows = await store.lock_stalled_flow_runs(session, flow_run_ids=flow_run_ids, silent_since=silent_since)
        runs = [SilentFlowRun(**row) for row in rows]
        verdicts = {
            run.id: rules.judge_stalled_flow_run(run, now=now, timeout=timeout, attempts=attempts) for run in runs
        }
        changes = await _move_flow_runs(session, context, verdicts, log_name=rules.LAZARUS_LOG_NAME)
        revived = [change.flow_run_id for change in changes if verdicts[change.flow_run_id].tries_again]
        await store.count_resurrections(session, flow_run_ids=revived)
    notify(context, changes)
    return len(revived)


async def end_silent_cancelling_runs(
    context: ActionContext, *, flow_run_ids: Sequence[UUID], silent_since: datetime
) -> int:
    """Fail flow runs that were told to cancel and never answered; return how many there were."""
    now = context.clock()
    timeout = _timeout(context)
    async with context.database.transaction() as session:
        rows = await store.lock_silent_cancelling_runs(session, flow_run_ids=flow_run_ids, silent_since=silent_since)
        runs = [SilentFlowRun(**row) for row in rows]
        verdicts = {run.id: rules.judge_silent_cancelling_run(run, now=now, timeout=timeout) for run in runs}
        changes = await _move_flow_runs(session, context, verdicts, log_name=rules.ZOMBIE_FLOW_LOG_NAME)
    notify(context, changes)
    return len(changes)


async def end_silent_task_runs(context: ActionContext, *, task_run_ids: Sequence[UUID], silent_since: datetime) -> int:
    """Retry or fail running task runs whose flow run is silent; return how many there were. The flow run stays."""
    now = context.clock()
    timeout = _timeout(context)
    async with context.database.transaction() as session:
        rows = await store.lock_silent_task_runs(session, task_run_ids=task_run_ids, silent_since=silent_since)
        runs = {row["id"]: SilentTaskRun(**row) for row in rows}
        verdicts = {run.id: rules.judge_silent_task_run(run, now=now, timeout=timeout) for run in runs.values()}
        outcomes = await write_task_run_states(
            session,
            context,
            [TaskRunStateWrite(task_run_id=run_id, state=verdict.state) for run_id, verdict in verdicts.items()],
        )
        moved = [
            run_id
            for run_id, outcome in zip(verdicts, outcomes, strict=True)
            if not _refused("task run", run_id, outcome)
        ]
        await write_logs_in(
            session,
            context,
            [
                _line(verdicts[run_id], rules.ZOMBIE_TASK_LOG_NAME, runs[run_id].flow_run_id, task_run_id=run_id)
                for run_id in moved
            ],
        )
    return len(moved)


async def _move_flow_runs(
    session: WriteSession, context: ActionContext, verdicts: dict[UUID, Verdict], *, log_name: str
) -> list[FlowRunStateChange]:
    """Write the states of verdicts and their log lines; return the changes that were made."""
    outcomes = await write_flow_run_states(
        session,
        context,
        [FlowRunStateWrite(flow_run_id=run_id, state=verdict.state) for run_id, verdict in verdicts.items()],
    )
    for run_id, outcome in zip(verdicts, outcomes, strict=True):
        _refused("flow run", run_id, outcome)
    moved = [outcome for outcome in outcomes if isinstance(outcome, FlowRunStateChange)]
    await write_logs_in(
        session,
        context,
        [_line(verdicts[change.flow_run_id], log_name, change.flow_run_id) for change in moved],
    )
    return moved


def _refused(kind: str, run_id: UUID, outcome: object) -> bool:
    """Tell whether a state was refused, and log that."""
    if isinstance(outcome, StateUpdateFailed):
        logger.warning("%s %s could not be moved: %s", kind, run_id, outcome)
        return True
    return False


def _line(verdict: Verdict, name: str, flow_run_id: UUID, *, task_run_id: UUID | None = None) -> LogEntry:
    return LogEntry(
        flow_run_id=flow_run_id,
        task_run_id=task_run_id,
        name=name,
        level=verdict.level,
        message=verdict.state.message,
    )


def _timeout(context: ActionContext) -> timedelta:
    return timedelta(seconds=context.settings.towel.heartbeat_timeout_seconds)
