"""set_flow_run_states and cancel_flow_run on a real Postgres (actions.md §3.3, §3.4, §3.6, §3.7)."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from server_core import states
from server_core.actions.changes import FlowRunStateChange
from server_core.actions.context import ActionContext
from server_core.actions.runs import FlowRunSpec, create_flow_runs_in
from server_core.actions.states import (
    FlowRunStateInput,
    FlowRunStateWrite,
    StateReceipt,
    TaskRunStateInput,
    cancel_flow_run,
    set_flow_run_states,
    set_task_run_states,
    write_flow_run_states,
)
from server_core.db.session import Database, WriteSession
from server_core.errors import InvalidInput, NotFound, PayloadTooLarge, StateUpdateFailed
from server_core.states import make_state
from tests.service.actions.writing_states import at, set_flow, set_task
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import fetch_all, fetch_one, history, insert, make_flow, make_flow_run, task_runs_of

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)
LOCATION = {"type": "LocalResult", "location": "/x", "dir": "/", "__version__": "1.4.1"}


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=2)


@pytest.fixture
async def run(database: Database, flow: Flow) -> UUID:
    return await make_flow_run(database, flow)


async def test_a_run_is_written_once_per_state(context: ActionContext, database: Database, flow: Flow) -> None:
    """schema.md §3: the run follows its states, and each version of its row costs an entry in each index."""

    async def written(session: WriteSession) -> dict[str, int]:
        rows = await session.fetch(
            "SELECT relname, n_tup_ins + n_tup_upd AS versions FROM pg_stat_xact_user_tables"
            " WHERE relname IN ('flow_run', 'task_run')"
        )
        return {row["relname"]: row["versions"] for row in rows}

    async with database.transaction() as session:
        [run] = await create_flow_runs_in(session, context, [FlowRunSpec(flow_id=flow.id)])
        counts = [await written(session)]
        for name in ("Submitted", "Running", "Success"):
            write = FlowRunStateWrite(flow_run_id=run.id, state=make_state(name, now=NOW, message="here"))
            [change] = await write_flow_run_states(session, context, [write])
            assert isinstance(change, FlowRunStateChange)
            counts.append(await written(session))
            row = await session.fetch_row("SELECT * FROM flow_run WHERE id = $1", run.id)
            assert row is not None
            assert (row["state"], row["state_message"], row["version"]) == (name, "here", change.version)
    assert counts == [{"flow_run": number, "task_run": 2} for number in (1, 2, 3, 4)]


async def test_the_history_of_other_runs_is_not_read(context: ActionContext, database: Database, flow: Flow) -> None:
    """§3.4: whether a run was submitted is told from its own states, whatever Postgres knows of the table."""
    read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'flow_run_state'"
    other, run = await make_flow_run(database, flow), await make_flow_run(database, flow)
    async with database.transaction() as session:
        await session.execute(
            "INSERT INTO flow_run_state (flow_run_id, version, state, serialized_state)"
            " SELECT $1, 0, 'Submitted', '{}' FROM generate_series(1, 1000)",
            other,
        )
        before = await session.fetch_value(read)
        write = FlowRunStateWrite(flow_run_id=run, state=make_state("Submitted", now=NOW))
        [change] = await write_flow_run_states(session, context, [write])
        assert isinstance(change, FlowRunStateChange)
        assert await session.fetch_value(read) - before < 10


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [("task", "Running", 1), ("flow", "Running", 1), ("flow", "Submitted", 1), ("flow", "Cancelled", 2)],
)
async def test_a_batch_is_a_constant_number_of_statements(
    context: ActionContext, database: Database, kind: str, name: str, expected: int
) -> None:
    flow = await make_flow(database, tasks=20)
    runs = [await make_flow_run(database, flow) for _ in range(50)]
    for run in runs:
        await set_flow(context, run, "Running")
    task_run_ids = [task_run for run in runs[:5] for task_run in await task_runs_of(database, run)]

    async def write(flow_ids: list[UUID], task_ids: list[UUID]) -> None:
        state = {"type": name}
        if kind == "task":
            tasks = [TaskRunStateInput(task_run_id=each, state=state) for each in task_ids]
            await set_task_run_states(context, states=tasks)
        else:
            flows = [FlowRunStateInput(flow_run_id=each, state=state) for each in flow_ids]
            await set_flow_run_states(context, states=flows)

    async with recorded(database):
        await write(runs[:2], task_run_ids[:2])  # asyncpg looks up array types once per connection
    async with recorded(database) as recorder:
        await write(runs[2:], task_run_ids)
    assert len(recorder.statements) == expected
    rows = await fetch_all(database, f"SELECT state FROM {kind}_run WHERE state = $1", name)
    assert len(rows) >= (100 if kind == "task" else 50)


# --- flow runs ---------------------------------------------------------------------------------------------------


async def test_a_state_is_stored_and_moves_the_run(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    """§3.8: a written state answers SUCCESS without a message."""
    start = NOW + timedelta(hours=1)
    document = {"type": "Scheduled", "message": "later", "start_time": start.isoformat()}
    receipts = await set_flow_run_states(
        at(context, NOW), states=[FlowRunStateInput(flow_run_id=run, state=document, version=17)]
    )
    assert receipts == [StateReceipt(id=run, status="SUCCESS", message=None)]
    [row] = await history(database, "flow_run", run)
    assert row["version"] == 1
    assert row["state"] == "Scheduled"
    assert row["message"] == "later"
    assert row["timestamp"] == NOW
    assert row["start_time"] == start
    assert row["tenant_id"] == flow.tenant_id
    assert row["result"] is None
    made = await fetch_one(database, "flow_run", run)
    assert (made["version"], made["state"], made["state_start_time"]) == (1, "Scheduled", start)
    assert made["serialized_state"] == row["serialized_state"]
    assert made["serialized_state"]["context"] == {}


async def test_versions_count_up_and_order_is_kept_within_a_batch(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    other = await make_flow_run(database, flow)
    names = ["Scheduled", "Submitted", "Running", "Success"]
    inputs = [FlowRunStateInput(flow_run_id=each, state={"type": name}) for name in names for each in (run, other)]
    receipts = await set_flow_run_states(context, states=inputs)
    assert [receipt.id for receipt in receipts] == [run, other] * 4
    for each in (run, other):
        rows = await history(database, "flow_run", each)
        assert [(row["version"], row["state"]) for row in rows] == list(enumerate(names, start=1))
        assert sorted(rows, key=lambda row: row["timestamp"]) == rows
        assert (await fetch_one(database, "flow_run", each))["state"] == "Success"


@pytest.mark.parametrize("state", ["Running", "Submitted", "Cancelled"])
async def test_unknown_flow_run(context: ActionContext, state: str) -> None:
    with pytest.raises(StateUpdateFailed, match="State update failed"):
        await set_flow(context, uuid4(), state)


async def test_entries_stand_alone(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    other = await make_flow_run(database, flow)
    inputs = [
        FlowRunStateInput(flow_run_id=run, state={"type": "Running"}),
        FlowRunStateInput(flow_run_id=run, state={"type": "Nope"}),
        FlowRunStateInput(flow_run_id=uuid4(), state={"type": "Running"}),
        FlowRunStateInput(flow_run_id=other, state={"type": "Failed"}),
    ]
    with pytest.raises(InvalidInput, match="Nope"):
        await set_flow_run_states(context, states=inputs)
    assert (await fetch_one(database, "flow_run", run))["state"] == "Running"
    assert (await fetch_one(database, "flow_run", other))["state"] == "Failed"


async def test_an_empty_batch_is_fine(context: ActionContext) -> None:
    assert await set_flow_run_states(context, states=[]) == []
    assert await set_task_run_states(context, states=[]) == []


async def test_too_large_states_are_refused(context: ActionContext, database: Database, run: UUID) -> None:
    """§3.2: a state over the limit is refused in both mutations."""
    document = {"type": "Success", "message": "x" * 1_000_000}
    with pytest.raises(PayloadTooLarge, match="payload too large"):
        await set_flow_run_states(context, states=[FlowRunStateInput(flow_run_id=run, state=document)])
    [task_run, _] = await task_runs_of(database, run)
    with pytest.raises(PayloadTooLarge, match="payload too large"):
        await set_task_run_states(context, states=[TaskRunStateInput(task_run_id=task_run, state=document)])
    assert await history(database, "flow_run", run) == []
    assert len(await history(database, "task_run", task_run)) == 1


async def test_second_submission_within_30_seconds_is_refused(
    context: ActionContext, database: Database, run: UUID
) -> None:
    await set_flow(at(context, NOW), run, "Submitted")
    await set_flow(at(context, NOW + timedelta(seconds=1)), run, "Running", "Scheduled")
    with pytest.raises(StateUpdateFailed, match="State update failed"):
        await set_flow(at(context, NOW + timedelta(seconds=29)), run, "Submitted")
    assert (await fetch_one(database, "flow_run", run))["version"] == 3
    await set_flow(at(context, NOW + timedelta(seconds=31)), run, "Submitted")
    assert (await fetch_one(database, "flow_run", run))["version"] == 4


async def test_one_batch_submits_once(context: ActionContext, database: Database, run: UUID) -> None:
    with pytest.raises(StateUpdateFailed):
        await set_flow(context, run, "Submitted", "Submitted", "Running")
    rows = await history(database, "flow_run", run)
    assert [(row["version"], row["state"]) for row in rows] == [(1, "Submitted"), (2, "Running")]


async def test_of_many_submissions_at_once_one_wins(context: ActionContext, database: Database, flow: Flow) -> None:
    runs = [await make_flow_run(database, flow) for _ in range(5)]
    outcomes = await asyncio.gather(
        *(set_flow(context, run, "Submitted") for _ in range(8) for run in runs), return_exceptions=True
    )
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert len(outcomes) - len(refused) == len(runs)
    assert all(isinstance(each, StateUpdateFailed) and "State update failed" in str(each) for each in refused)
    for run in runs:
        assert [row["state"] for row in await history(database, "flow_run", run)] == ["Submitted"]


async def test_submissions_mixed_with_other_states_never_win_twice(
    context: ActionContext, database: Database, run: UUID
) -> None:
    writers = [set_flow(context, run, name) for _ in range(10) for name in ("Submitted", "Running")]
    await asyncio.gather(*writers, return_exceptions=True)
    rows = await history(database, "flow_run", run)
    assert [row["state"] for row in rows].count("Submitted") == 1
    assert [row["version"] for row in rows] == list(range(1, 12))


async def test_concurrent_writes_lose_and_double_no_version(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    runs = [await make_flow_run(database, flow) for _ in range(3)]
    writers = [
        set_flow_run_states(
            context,
            states=[
                FlowRunStateInput(flow_run_id=run, state={"type": name})
                for run in (runs if n % 2 else reversed(runs))
                for name in ("Running", "Retrying")
            ],
        )
        for n in range(12)
    ]
    await asyncio.gather(*writers)
    for run in runs:
        rows = await history(database, "flow_run", run)
        assert [row["version"] for row in rows] == list(range(1, 25))
        made = await fetch_one(database, "flow_run", run)
        assert (made["version"], made["state"]) == (24, rows[-1]["state"])


async def test_cancelled_takes_unfinished_task_runs_along(
    context: ActionContext, database: Database, flow: Flow, run: UUID
) -> None:
    other = await make_flow_run(database, flow)
    [mapped, pending] = await task_runs_of(database, run)
    await set_task(context, mapped, "Mapped")
    await set_flow(context, run, "Cancelled")
    assert (await fetch_one(database, "task_run", mapped))["state"] == "Mapped"
    cancelled = await fetch_one(database, "task_run", pending)
    assert (cancelled["state"], cancelled["state_message"], cancelled["version"]) == ("Cancelled", "cancelled", 2)
    assert (await history(database, "task_run", pending))[-1]["tenant_id"] == flow.tenant_id
    for task_run in await task_runs_of(database, other):
        assert (await fetch_one(database, "task_run", task_run))["state"] == "Pending"


@pytest.mark.parametrize("state", ["Cancelling", "Failed", "Success"])
async def test_other_states_leave_task_runs_alone(
    context: ActionContext, database: Database, run: UUID, state: str
) -> None:
    await set_flow(context, run, state)
    for task_run in await task_runs_of(database, run):
        assert (await fetch_one(database, "task_run", task_run))["state"] == "Pending"


@pytest.mark.parametrize("state", sorted(states.CONCRETE))
async def test_heartbeat_of_flow_runs(context: ActionContext, database: Database, run: UUID, state: str) -> None:
    """§10: no other state is a heartbeat."""
    await set_flow(at(context, NOW), run, state)
    expected = NOW if state in {"Running", "Cancelling", "Submitted"} else None
    assert (await fetch_one(database, "flow_run", run))["heartbeat"] == expected


async def test_submitted_run_is_its_agents(context: ActionContext, database: Database, flow: Flow, run: UUID) -> None:
    agent = await insert(database, "agent", tenant_id=flow.tenant_id)
    await set_flow(context, run, "Running", agent_id=agent)
    assert (await fetch_one(database, "flow_run", run))["agent_id"] is None
    await set_flow(at(context, NOW), run, "Submitted", agent_id=uuid4())
    assert (await fetch_one(database, "flow_run", run))["agent_id"] is None
    await set_flow(context, run, "Scheduled", "Submitted", agent_id=agent)
    assert (await fetch_one(database, "flow_run", run))["agent_id"] == agent
    await set_flow(at(context, NOW + timedelta(days=9999)), run, "Scheduled", "Submitted")
    assert (await fetch_one(database, "flow_run", run))["agent_id"] == agent


async def test_any_transition_is_allowed(context: ActionContext, database: Database, run: UUID) -> None:
    await set_flow(context, run, "Success", "Retrying", "Running", "TriggerFailed")
    made = await fetch_one(database, "flow_run", run)
    assert (made["version"], made["state"]) == (4, "TriggerFailed")


async def test_trigger_failed_neither_begins_nor_ends_a_run(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    """§4.2, §10: nor do the other ends that are no work done; Failed ends one."""
    for state, ends in (("TriggerFailed", False), ("ValidationFailed", False), ("Skipped", False), ("Failed", True)):
        run = await make_flow_run(database, flow)
        await set_flow(context, run, state)
        made = await fetch_one(database, "flow_run", run)
        assert made["start_time"] is None
        assert (made["end_time"] is not None) is ends, state


async def test_unstorable_characters_do_not_lose_a_state(context: ActionContext, database: Database, run: UUID) -> None:
    document = {"type": "Failed", "message": "a\x00b\ud800", "context": {"x": "\x00"}}
    await set_flow_run_states(context, states=[FlowRunStateInput(flow_run_id=run, state=document)])
    made = await fetch_one(database, "flow_run", run)
    assert made["state_message"] == "a\ufffdb\ufffd"
    assert made["serialized_state"]["context"] == {"x": "\ufffd"}


# --- cancel_flow_run ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "version"),
    [
        (["Running"], "Cancelling", 2),
        (["Cancelling"], "Cancelling", 2),
        (["Scheduled"], "Cancelled", 2),
        (["Scheduled", "Submitted"], "Cancelled", 3),
        (["Pending"], "Cancelled", 2),
        (["Success"], "Success", 1),
        (["Cancelled"], "Cancelled", 1),
        (["TriggerFailed"], "TriggerFailed", 1),
        ([], "Cancelled", 1),
    ],
)
async def test_cancel_flow_run(
    context: ActionContext, database: Database, run: UUID, before: list[str], after: str, version: int
) -> None:
    """§10: Running, Success and Submitted runs that are cancelled."""
    await set_flow(context, run, *before)
    assert await cancel_flow_run(context, flow_run_id=run) == after
    made = await fetch_one(database, "flow_run", run)
    assert (made["state"], made["version"]) == (after, version)
    for task_run in await task_runs_of(database, run):
        expected = "Cancelled" if after == "Cancelled" else "Pending"
        assert (await fetch_one(database, "task_run", task_run))["state"] == expected


async def test_cancel_an_unknown_flow_run(context: ActionContext) -> None:
    with pytest.raises(NotFound):
        await cancel_flow_run(context, flow_run_id=uuid4())
