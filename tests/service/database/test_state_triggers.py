"""What Postgres does with a state row, whoever writes it (schema.md §3 and the first table of §6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server_core.db.session import Database, Row, WriteSession
from server_core.states import CONCRETE
from tests.support.factories import (
    insert_flow_run_state,
    insert_task_run_state,
    make_flow,
    make_flow_run,
    task_run_of,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

State = tuple[int | None, str, int]
"""Version, name, minute of its timestamp."""

After = tuple[int, str, int | None, int | None]
"""The run's version, state, and minutes of start_time and end_time."""

VECTORS: Sequence[tuple[Sequence[State], After]] = (
    ([(0, "Pending", 1)], (0, "Pending", None, None)),
    ([(1, "Scheduled", 2), (2, "Submitted", 3)], (2, "Submitted", None, None)),
    ([(3, "Running", 4)], (3, "Running", 4, None)),
    ([(3, "Running", 3)], (3, "Running", 3, None)),
    ([(4, "Failed", 9)], (4, "Failed", 3, 9)),
    ([(2, "Success", 20)], (4, "Failed", 3, 9)),
    ([(4, "Retrying", 10), (5, "Running", 1)], (5, "Running", 1, 9)),
    ([(6, "Skipped", 30), (7, "TriggerFailed", 31), (8, "Cancelling", 32)], (8, "Cancelling", 1, 9)),
    ([(9, "Cancelled", 33)], (9, "Cancelled", 1, 33)),
    ([(None, "Success", 50)], (9, "Cancelled", 1, 33)),
    ([(9, "Cached", 5)], (9, "Cached", 1, 33)),
    ([(9, "TimedOut", 60), (10, "Looped", 61)], (10, "Looped", 1, 61)),
    ([(11, "Mapped", 62), (12, "Finished", 63)], (12, "Finished", 1, 61)),
    ([(13, "Success", 64)], (13, "Success", 1, 64)),
)


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of either kind, at version 0 and without a state."""

    session: WriteSession
    kind: str
    id: UUID

    async def add(self, state: str, **columns: Any) -> None:
        if self.kind == "flow":
            await insert_flow_run_state(self.session, flow_run_id=self.id, state=state, **columns)
        else:
            await insert_task_run_state(self.session, task_run_id=self.id, state=state, **columns)

    async def row(self) -> Row:
        found = await self.session.fetch_row(f"SELECT * FROM {self.kind}_run WHERE id = $1", self.id)
        assert found is not None
        return found


async def new_run(session: WriteSession, kind: str) -> Run:
    flow = await make_flow(session, tasks=1)
    run_id = await make_flow_run(session, flow=flow)
    if kind == "task":
        run_id = await task_run_of(session, flow_run_id=run_id, task_id=flow.task_ids[0])
        await session.execute(
            "UPDATE task_run SET version = 0, state = NULL, state_message = NULL, serialized_state = NULL,"
            " state_timestamp = NULL WHERE id = $1",
            run_id,
        )
    return Run(session=session, kind=kind, id=run_id)


@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_a_run_follows_its_states(database: Database, kind: str) -> None:
    """§4.2: a newer state is the run's state, whole."""
    async with database.transaction() as session:
        run = await new_run(session, kind)
        for states, (version, name, start, end) in VECTORS:
            for state_version, state, at in states:
                await run.add(state, version=state_version, timestamp=minute(at))
            row = await run.row()
            assert (row["version"], row["state"]) == (version, name)
            assert row["start_time"] == (None if start is None else minute(start)), states
            assert row["end_time"] == (None if end is None else minute(end)), states


@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_which_states_begin_and_end_a_run(database: Database, kind: str) -> None:
    """actions.md §4.2: one begins, six end, all others do neither, each on a run of its own."""
    ends = {"Success", "Failed", "Cached", "TimedOut", "Looped", "Cancelled"}
    async with database.transaction() as session:
        for name in sorted(CONCRETE):
            run = await new_run(session, kind)
            await run.add(name, version=1, timestamp=minute(1))
            row = await run.row()
            assert row["start_time"] == (minute(1) if name == "Running" else None), name
            assert row["end_time"] == (minute(1) if name in ends else None), name


@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_a_state_is_copied_whole(database: Database, kind: str) -> None:
    """§4.2: a newer state is the run's state, whole."""
    async with database.transaction() as session:
        run = await new_run(session, kind)
        values = {
            "timestamp": minute(5),
            "start_time": minute(7),
            "message": "here",
            "result": {"a": 1},
            "serialized_state": {"type": "Scheduled", "message": "here"},
        }
        await run.add("Scheduled", version=1, **values)
        row = await run.row()
        assert row["state_timestamp"] == minute(5)
        assert row["state_start_time"] == minute(7)
        assert row["state_message"] == "here"
        assert row["state_result"] == {"a": 1}
        assert row["serialized_state"] == values["serialized_state"]
        # Nothing of the former state remains.
        await run.add("Running", version=2, timestamp=minute(8))
        row = await run.row()
        assert (row["state_start_time"], row["state_message"], row["state_result"]) == (None, None, None)
        assert row["serialized_state"] == {"type": "Running"}


