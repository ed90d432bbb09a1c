"""SQL that moves task runs from state to state, a constant number of statements for any number of them. Called by
actions.states inside its transaction.

The insert is one statement: it locks the flow runs that matter and then the runs, each in id order (so that batches
cannot deadlock), reads what they are under that lock, inserts the state rows that fit with the next versions, and
reports entry by entry. Triggers move the runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

from server_core.db.session import Row, WriteSession
from server_core.states import FINISHED, State
from server_core.store.entries import (
    STATE_COLUMNS,
    entry_arguments,
    entry_source,
    first_column_matches,
    state_values,
)
from server_core.store.life import is_overdue


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRunEntry:
    """A state for a task run.

    Attributes:
        needs_running: only if the flow run is Running; sets the task run's heartbeat.
        inherits: takes over the cached inputs of the state before it.
        version: only if the run is at it, where the flow group locks versions; None: at any.
        flow_run_version: the same of the flow run.
    """

    task_run_id: UUID
    state_id: UUID
    state: State
    needs_running: bool
    inherits: bool
    version: int | None
    flow_run_version: int | None


async def hold_flow_runs_of(session: WriteSession, *, task_run_ids: Sequence[UUID]) -> None:
    """Keep the flow runs of task runs from changing until the transaction ends."""
    await session.fetch(
        """
        SELECT id FROM flow_run
        WHERE id IN (SELECT flow_run_id FROM task_run WHERE task_run.id = ANY($1::uuid[]))
        ORDER BY id
        FOR SHARE
        """,
        task_run_ids,
    )


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


_COLUMNS = (
    ("task_run_id", "uuid"),
    *STATE_COLUMNS,
    ("needs_running", "bool"),
    ("inherits", "bool"),
    ("given_version", "int"),
    ("given_flow_run_version", "int"),
)


@cache
def _statement(*, single: bool, needs_running: bool, versioned: bool) -> str:
    """Return the statement of insert_task_run_states; what no entry needs is left out of it.

    The flow runs that matter are locked before the task runs, as everywhere.
    """
    needs_flow_run = needs_running or versioned
    flow_run = """
parent AS (
    SELECT id, state, version
    FROM flow_run
    WHERE id IN (
        SELECT task_run.flow_run_id
        FROM entry JOIN task_run ON task_run.id = entry.task_run_id
        WHERE entry.needs_running OR entry.given_flow_run_version IS NOT NULL
    )
    ORDER BY id
    FOR SHARE
),"""
    after_flow_run = " AND (SELECT count(*) FROM parent) >= 0"
    locking = """
locking AS (
    SELECT run.id
    FROM run
    JOIN flow_run ON flow_run.id = run.flow_run_id
    JOIN flow ON flow.id = flow_run.flow_id
    JOIN flow_group ON flow_group.id = flow.flow_group_id
    WHERE flow_group.settings @> '{"version_locking_enabled": true}'
),"""
    stale = """
        EXISTS (SELECT FROM locking WHERE locking.id = run.id) AND (
            (entry.given_version IS NOT NULL AND entry.given_version <> run.version)
            OR (
                entry.given_flow_run_version IS NOT NULL
                AND NOT EXISTS (
                    SELECT FROM parent
                    WHERE parent.id = run.flow_run_id AND parent.version = entry.given_flow_run_version
                )
            )
        )"""
    barred = """
        entry.needs_running
            AND NOT EXISTS (SELECT FROM parent WHERE parent.id = run.flow_run_id AND parent.state = 'Running')"""
    beating = """,
beating AS (
    UPDATE task_run
    SET heartbeat = $11
    WHERE id IN (SELECT task_run_id FROM accepted WHERE needs_running)
)"""
    return f"""
WITH entry AS (
    {entry_source(_COLUMNS, single=single)}
),{flow_run if needs_flow_run else ""}
run AS (
    SELECT
        id, version, serialized_state -> 'cached_inputs' AS cached_inputs, flow_run_id,
        coalesce(tenant_id, (SELECT tenant_id FROM flow_run WHERE flow_run.id = task_run.flow_run_id)) AS tenant_id
    FROM task_run
    WHERE {first_column_matches("id", "uuid", single=single)}{after_flow_run if needs_flow_run else ""}
    ORDER BY id
    FOR NO KEY UPDATE
),{locking if versioned else ""}
judged AS (
    SELECT
        entry.*,
        run.tenant_id,
        run.version AS current_version,
        run.cached_inputs,
        run.flow_run_id,
        {stale if versioned else "false"} AS stale,
        {barred if needs_running else "false"} AS barred
    FROM entry JOIN run ON run.id = entry.task_run_id
),
accepted AS (
    SELECT
        judged.*,
        CASE
            WHEN inherits AND jsonb_typeof(cached_inputs) = 'object' AND cached_inputs <> '{{}}'
            THEN jsonb_set(document::jsonb, '{{cached_inputs}}', cached_inputs)
            ELSE document::jsonb
        END AS serialized_state,
        current_version + row_number() OVER in_order AS version,
        $11::timestamptz + (row_number() OVER in_order - 1) * interval '1 microsecond' AS "timestamp"
    FROM judged
    WHERE NOT stale AND NOT barred
    WINDOW in_order AS (PARTITION BY task_run_id ORDER BY position)
),
written AS (
    INSERT INTO task_run_state
        (id, tenant_id, task_run_id, "timestamp", state, message, start_time, serialized_state, version)
    SELECT state_id, tenant_id, task_run_id, "timestamp", state, message, start_time, serialized_state, version
    FROM accepted
    ORDER BY position
){beating if needs_running else ""}
SELECT
    judged.position IS NOT NULL AS known,
    coalesce(judged.stale AND NOT judged.barred, false) AS stale,
    accepted.version::int,
    (SELECT life.id FROM flow_run AS life WHERE life.id = judged.flow_run_id AND {is_overdue("life", "$12")}) AS overdue
