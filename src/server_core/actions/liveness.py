"""Verbs on runs that show no sign of life (actions.md §5.3, §5.4). Called by the towel's lazarus and zombie killer.

Each takes runs that were found silent, locks them and looks again, so that a heartbeat or a state that came in between
wins; states and log lines of a call are one transaction. A run that cannot be moved is logged and left out.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
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
from server_core.db.session import Row, WriteSession
from server_core.errors import StateUpdateFailed
from server_core.rules import liveness as rules
from server_core.rules.group_settings import read_group_settings
from server_core.rules.liveness import SilentFlowRun, SilentTaskRun, Verdict
from server_core.store import liveness as store
from server_core.store.liveness import Silence

logger = logging.getLogger(__name__)


def silence_of(context: ActionContext, *, counts_from: datetime | None = None) -> Silence:
    """Return when a run is silent now, by the settings.

    Args:
        counts_from: since when every run had a chance to show life; None: always.
    """
    towel = context.settings.towel
    submitted = towel.submitted_timeout_seconds
    silence = Silence(
        now=context.clock(),
        limit=timedelta(seconds=towel.heartbeat_timeout_seconds),
        submitted_limit=None if submitted is None else timedelta(seconds=submitted),
        ends_as=towel.silent_cancelling_state,
    )
    return silence if counts_from is None else replace(silence, counts_from=counts_from)


async def revive_flow_runs(context: ActionContext, *, flow_run_ids: Sequence[UUID], silence: Silence) -> int:
    """Reschedule stalled flow runs, or fail those that were rescheduled often enough; return how many were rescheduled.

    Args:
        flow_run_ids: those no longer stalled are left alone.
        silence: what tells.
    """
    async with context.database.transaction() as session:
        rows = await store.lock_stalled_flow_runs(session, flow_run_ids=flow_run_ids, silence=silence)
        verdicts = {
            row["id"]: rules.judge_stalled_flow_run(_flow_run(row), now=silence.now, attempts=_attempts(context, row))
            for row in rows
        }
        changes = await _move_flow_runs(session, context, verdicts, log_name=rules.LAZARUS_LOG_NAME)
        revived = [change.flow_run_id for change in changes if verdicts[change.flow_run_id].tries_again]
        await store.count_resurrections(session, flow_run_ids=revived)
    notify(context, changes)
    return len(revived)


async def end_silent_cancelling_runs(context: ActionContext, *, flow_run_ids: Sequence[UUID], silence: Silence) -> int:
    """End flow runs that were told to cancel and never answered, Failed or Cancelled; return how many there were."""
    async with context.database.transaction() as session:
        rows = await store.lock_silent_cancelling_runs(session, flow_run_ids=flow_run_ids, silence=silence)
        verdicts = {
            row["id"]: rules.judge_silent_cancelling_run(_flow_run(row), now=silence.now, ends_as=row["ends_as"])
            for row in rows
        }
        changes = await _move_flow_runs(session, context, verdicts, log_name=rules.ZOMBIE_FLOW_LOG_NAME)
    notify(context, changes)
    return len(changes)


async def end_silent_task_runs(context: ActionContext, *, task_run_ids: Sequence[UUID], silence: Silence) -> int:
    """Retry or fail running task runs whose flow run is silent; return how many there were. The flow run stays."""
    async with context.database.transaction() as session:
        rows = await store.lock_silent_task_runs(session, task_run_ids=task_run_ids, silence=silence)
        runs = {row["id"]: SilentTaskRun(**row) for row in rows}
        verdicts = {run.id: rules.judge_silent_task_run(run, now=silence.now) for run in runs.values()}
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


def _flow_run(row: Row) -> SilentFlowRun:
    return SilentFlowRun(
        id=row["id"], heartbeat=row["heartbeat"], limit=row["limit"], times_resurrected=row["times_resurrected"]
    )


def _attempts(context: ActionContext, row: Row) -> int:
    own = read_group_settings(row["settings"]).resurrection_attempt_limit
    return context.settings.towel.resurrection_attempt_limit if own is None else own
