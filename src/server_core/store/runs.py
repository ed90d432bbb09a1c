"""SQL on flow_run and task_run but their states. Called by actions.runs inside its transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession
from server_core.states import State
from server_core.store.entries import entry_arguments, entry_source
from server_core.store.hook_outbox import queue_events
from server_core.store.life import is_overdue


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFlowRun:
    """A flow run to insert; the JSON members are text.

    Attributes:
        id: of the new row; another one comes back when the key is taken.
        state: its first state, with state_id as the row's id; None: none yet.
    """

    id: UUID
    flow_id: UUID
    tenant_id: UUID | None
    parameters: str
    labels: str
    run_config: str | None
    run_context: str
    scheduled_start_time: datetime
    idempotency_key: str | None
    name: str
    auto_scheduled: bool
    state_id: UUID
    state: State | None


_FLOWS = """
SELECT
    flow.id, flow.name, flow.tenant_id, flow.archived, flow.parameters, flow.run_config, flow.environment,
    flow_group.labels AS group_labels,
    flow_group.run_config AS group_run_config,
    flow_group.default_parameters AS group_parameters,
    flow.updated,
    flow_group.updated AS group_updated
FROM flow JOIN flow_group ON flow_group.id = flow.flow_group_id
"""


async def hold_flows(session: WriteSession, *, flow_ids: Sequence[UUID]) -> dict[UUID, Row]:
    """Return what a new run takes from its flow and the flow's group, by flow id, and when these were `updated`.

    Until the transaction ends the flows can be neither archived nor deleted: who archives one sees the new run.
    """
    statement = _FLOWS + "WHERE flow.id = ANY($1::uuid[]) ORDER BY flow.id FOR SHARE OF flow"
    return {row["id"]: row for row in await session.fetch(statement, flow_ids)}


async def find_flow(session: ReadSession, *, flow_id: UUID) -> Row | None:
    """Return the same of one flow, which may change at once."""
    return await session.fetch_row(_FLOWS + "WHERE flow.id = $1", flow_id)


async def find_newest_flow(session: ReadSession, *, version_group_id: str) -> UUID | None:
    """Return the unarchived flow of a version group that has the highest version."""
    flow_id: UUID | None = await session.fetch_value(
        """
        SELECT id FROM flow
        WHERE version_group_id = $1 AND NOT archived
        ORDER BY version DESC NULLS LAST, created DESC
        LIMIT 1
        """,
        version_group_id,
    )
    return flow_id


_NEW_RUN_COLUMNS = (
    ("id", "uuid"),
    ("flow_id", "uuid"),
    ("tenant_id", "uuid"),
    ("parameters", "text"),
    ("labels", "text"),
    ("run_config", "text"),
    ("context", "text"),
    ("scheduled_start_time", "timestamptz"),
    ("idempotency_key", "text"),
    ("name", "text"),
    ("auto_scheduled", "bool"),
    ("state_id", "uuid"),
    ("state", "text"),
    ("message", "text"),
    ("document", "text"),
)


@cache
def _insert_statement(*, single: bool, guarded: bool) -> str:
    """Return the statement of insert_flow_runs and of insert_flow_run_of.

    A run is inserted as its first state leaves it, so that the state's trigger need not write it again.

    Whatever changes a flow or its group moves the row's `updated`, which a trigger sees to. Who has the flow locked is
    waited for, and then it is looked at once more. Written so that only the ids can be searched for: without statistics
    the indexes on `updated`, or a small table as a whole, look as good.
    """
    held = """
held AS (
    SELECT id
    FROM flow
    WHERE id = $2
        AND updated IS NOT DISTINCT FROM $17::timestamptz
        AND (SELECT flow_group.updated FROM flow_group WHERE flow_group.id = flow.flow_group_id) = $18
    FOR SHARE
),"""
    return f"""