FROM entry
LEFT JOIN judged ON judged.position = entry.position
LEFT JOIN accepted ON accepted.position = entry.position
ORDER BY entry.position
"""  # noqa: S608 - made of constants


@cache
def _single_statement(*, needs_running: bool) -> str:
    """Return the same statement for one entry that names no version: what clients send most.

    It has a third of the plan's nodes, which is a fifth of its time.
    """
    flow_run = """
parent AS (
    SELECT id, tenant_id, state, heartbeat
    FROM flow_run
    WHERE id = (SELECT flow_run_id FROM task_run WHERE id = $1::uuid)
    FOR SHARE
),"""
    beating = """,
beating AS (
    UPDATE task_run SET heartbeat = $8::timestamptz WHERE id = (SELECT id FROM accepted)
)"""
    return f"""
WITH{flow_run if needs_running else ""}
run AS (
    SELECT id, version, serialized_state -> 'cached_inputs' AS cached_inputs, flow_run_id, tenant_id
    FROM task_run
    WHERE id = $1::uuid{" AND (SELECT count(*) FROM parent) >= 0" if needs_running else ""}
    FOR NO KEY UPDATE
),
accepted AS (
    SELECT
        run.id,
        coalesce(run.tenant_id, parent.tenant_id) AS tenant_id,
        run.version + 1 AS version,
        CASE
            WHEN $7::bool AND jsonb_typeof(run.cached_inputs) = 'object' AND run.cached_inputs <> '{{}}'
            THEN jsonb_set($6::text::jsonb, '{{cached_inputs}}', run.cached_inputs)
            ELSE $6::text::jsonb
        END AS serialized_state
    FROM run
    JOIN {"parent" if needs_running else "flow_run AS parent"}
        ON parent.id = run.flow_run_id{" AND parent.state = 'Running'" if needs_running else ""}
),
written AS (
    INSERT INTO task_run_state
        (id, tenant_id, task_run_id, "timestamp", state, message, start_time, serialized_state, version)
    SELECT
        $2::uuid, tenant_id, id, $8::timestamptz, $3::text, $4::text, $5::timestamptz, serialized_state, version
    FROM accepted
){beating if needs_running else ""}
SELECT
    EXISTS (SELECT FROM run) AS known,
    false AS stale,
    (SELECT version FROM accepted)::int AS version,
    (
        SELECT life.id
        FROM {"parent AS life" if needs_running else "run JOIN flow_run AS life ON life.id = run.flow_run_id"}
        WHERE {is_overdue("life", "$9")}
    ) AS overdue
"""  # noqa: S608 - made of constants


async def insert_task_run_states(
    session: WriteSession, *, entries: Sequence[TaskRunEntry], now: datetime, overdue_before: datetime | None
) -> list[Row]:
    """Insert the states that fit and set heartbeats; one statement.

    The flow runs of entries that need them Running or at a version are locked against change first.

    Returns:
        Per entry, in order: known (the run exists), stale (it or its flow run is not at the version given), version
        (None: refused), overdue (the flow run, if its heartbeat is from before `overdue_before`; see store.life).
    """
    versioned = any(entry.version is not None or entry.flow_run_version is not None for entry in entries)
    if len(entries) == 1 and not versioned:
        [entry] = entries
        return await session.fetch(
            _single_statement(needs_running=entry.needs_running),
            entry.task_run_id,
            *state_values(entry.state_id, entry.state),
            entry.inherits,
            now,
            overdue_before,
        )
    rows = [
        (
            entry.task_run_id,
            *state_values(entry.state_id, entry.state),
            entry.needs_running,
            entry.inherits,
            entry.version,
            entry.flow_run_version,
        )
        for entry in entries
    ]
    single = len(rows) == 1
    statement = _statement(
        single=single,
        needs_running=any(entry.needs_running for entry in entries),
        versioned=versioned,
    )
    return await session.fetch(statement, *entry_arguments(rows, single=single), now, overdue_before)
