"""SQL on table log. Called by actions.logs."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from server_core.db.session import WriteSession
from server_core.store.life import is_overdue


class NewLog(NamedTuple):
    """A log line to insert; `info` is JSON text. A tuple, because they come by the hundred.

    Attributes:
        id: a line that is there already under its flow run, time and id is not inserted.
    """

    id: UUID
    flow_run_id: UUID
    task_run_id: UUID | None
    timestamp: datetime
    name: str | None
    level: str
    message: str | None
    info: str | None


async def insert_logs(session: WriteSession, *, logs: Sequence[NewLog], overdue_before: datetime | None) -> list[UUID]:
    """Insert log lines with their flow run's tenant, without those whose flow run or task run is gone and without those
    that are there already; one statement.

    The runs are locked against deletion, so that one that goes meanwhile drops its lines and not the whole batch. The
    lines go in in order of their key, so that two batches with the same lines wait for each other in one order. The
    runs are looked up by the lines, not by lists of their ids: of a list Postgres expects ten ids, finds the few of a
    batch cheaper, and plans each batch anew.

    Returns:
        Those of the flow runs whose heartbeat is from before `overdue_before` (see store.life).
    """
    columns = [list(column) for column in zip(*logs, strict=True)]
    rows = await session.fetch(
        f"""
        WITH line AS (
            SELECT * FROM unnest(
                $1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[]
            ) AS l(id, flow_run_id, task_run_id, "timestamp", name, level, message, info)
        ),
        flow AS (
            SELECT id, tenant_id, state, heartbeat FROM flow_run
            WHERE id IN (SELECT flow_run_id FROM line)
            ORDER BY id
            FOR KEY SHARE
        ),
        task AS (
            SELECT id FROM task_run WHERE id IN (SELECT task_run_id FROM line) ORDER BY id FOR KEY SHARE
        ),
        written AS (
            INSERT INTO log (id, tenant_id, flow_run_id, task_run_id, "timestamp", name, level, message, info)
            SELECT
                line.id, flow.tenant_id, line.flow_run_id, line.task_run_id, line."timestamp", line.name, line.level,
                line.message, line.info::jsonb
            FROM line JOIN flow ON flow.id = line.flow_run_id
            WHERE line.task_run_id IS NULL OR line.task_run_id IN (SELECT id FROM task)
            ORDER BY line.flow_run_id, line."timestamp", line.id
            ON CONFLICT DO NOTHING
        )
        SELECT id FROM flow WHERE {is_overdue("flow", "$9")}
        """,  # noqa: S608 - made of constants
        *columns,
        overdue_before,
    )
    return [row["id"] for row in rows]
