"""SQL that moves runs from state to state, a constant number of statements for any number of them. Called by
actions.states inside its transaction.

Each insert is one statement: it locks the runs in id order (so that batches cannot deadlock), reads what they are under
that lock, inserts the state rows that fit with the next versions, and reports entry by entry. Triggers move the runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

from server_core.db.session import Row, WriteSession
from server_core.states import FINISHED, State
from server_core.store.entries import entry_arguments, entry_source, first_column_matches
from server_core.store.life import is_overdue


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowRunEntry:
    """A state for a flow run.

    Attributes:
        submits: only if there is no Submitted state after `held_since`, then it is the agent's.
        alive: sets the run's heartbeat.
    """

    flow_run_id: UUID
    state_id: UUID
    state: State
    submits: bool
    alive: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRunEntry:
    """A state for a task run.

    Attributes:
        needs_running: only if the flow run is Running; sets the task run's heartbeat.
        inherits: takes over the cached inputs of the state before it.
    """

    task_run_id: UUID
    state_id: UUID
    state: State
    needs_running: bool
    inherits: bool


async def lock_flow_runs(session: WriteSession, *, flow_run_ids: Sequence[UUID]) -> dict[UUID, str | None]:
    """Lock flow runs until the transaction ends; return the state of each that exists.

    Statements after this one see everything that was committed before the lock was had.
    """
    rows = await session.fetch(
        "SELECT id, state FROM flow_run WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE", flow_run_ids
    )
    return {row["id"]: row["state"] for row in rows}


async def cancel_task_runs(session: WriteSession, *, states: Sequence[tuple[UUID, State]], now: datetime) -> int:
    """Give every unfinished task run of some flow runs the state paired with its flow run; return how many there were.

    One statement, whatever the number of task runs (actions.md §3.4.3).
    """
    return await session.execute(
        """
        WITH entry AS (
            SELECT *
            FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS e(flow_run_id, state, message, document)
        ),
        run AS (
            SELECT id, tenant_id, flow_run_id, version
            FROM task_run
            WHERE flow_run_id = ANY($1::uuid[]) AND (state IS NULL OR state <> ALL($5::text[]))
            ORDER BY id
            FOR NO KEY UPDATE
        )
        INSERT INTO task_run_state (tenant_id, task_run_id, "timestamp", state, message, serialized_state, version)
        SELECT
            coalesce(run.tenant_id, (SELECT tenant_id FROM flow_run WHERE flow_run.id = run.flow_run_id)),
            run.id, $6::timestamptz, entry.state, entry.message, entry.document::jsonb, run.version + 1
        FROM run JOIN entry ON entry.flow_run_id = run.flow_run_id
        """,
        [flow_run_id for flow_run_id, _ in states],
        [state.name for _, state in states],
        [state.message for _, state in states],
        [state.text for _, state in states],
        sorted(FINISHED),
        now,
    )


_STATE_COLUMNS = (
    ("state_id", "uuid"),
    ("state", "text"),
    ("message", "text"),
    ("start_time", "timestamptz"),
    ("document", "text"),
)
_FLOW_RUN_COLUMNS = (("flow_run_id", "uuid"), *_STATE_COLUMNS, ("submits", "bool"), ("alive", "bool"))
_TASK_RUN_COLUMNS = (("task_run_id", "uuid"), *_STATE_COLUMNS, ("needs_running", "bool"), ("inherits", "bool"))


@cache
def _flow_run_statement(*, single: bool, submits: bool, alive: bool) -> str:
    """Return the statement of insert_flow_run_states; what no entry needs is left out of it."""
    not_held = """
    WHERE NOT entry.submits OR NOT (
        EXISTS (
            SELECT FROM flow_run_state AS held
            WHERE held.flow_run_id = entry.flow_run_id AND held.state = 'Submitted' AND held."timestamp" > $11
        )
        OR EXISTS (
            SELECT FROM entry AS earlier
            WHERE earlier.flow_run_id = entry.flow_run_id AND earlier.submits AND earlier.position < entry.position
        )
    )"""
    beating = """,
sender AS (
    SELECT id FROM agent WHERE id = $10::uuid FOR KEY SHARE
),
beating AS (
    UPDATE flow_run
    SET
        heartbeat = $9,
        agent_id = CASE WHEN sign.submits THEN coalesce((SELECT id FROM sender), agent_id) ELSE agent_id END
    FROM (SELECT flow_run_id, bool_or(submits) AS submits FROM accepted WHERE alive GROUP BY flow_run_id) AS sign
    WHERE flow_run.id = sign.flow_run_id
)"""
    return f"""