@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_cached_moves_the_timestamp_but_not_the_end(database: Database, kind: str) -> None:
    """§4.2: six states set the end, the latest stays."""
    async with database.transaction() as session:
        run = await new_run(session, kind)
        await run.add("Cancelled", version=9, timestamp=minute(33))
        await run.add("Cached", version=9, timestamp=minute(5))
        row = await run.row()
        assert (row["state_timestamp"], row["end_time"]) == (minute(5), minute(33))


@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_of_several_rows_in_one_insert_the_last_newest_wins(database: Database, kind: str) -> None:
    """§4.2: an equal version overwrites."""
    async with database.transaction() as session:
        run = await new_run(session, kind)
        await session.execute(
            f"INSERT INTO {kind}_run_state ({kind}_run_id, version, state, serialized_state)"
            " SELECT $1, version, 'Running', to_jsonb(number)"
            " FROM unnest($2::int[]) WITH ORDINALITY AS given (version, number) ORDER BY number",
            run.id,
            [14, 100, 20, 100],
        )
        row = await run.row()
        assert (row["version"], row["serialized_state"]) == (100, 4)


@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_a_state_without_a_version_counts_as_the_first(database: Database, kind: str) -> None:
    async with database.transaction() as session:
        run = await new_run(session, kind)
        await run.add("Pending")
        assert (await run.row())["version"] == 1
        await run.add("Running", version=2)
        await run.add("Success")
        assert (await run.row())["state"] == "Running"


@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_an_older_state_touches_the_run(database: Database, kind: str) -> None:
    """§4.2: a lower one is history only."""
    async with database.transaction() as session:
        run = await new_run(session, kind)
        await run.add("Running", version=5)
        before = await run.row()
    async with database.transaction() as session:
        run = Run(session=session, kind=kind, id=run.id)
        await run.add("Success", version=4)
        after = await run.row()
    assert after["updated"] > before["updated"]
    assert {**dict(after), "updated": None} == {**dict(before), "updated": None}


async def test_a_flow_run_brings_its_task_runs(database: Database) -> None:
    """§3.2: the short state that the trigger writes is read like any other.

    §4.1: a new run has a Pending task run for each task.
    §10: as many task runs as tasks, each with its own key.
    """
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=11)
        await session.execute("UPDATE task SET cache_key = slug WHERE flow_id = $1", flow.id)
        run_id = await make_flow_run(session, flow=flow)
        run = await session.fetch_row("SELECT * FROM flow_run WHERE id = $1", run_id)
        task_runs = await session.fetch(
            "SELECT task_run.*, task.slug FROM task_run JOIN task ON task.id = task_id WHERE flow_run_id = $1", run_id
        )
        states = await session.fetch("SELECT * FROM task_run_state")
    assert run is not None
    assert (run["version"], run["state"], run["parameters"], run["labels"]) == (0, None, {}, [])
    assert run["times_resurrected"] == 0
    assert {row["slug"] for row in task_runs} == {f"task-{number}" for number in range(11)}
    assert len(task_runs) == len(states) == 11
    state_times = {row["task_run_id"]: row["timestamp"] for row in states}
    pending = {"type": "Pending", "message": "Task run created"}
    for row in task_runs:
        assert (row["map_index"], row["version"], row["state"]) == (-1, 1, "Pending")
        assert (row["state_message"], row["serialized_state"]) == ("Task run created", pending)
        assert (row["start_time"], row["end_time"], row["tenant_id"]) == (None, None, flow.tenant_id)
        assert (row["cache_key"], row["state_timestamp"]) == (row["slug"], state_times[row["id"]])
    assert {row["version"] for row in states} == {1}
    assert {row["tenant_id"] for row in states} == {flow.tenant_id}


FIRST: Mapping[str, Any] = {
    "version": 1,
    "state": "Running",
    "timestamp": minute(1),
    "start_time": minute(2),
    "message": "first",
    "result": {"a": 1},
    "serialized_state": {"type": "Running"},
}
SECOND: Mapping[str, Any] = {
    "version": 2,
    "state": "Success",
    "timestamp": minute(3),
    "start_time": None,
    "message": None,
    "result": {"a": 1.0},
    "serialized_state": {"type": "Running", "message": None},
}
"""For each column of a state another value, be it only spelled otherwise."""
COLUMNS = {name: f"state_{name}" for name in ("message", "result", "timestamp", "start_time")}
"""Columns of a state that have another name in the run's row."""


