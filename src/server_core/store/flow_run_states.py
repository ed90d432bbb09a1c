"""SQL that moves flow runs from state to state, a constant number of statements for any number of them. Called by
actions.states inside its transaction.

The insert is one statement: it locks the runs in id order (so that batches cannot deadlock), reads what they are under
that lock, inserts the state rows that fit with the next versions, queues what cloud hooks are told, and reports entry
by entry. Triggers move the runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from uuid import UUID

from server_core.db.session import Row, WriteSession
from server_core.states import FINISHED, WAITING, State
from server_core.store.entries import (
    STATE_COLUMNS,
    entry_arguments,
    entry_source,
    first_column_matches,
    state_values,
)
from server_core.store.hook_outbox import queue_events
from server_core.store.removal import is_kept


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowRunEntry:
    """A state for a flow run.

    Attributes:
        submits: only if there is no Submitted state after `held_since` or since the run was put back, and it has not
            finished since; then it is the agent's.
        alive: sets the run's heartbeat.
        version: only if the run is at it, where the flow group locks versions; None: at any.
    """

    flow_run_id: UUID
    state_id: UUID
    state: State
    submits: bool
    alive: bool
    version: int | None


async def lock_flow_runs(session: WriteSession, *, flow_run_ids: Sequence[UUID]) -> dict[UUID, str | None]:
    """Lock flow runs until the transaction ends; return the state of each that exists.

    Statements after this one see everything that was committed before the lock was had.
    """
    rows = await session.fetch(
        "SELECT id, state FROM flow_run WHERE id = ANY($1::uuid[]) ORDER BY id FOR NO KEY UPDATE", flow_run_ids
    )
    return {row["id"]: row["state"] for row in rows}


_COLUMNS = (
    ("flow_run_id", "uuid"),
    *STATE_COLUMNS,
    ("submits", "bool"),
    ("alive", "bool"),
    ("given_version", "int"),
)
_UNSURE = "judged.submits AND judged.moved AND NOT judged.held AND NOT judged.stale"


@cache
def _statement(*, single: bool, submits: bool, alive: bool, versioned: bool) -> str:
    """Return the statement of insert_flow_run_states; what no entry needs is left out of it.

    That includes their order where there is one: each node of a plan costs time at each execution, used or not.

    Whether a run was submitted is a question to its history, which the statement sees as it was before it waited for
    the run's lock. A run that under the lock is not in the place on disk where it was then has been changed meanwhile,
    so the answer may be old: nothing is written and the entry is `unsure`. As each row of the history moves its run,
    a run in its place has no row that was not seen.

    A single run whose heartbeat is set is written as its state leaves it, so that the state's trigger need not write it
    once more.
    """
    matches = first_column_matches("id", "uuid", single=single)
    seen = f"""
seen AS (
    SELECT id, ctid AS place FROM flow_run WHERE {matches}
),"""  # noqa: S608 - made of constants
    locking = """