WITH entry AS (
    {entry_source(_NEW_RUN_COLUMNS, single=single)}
),{held if guarded else ""}
made AS (
    INSERT INTO flow_run (
        id, flow_id, tenant_id, parameters, labels, run_config, context, scheduled_start_time,
        idempotency_key, name, auto_scheduled,
        version, state, state_timestamp, state_message, state_start_time, serialized_state
    )
    SELECT
        id, flow_id, tenant_id, parameters::jsonb, labels::jsonb, run_config::jsonb, context::jsonb,
        scheduled_start_time, idempotency_key, name, auto_scheduled,
        CASE WHEN state IS NULL THEN 0 ELSE 1 END,
        state,
        CASE WHEN state IS NOT NULL THEN $16::timestamptz END,
        message,
        CASE WHEN state IS NOT NULL THEN scheduled_start_time END,
        document::jsonb
    FROM entry{" WHERE EXISTS (SELECT FROM held)" if guarded else ""}
    {"" if single else "ORDER BY flow_id, idempotency_key"}
    ON CONFLICT (idempotency_key, flow_id)
    DO UPDATE SET auto_scheduled = flow_run.auto_scheduled OR excluded.auto_scheduled
    RETURNING id, flow_id, idempotency_key
),
change AS (
    SELECT
        id AS flow_run_id, name AS flow_run_name, flow_id, tenant_id, state_id, state, message,
        scheduled_start_time AS start_time, document, 1 AS version, NULL::text AS previous_state,
        $16::timestamptz AS "timestamp"
    FROM entry
    WHERE state IS NOT NULL AND id IN (SELECT id FROM made)
),
first_state AS (
    INSERT INTO flow_run_state
        (id, tenant_id, flow_run_id, "timestamp", state, message, start_time, serialized_state, version)
    SELECT state_id, tenant_id, flow_run_id, "timestamp", state, message, start_time, document::jsonb, version
    FROM change
),
queued AS ({queue_events("change", now="$16")}
)
SELECT id, flow_id, idempotency_key, EXISTS (SELECT FROM queued) AS hooks_queued FROM made
"""  # noqa: S608 - made of constants


async def insert_flow_runs(session: WriteSession, *, runs: Sequence[NewFlowRun], now: datetime) -> list[Row]:
    """Insert flow runs, each with its first state, and queue what cloud hooks are told of those; one statement.

    Triggers add the task runs.

    A run whose (idempotency_key, flow_id) exists changes nothing but that row's `updated` (and makes it auto_scheduled
    if the new one is). The same key may not stand twice in one call.

    Returns:
        id, flow_id and idempotency_key of each run, new or found, in no particular order; hooks_queued (some run
        concerns a hook).
    """
    rows = [_values(run) for run in runs]
    single = len(rows) == 1
    statement = _insert_statement(single=single, guarded=False)
    return await session.fetch(statement, *entry_arguments(rows, single=single), now)


async def insert_flow_run_of(session: WriteSession, *, run: NewFlowRun, flow: Row, now: datetime) -> Row | None:
    """Insert a flow run as insert_flow_runs does; None: the flow or its group has changed since they were read.

    Args:
        flow: what find_flow returned.
    """
    statement = _insert_statement(single=True, guarded=True)
    return await session.fetch_row(statement, *_values(run), now, flow["updated"], flow["group_updated"])


def _values(run: NewFlowRun) -> tuple[object, ...]:
    """Return a run as the values of _NEW_RUN_COLUMNS."""
    return (
        run.id,
        run.flow_id,
        run.tenant_id,
        run.parameters,
        run.labels,
        run.run_config,
        run.run_context,
        run.scheduled_start_time,
        run.idempotency_key,
        run.name,
        run.auto_scheduled,
        run.state_id,
        run.state and run.state.name,
        run.state and run.state.message,
        run.state and run.state.text,
    )


async def update_flow_run_name(session: WriteSession, *, flow_run_id: UUID, name: str) -> bool:
    """Name a flow run."""
    return await session.execute("UPDATE flow_run SET name = $2 WHERE id = $1", flow_run_id, name) > 0


async def update_flow_run_labels(session: WriteSession, *, flow_run_id: UUID, labels: Sequence[str]) -> bool:
    """Replace the labels of a flow run."""
    return await session.execute("UPDATE flow_run SET labels = $2 WHERE id = $1", flow_run_id, labels) > 0


async def update_flow_run_heartbeat(session: WriteSession, *, flow_run_id: UUID, now: datetime) -> bool:
    """Note that a flow run is alive."""
    return await session.execute("UPDATE flow_run SET heartbeat = $2 WHERE id = $1", flow_run_id, now) > 0


async def update_task_run_name(session: WriteSession, *, task_run_id: UUID, name: str) -> bool:
    """Name a task run."""
    return await session.execute("UPDATE task_run SET name = $2 WHERE id = $1", task_run_id, name) > 0


async def update_task_run_heartbeat(
    session: WriteSession, *, task_run_id: UUID, now: datetime, overdue_before: datetime
) -> UUID | None:
    """Note that a task run is alive; return its flow run if that one's heartbeat is overdue (see store.life)."""
    overdue: UUID | None = await session.fetch_value(
        f"""
        UPDATE task_run SET heartbeat = $2 WHERE id = $1
        RETURNING (
            SELECT life.id FROM flow_run AS life WHERE life.id = task_run.flow_run_id AND {is_overdue("life", "$3")}
        )
        """,  # noqa: S608 - made of constants
        task_run_id,
        now,
        overdue_before,
    )
    return overdue