async def writes(session: WriteSession, table: str) -> int:
    """Return how many row versions the transaction has made in a table."""
    count: int = await session.fetch_value(
        "SELECT n_tup_ins + n_tup_upd FROM pg_stat_xact_user_tables WHERE relname = $1", table
    )
    return count


@pytest.mark.parametrize("column", [*SECOND, "nothing"])
@pytest.mark.parametrize("kind", ["flow", "task"])
async def test_a_state_of_the_same_transaction_that_differs_in_one_column(
    database: Database, kind: str, column: str
) -> None:
    """§4.2: an equal version overwrites. What is written already is not written again, all else is."""
    async with database.transaction() as session:
        run = await new_run(session, kind)
        await run.add(**FIRST)
        written = await writes(session, f"{kind}_run")
        second = {name: (SECOND if name == column else FIRST)[name] for name in FIRST}
        await run.add(**second)
        # states of task runs are spared the look whether anything differs, but for those that a trigger writes
        expected = 0 if (kind, column) == ("flow", "nothing") else 1
        assert await writes(session, f"{kind}_run") - written == expected
        row = await run.row()
    for name, value in second.items():
        assert repr(row[COLUMNS.get(name, name)]) == repr(value), name


async def test_task_runs_that_a_new_flow_run_has_already_get_a_state_too(database: Database) -> None:
    """§3: every task run now in the flow run gets its first state, whoever made it."""
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=2)
        await session.execute(
            """
            WITH made AS (
                INSERT INTO flow_run (tenant_id, flow_id, name) SELECT tenant_id, id, 'r' FROM flow WHERE id = $1
                RETURNING id, tenant_id
            )
            INSERT INTO task_run (tenant_id, flow_run_id, task_id, map_index)
            SELECT tenant_id, id, $2, 7 FROM made
            """,
            flow.id,
            flow.task_ids[0],
        )
        rows = await session.fetch(
            """
            SELECT run.map_index, run.version, run.state, count(state.id) AS states
            FROM task_run AS run LEFT JOIN task_run_state AS state ON state.task_run_id = run.id
            WHERE run.flow_run_id IN (SELECT id FROM flow_run WHERE flow_id = $1)
            GROUP BY run.id ORDER BY run.map_index
            """,
            flow.id,
        )
    assert [tuple(row) for row in rows] == [(-1, 1, "Pending", 1), (-1, 1, "Pending", 1), (7, 1, "Pending", 1)]


async def test_the_task_runs_of_a_new_flow_run_are_made_without_reading_a_table(database: Database) -> None:
    """§3: whatever Postgres believes: here, that every flow run has thousands of task runs."""
    async with database.transaction() as session:
        flow = await make_flow(session, tasks=2)
        run = await make_flow_run(session, flow=flow)
        await session.execute(
            "INSERT INTO task_run (flow_run_id, task_id, map_index) SELECT $1, $2, generate_series(0, 5000)",
            run,
            flow.task_ids[0],
        )
        await session.execute("ANALYZE task_run")
        read = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'task_run'"
        before = await session.fetch_value(read)
        for _ in range(10):  # after a few times a function's plans no longer depend on values
            await make_flow_run(session, flow=flow)
        assert await session.fetch_value(read) == before


async def test_a_state_that_a_trigger_adds_to_a_new_task_run_counts(database: Database) -> None:
    """§3: a run follows its states, whoever writes them, and while its flow run is being made too."""
    async with database.transaction() as session:
        await session.execute(
            """
            CREATE FUNCTION pg_temp.go_on() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.version = 1 THEN
                    INSERT INTO task_run_state (tenant_id, task_run_id, version, state, message, serialized_state)
                    VALUES (NEW.tenant_id, NEW.task_run_id, 2, 'Scheduled', 'of a trigger', '{"type": "Scheduled"}');
                END IF;
                RETURN NEW;
            END
            $$
            """
        )
        # fired before and after the trigger of ours, which comes in the order of names
        for name in ("a_go_on", "z_go_on"):
            await session.execute(
                f"CREATE TRIGGER {name} AFTER INSERT ON task_run_state FOR EACH ROW EXECUTE PROCEDURE pg_temp.go_on()"
            )
        flow = await make_flow(session, tasks=3)
        run = await make_flow_run(session, flow=flow)
        rows = await session.fetch("SELECT version, state, state_message FROM task_run WHERE flow_run_id = $1", run)
    assert [tuple(row) for row in rows] == [(2, "Scheduled", "of a trigger")] * 3