locking AS (
    SELECT run.id
    FROM run
    JOIN flow ON flow.id = run.flow_id
    JOIN flow_group ON flow_group.id = flow.flow_group_id
    WHERE flow_group.settings @> '{"version_locking_enabled": true}'
),"""
    stale = """
        entry.given_version IS NOT NULL
            AND entry.given_version <> run.version
            AND EXISTS (SELECT FROM locking WHERE locking.id = run.id)"""
    taken_before = """
            OR EXISTS (
                SELECT FROM entry AS earlier
                WHERE earlier.flow_run_id = run.id AND earlier.submits AND earlier.position < entry.position
            )"""
    not_put_back_before = """
                AND NOT EXISTS (
                    SELECT FROM entry AS earlier
                    WHERE earlier.flow_run_id = run.id
                        AND earlier.state = ANY($13::text[])
                        AND earlier.position < entry.position
                )"""
    held = f"""
        entry.submits AND (
            history.last_taken > $12{"" if single else taken_before}
            OR (
                run.state <> ALL($13::text[]){"" if single else not_put_back_before}
                AND (
                    run.state = 'Submitted'
                    OR run.state = ANY($14::text[])
                    OR history.taken_version >= coalesce(history.put_back_version, history.taken_version)
                )
            )
        )"""
    in_order = """
        current_version + row_number() OVER in_order AS version,
        coalesce(lag(state) OVER in_order, current_state) AS previous_state,
        $10::timestamptz + (row_number() OVER in_order - 1) * interval '1 microsecond' AS "timestamp\""""
    alone = """
        current_version + 1 AS version,
        current_state AS previous_state,
        $10::timestamptz AS "timestamp\""""
    all_sure = f" AND NOT EXISTS (SELECT FROM judged WHERE {_UNSURE})"
    history = """
    CROSS JOIN LATERAL (
        SELECT
            max("timestamp") FILTER (WHERE state = 'Submitted') AS last_taken,
            max(coalesce(version, 0)) FILTER (WHERE state = 'Submitted') AS taken_version,
            max(version) FILTER (WHERE state = ANY($13::text[])) AS put_back_version
        FROM flow_run_state
        WHERE flow_run_id = run.id
    ) AS history"""
    left = """
        version = sign.version::int,
        state = sign.state,
        state_timestamp = sign."timestamp",
        state_message = sign.message,
        state_result = NULL,
        state_start_time = sign.start_time,
        serialized_state = sign.document::jsonb,
        start_time = CASE WHEN sign.state = 'Running' THEN least(flow_run.start_time, sign."timestamp")
            ELSE flow_run.start_time END,"""
    signs = "(SELECT flow_run_id, bool_or(submits) AS submits FROM accepted WHERE alive GROUP BY flow_run_id)"
    beating = f""",
sender AS (
    SELECT id FROM agent WHERE id = $11::uuid FOR KEY SHARE
),
beating AS (
    UPDATE flow_run
    SET {left if single else ""}
        heartbeat = $10,
        agent_id = CASE WHEN sign.submits THEN coalesce((SELECT id FROM sender), agent_id) ELSE agent_id END
    FROM {"accepted" if single else signs} AS sign
    WHERE flow_run.id = sign.flow_run_id{" AND sign.alive" if single else ""}
)"""  # noqa: S608 - made of constants
    return f"""
WITH entry AS (
    {entry_source(_COLUMNS, single=single)}
),{seen if submits else ""}
run AS (
    SELECT id, tenant_id, flow_id, name, version, state, ctid AS place
    FROM flow_run
    WHERE {matches}
        AND {is_kept("flow_run.id")}
        AND {is_kept("flow_run.flow_id")}
    {"" if single else "ORDER BY id"}
    FOR NO KEY UPDATE
),{locking if versioned else ""}
judged AS (
    SELECT
        entry.*,
        run.tenant_id,
        run.flow_id,
        run.name AS flow_run_name,
        run.version AS current_version,
        run.state AS current_state,
        {stale if versioned else "false"} AS stale,
        coalesce({held if submits else "false"}, false) AS held,
        {"run.place <> (SELECT place FROM seen WHERE seen.id = run.id)" if submits else "false"} AS moved
    FROM entry JOIN run ON run.id = entry.flow_run_id{history if submits else ""}
),
accepted AS (
    SELECT
        judged.*,{alone if single else in_order}
    FROM judged
    WHERE NOT stale AND NOT held{all_sure if submits else ""}
    {"" if single else "WINDOW in_order AS (PARTITION BY flow_run_id ORDER BY position)"}
),
written AS (
    INSERT INTO flow_run_state
        (id, tenant_id, flow_run_id, "timestamp", state, message, start_time, serialized_state, version)
    SELECT state_id, tenant_id, flow_run_id, "timestamp", state, message, start_time, document::jsonb, version
    FROM accepted
    {"" if single else "ORDER BY position"}
),
queued AS ({queue_events("accepted", now="$10")}
){beating if alive else ""}
SELECT
    judged.position IS NOT NULL AS known,
    coalesce(judged.stale, false) AS stale,
    coalesce({_UNSURE}, false) AS unsure,
    accepted.version::int,
    EXISTS (SELECT FROM queued) AS hooks_queued
FROM entry
LEFT JOIN judged ON {"true" if single else "judged.position = entry.position"}
LEFT JOIN accepted ON {"true" if single else "accepted.position = entry.position"}
{"" if single else "ORDER BY entry.position"}
"""  # noqa: S608 - made of constants


async def insert_flow_run_states(
    session: WriteSession,
    *,
    entries: Sequence[FlowRunEntry],
    now: datetime,
    held_since: datetime,
    agent_id: UUID | None,
) -> list[Row] | None:
    """Insert the states that fit, queue what cloud hooks are told, set heartbeats and agents; one statement.

    Returns:
        Per entry, in order: known (the run exists and is not being deleted), stale (it is not at the version given),
        version (None: refused), hooks_queued (some entry concerns a hook). None: nothing was written, because a run
        that an entry `submits` was changed by somebody else just now; that cannot happen after lock_flow_runs.
    """
    rows = [
        (
            entry.flow_run_id,
            *state_values(entry.state_id, entry.state),
            entry.submits,
            entry.alive,
            entry.version,
        )
        for entry in entries
    ]
    single = len(rows) == 1
    submits = any(entry.submits for entry in entries)
    alive = submits or any(entry.alive for entry in entries)
    versioned = any(entry.version is not None for entry in entries)
    arguments = [*entry_arguments(rows, single=single), now]
    if alive:
        arguments.append(agent_id)
    if submits:
        arguments += [held_since, sorted(WAITING), sorted(FINISHED)]
    statement = _statement(single=single, submits=submits, alive=alive, versioned=versioned)
    written = await session.fetch(statement, *arguments)
    return None if any(row["unsure"] for row in written) else written