WITH entry AS (
    {entry_source(_FLOW_RUN_COLUMNS, single=single)}
),
run AS (
    SELECT id, tenant_id, version, state
    FROM flow_run
    WHERE {first_column_matches("id", "uuid", single=single)}
        AND id NOT IN (SELECT id FROM pending_removal)
        AND flow_id NOT IN (SELECT id FROM pending_removal)
    ORDER BY id
    FOR NO KEY UPDATE
),
accepted AS (
    SELECT
        entry.*,
        run.tenant_id,
        run.version + row_number() OVER in_order AS version,
        coalesce(lag(entry.state) OVER in_order, run.state) AS previous_state,
        $9::timestamptz + (row_number() OVER in_order - 1) * interval '1 microsecond' AS "timestamp"
    FROM entry JOIN run ON run.id = entry.flow_run_id{not_held if submits else ""}
    WINDOW in_order AS (PARTITION BY entry.flow_run_id ORDER BY entry.position)
),
written AS (
    INSERT INTO flow_run_state
        (id, tenant_id, flow_run_id, "timestamp", state, message, start_time, serialized_state, version)
    SELECT state_id, tenant_id, flow_run_id, "timestamp", state, message, start_time, document::jsonb, version
    FROM accepted
    ORDER BY position
){beating if alive else ""}
SELECT run.id IS NOT NULL AS known, run.tenant_id, accepted.version::int, accepted.previous_state, accepted."timestamp"
FROM entry
LEFT JOIN run ON run.id = entry.flow_run_id
LEFT JOIN accepted ON accepted.position = entry.position
ORDER BY entry.position
"""  # noqa: S608 - made of constants


async def insert_flow_run_states(
    session: WriteSession,
    *,
    entries: Sequence[FlowRunEntry],
    now: datetime,
    held_since: datetime,
    agent_id: UUID | None,
) -> list[Row]:
    """Insert the states that fit and set heartbeats and agents; one statement.

    To be exact under concurrency, entries that `submit` need lock_flow_runs before.

    Returns:
        Per entry, in order: known (the run exists and is not being deleted), tenant_id, version (None: refused),
        previous_state, timestamp.
    """
    rows = [
        (
            entry.flow_run_id,
            entry.state_id,
            entry.state.name,
            entry.state.message,
            entry.state.start_time,
            entry.state.text,
            entry.submits,
            entry.alive,
        )
        for entry in entries
    ]
    single = len(rows) == 1
    submits = any(entry.submits for entry in entries)
    alive = submits or any(entry.alive for entry in entries)
    arguments = [*entry_arguments(rows, single=single), now]
    if alive:
        arguments.append(agent_id)
    if submits:
        arguments.append(held_since)
    return await session.fetch(_flow_run_statement(single=single, submits=submits, alive=alive), *arguments)


@cache
def _task_run_statement(*, single: bool, needs_running: bool) -> str:
    """Return the statement of insert_task_run_states; what no entry needs is left out of it."""
    flow = """
flow AS (
    SELECT id, state
    FROM flow_run
    WHERE id IN (
        SELECT task_run.flow_run_id
        FROM entry JOIN task_run ON task_run.id = entry.task_run_id
        WHERE entry.needs_running
    )
    ORDER BY id
    FOR SHARE
),"""
    after_flow = " AND (SELECT count(*) FROM flow) >= 0"
    in_running_flow = """
    WHERE NOT entry.needs_running
        OR EXISTS (SELECT FROM flow WHERE flow.id = run.flow_run_id AND flow.state = 'Running')"""
    beating = """,
beating AS (
    UPDATE task_run
    SET heartbeat = $9
    WHERE id IN (SELECT task_run_id FROM accepted WHERE needs_running)
)"""
    return f"""
WITH entry AS (
    {entry_source(_TASK_RUN_COLUMNS, single=single)}
),{flow if needs_running else ""}
run AS (
    SELECT
        id, version, serialized_state -> 'cached_inputs' AS cached_inputs, flow_run_id,
        coalesce(tenant_id, (SELECT tenant_id FROM flow_run WHERE flow_run.id = task_run.flow_run_id)) AS tenant_id
    FROM task_run
    WHERE {first_column_matches("id", "uuid", single=single)}{after_flow if needs_running else ""}
    ORDER BY id
    FOR NO KEY UPDATE
),
accepted AS (
    SELECT
        entry.*,
        run.tenant_id,
        CASE
            WHEN entry.inherits AND jsonb_typeof(run.cached_inputs) = 'object' AND run.cached_inputs <> '{{}}'
            THEN jsonb_set(entry.document::jsonb, '{{cached_inputs}}', run.cached_inputs)
            ELSE entry.document::jsonb
        END AS serialized_state,
        run.version + row_number() OVER in_order AS version,
        $9::timestamptz + (row_number() OVER in_order - 1) * interval '1 microsecond' AS "timestamp"
    FROM entry JOIN run ON run.id = entry.task_run_id{in_running_flow if needs_running else ""}
    WINDOW in_order AS (PARTITION BY entry.task_run_id ORDER BY entry.position)
),
written AS (
    INSERT INTO task_run_state
        (id, tenant_id, task_run_id, "timestamp", state, message, start_time, serialized_state, version)
    SELECT state_id, tenant_id, task_run_id, "timestamp", state, message, start_time, serialized_state, version
    FROM accepted
    ORDER BY position
){beating if needs_running else ""}
SELECT
    run.id IS NOT NULL AS known,
    accepted.version::int,
    (SELECT life.id FROM flow_run AS life WHERE life.id = run.flow_run_id AND {is_overdue("life", "$10")}) AS overdue
FROM entry
LEFT JOIN run ON run.id = entry.task_run_id
LEFT JOIN accepted ON accepted.position = entry.position
ORDER BY entry.position
"""  # noqa: S608 - made of constants


async def insert_task_run_states(
    session: WriteSession, *, entries: Sequence[TaskRunEntry], now: datetime, overdue_before: datetime | None
) -> list[Row]:
    """Insert the states that fit and set heartbeats; one statement.

    The flow runs of entries that need them Running are locked against change first.

    Returns:
        Per entry, in order: known (the run exists), version (None: refused), overdue (the flow run, if its heartbeat is
        from before `overdue_before`; see store.life).
    """
    rows = [
        (
            entry.task_run_id,
            entry.state_id,
            entry.state.name,
            entry.state.message,
            entry.state.start_time,
            entry.state.text,
            entry.needs_running,
            entry.inherits,
        )
        for entry in entries
    ]
    single = len(rows) == 1
    statement = _task_run_statement(single=single, needs_running=any(entry.needs_running for entry in entries))
    return await session.fetch(statement, *entry_arguments(rows, single=single), now, overdue_before)