async def find_task_run_of(
    session: ReadSession, *, flow_run_id: UUID, task_id: UUID, map_index: int, overdue_before: datetime
) -> Row | None:
    """Return the task run of a key as find_or_insert_task_run does; None: there is none."""
    return await session.fetch_row(
        f"""
        SELECT
            id, version, state, serialized_state,
            (SELECT life.id FROM flow_run AS life WHERE life.id = $1 AND {is_overdue("life", "$4")}) AS overdue
        FROM task_run
        WHERE flow_run_id = $1 AND task_id = $2 AND map_index = $3
        """,  # noqa: S608 - made of constants
        flow_run_id,
        task_id,
        map_index,
        overdue_before,
    )


async def find_or_insert_task_run(
    session: WriteSession,
    *,
    task_run_id: UUID,
    flow_run_id: UUID,
    task_id: UUID,
    map_index: int,
    state_id: UUID,
    state: State,
    now: datetime,
    overdue_before: datetime,
) -> Row | None:
    """Return the task run of a key; insert it, with its first state, if there is none. One statement.

    To find one, it costs twice what find_task_run_of does: Postgres opens the tables to insert into and their indexes
    before it knows that there is nothing to insert.

    Args:
        task_run_id: of the new row, if one is made; so with state_id.

    Returns:
        id, version, state, serialized_state, and overdue: the flow run, if its heartbeat is (see store.life). None if
        the flow run or the task does not exist, or if somebody else inserted the row at the same moment: then the next
        call finds it.
    """
    return await session.fetch_row(
        f"""
        WITH found AS (
            SELECT id, version, state, serialized_state
            FROM task_run
            WHERE flow_run_id = $2 AND task_id = $3 AND map_index = $4
        ),
        made AS (
            INSERT INTO task_run (id, tenant_id, flow_run_id, task_id, map_index, cache_key)
            SELECT $1, flow_run.tenant_id, flow_run.id, task.id, $4, task.cache_key
            FROM flow_run, task
            WHERE flow_run.id = $2 AND task.id = $3 AND NOT EXISTS (SELECT FROM found)
            ON CONFLICT (flow_run_id, task_id, map_index) DO NOTHING
            RETURNING id, tenant_id
        ),
        first_state AS (
            INSERT INTO task_run_state
                (id, tenant_id, task_run_id, "timestamp", state, message, serialized_state, version)
            SELECT $5, tenant_id, id, $9, $6, $7, $8::text::jsonb, 1 FROM made
        )
        SELECT
            run.*, (SELECT life.id FROM flow_run AS life WHERE life.id = $2 AND {is_overdue("life", "$10")}) AS overdue
        FROM (
            SELECT id, version, state, serialized_state FROM found
            UNION ALL
            SELECT id, 1, $6, $8::text::jsonb FROM made
        ) AS run
        """,  # noqa: S608 - made of constants
        task_run_id,
        flow_run_id,
        task_id,
        map_index,
        state_id,
        state.name,
        state.message,
        state.text,
        now,
        overdue_before,
    )


async def find_task_run(session: ReadSession, *, task_run_id: UUID) -> Row | None:
    """Return id, version, state and serialized_state of a task run."""
    return await session.fetch_row(
        "SELECT id, version, state, serialized_state FROM task_run WHERE id = $1", task_run_id
    )


async def fetch_mapped_children(session: ReadSession, *, task_run_ids: Sequence[UUID], seconds: float) -> list[Row]:
    """Return the children of mapped task runs by parent and state; one statement.

    Args:
        seconds: the statement is stopped when it takes longer.

    Returns:
        task_run_id of the parent, state, count, min_start_time, max_end_time. There are none of a run that is itself a
        child or does not exist.
    """
    return await session.fetch(
        """
        SELECT
            parent.id AS task_run_id,
            child.state,
            count(*) AS count,
            min(child.start_time) AS min_start_time,
            max(child.end_time) AS max_end_time
        FROM task_run AS parent
        JOIN task_run AS child ON child.flow_run_id = parent.flow_run_id AND child.task_id = parent.task_id
        WHERE parent.id = ANY($1::uuid[]) AND parent.map_index < 0 AND child.map_index >= 0
        GROUP BY parent.id, child.state
        """,
        task_run_ids,
        seconds=seconds,
    )
