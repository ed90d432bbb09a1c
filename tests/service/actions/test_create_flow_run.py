"""create_flow_run and the bulk creation that the scheduler shares (actions.md §2.6)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.actions.context import ActionContext
from server_core.actions.flows import archive_flow
from server_core.actions.runs import FlowRunSpec, create_flow_run, create_flow_runs_in
from server_core.db.session import Database
from server_core.errors import InvalidInput, NotFound
from server_core.states import make_state
from server_core.store import runs as store
from tests.support.factories import Flow
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, fetch_one, history, make_flow
from tests.support.waiting import wait_until

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
async def flow(database: Database) -> Flow:
    return await make_flow(database, tasks=3, cache_key="key")


async def test_a_run_is_scheduled_with_its_task_runs(context: ActionContext, database: Database, flow: Flow) -> None:
    """§3.7: the first state is version 1, the next 2."""
    context = replace(context, clock=lambda: NOW)
    run_id = await create_flow_run(context, flow_id=flow.id)
    run = await fetch_one(database, "flow_run", run_id)
    assert run["tenant_id"] == flow.tenant_id
    assert (run["version"], run["state"], run["auto_scheduled"]) == (1, "Scheduled", False)
    assert run["scheduled_start_time"] == run["state_start_time"] == run["state_timestamp"] == NOW
    assert (run["parameters"], run["context"], run["labels"], run["run_config"]) == ({}, {}, [], None)
    assert len(run["name"].split("-")) >= 2
    [state] = await history(database, "flow_run", run_id)
    assert (state["version"], state["state"], state["tenant_id"]) == (1, "Scheduled", flow.tenant_id)
    assert state["message"]
    assert state["serialized_state"]["start_time"] == NOW.isoformat()
    task_runs = await fetch_all(database, "SELECT * FROM task_run WHERE flow_run_id = $1", run_id)
    assert {each["task_id"] for each in task_runs} == set(flow.task_ids)
    assert {(each["state"], each["version"], each["cache_key"]) for each in task_runs} == {("Pending", 1, "key")}


async def test_what_is_given_is_stored(context: ActionContext, database: Database, flow: Flow) -> None:
    """§10: context and parameters are kept as given, with the defaults."""
    start = NOW - timedelta(days=1)
    run_id = await create_flow_run(
        context,
        flow_id=flow.id,
        parameters={"x": 1},
        labels=["b", "a", "b"],
        run_config={"type": "LocalRun"},
        run_context={"k": "v"},
        scheduled_start_time=start,
        flow_run_name="mine",
        idempotency_key="i",
    )
    run = await fetch_one(database, "flow_run", run_id)
    assert run["parameters"] == {"x": 1}
    assert run["labels"] == ["a", "b", "b"]
    assert run["run_config"] == {"type": "LocalRun"}
    assert run["context"] == {"k": "v"}
    assert run["scheduled_start_time"] == run["state_start_time"] == start
    assert (run["name"], run["idempotency_key"], run["auto_scheduled"]) == ("mine", "i", False)


async def test_flow_and_group_fill_in(context: ActionContext, database: Database) -> None:
    """§10: context and parameters are kept as given, with the defaults."""
    flow = await make_flow(
        database,
        parameters=[{"name": "a", "slug": "a", "required": True, "default": None}, {"name": "b", "default": 2}],
        run_config={"type": "FlowRun"},
        group={"labels": ["y", "x"], "run_config": {"type": "GroupRun"}, "default_parameters": {"a": 1}},
    )
    run = await fetch_one(database, "flow_run", await create_flow_run(context, flow_id=flow.id, flow_run_name=""))
    assert run["parameters"] == {"a": 1, "b": 2}
    assert run["labels"] == ["x", "y"]
    assert run["run_config"] == {"type": "GroupRun"}
    assert run["name"]


async def test_a_group_whose_run_config_is_no_object_is_told_so(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    """§2.5 stores it unvalidated: that must not become an internal error of the runs made with it (§0.3)."""
    await execute(database, "UPDATE flow_group SET run_config = '5' WHERE id = $1", flow.flow_group_id)
    for labels in (None, ["a"]):
        with pytest.raises(InvalidInput, match="flow group's run config must be a JSON object"):
            await create_flow_run(context, flow_id=flow.id, labels=labels)
    run_id = await create_flow_run(context, flow_id=flow.id, run_config={"labels": ["a"]})
    assert (await fetch_one(database, "flow_run", run_id))["labels"] == ["a"]


async def test_a_version_group_names_its_newest_unarchived_flow(context: ActionContext, database: Database) -> None:
    group = str(uuid4())
    old = await make_flow(database, version_group_id=group, version=1)
    newer = await make_flow(database, version_group_id=group, version=3)
    await make_flow(database, version_group_id=group, version=4, archived=True)
    run = await fetch_one(database, "flow_run", await create_flow_run(context, version_group_id=group))
    assert run["flow_id"] == newer.id
    both = await create_flow_run(context, flow_id=old.id, version_group_id=group)
    assert (await fetch_one(database, "flow_run", both))["flow_id"] == old.id
    await execute(database, "UPDATE flow SET archived = true")
    with pytest.raises(NotFound, match="no unarchived flows"):
        await create_flow_run(context, version_group_id=group)


async def test_archived_flows_do_not_run(context: ActionContext, database: Database) -> None:
    flow = await make_flow(database, archived=True)
    with pytest.raises(InvalidInput, match="archived"):
        await create_flow_run(context, flow_id=flow.id)


async def test_one_of_flow_and_group_is_needed(context: ActionContext) -> None:
    with pytest.raises(InvalidInput):
        await create_flow_run(context)
    with pytest.raises(NotFound):
        await create_flow_run(context, flow_id=uuid4())


@pytest.mark.parametrize(
    "bad",
    [
        {"parameters": [1]},
        {"parameters": "x"},
        {"run_config": "x"},
        {"run_config": {"labels": "x"}},
        {"run_context": [1]},
        {"parameters": {"x": float("nan")}},
        {"parameters": {"x": "\x00"}},
        {"parameters": {"x": "\ud800"}},
        {"flow_run_name": "a\x00"},
        {"flow_run_name": "\ud800"},
        {"idempotency_key": "a\x00"},
    ],
)
async def test_values_that_cannot_be_stored_create_nothing(
    context: ActionContext, database: Database, flow: Flow, bad: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        await create_flow_run(context, flow_id=flow.id, **bad)
    assert await fetch_all(database, "SELECT FROM flow_run") == []


async def test_a_repeated_key_gives_the_first_run(context: ActionContext, database: Database, flow: Flow) -> None:
    first = await create_flow_run(context, flow_id=flow.id, idempotency_key="k", parameters={"x": 1})
    before = await fetch_one(database, "flow_run", first)
    again = await create_flow_run(
        context, flow_id=flow.id, idempotency_key="k", parameters={"x": 2}, flow_run_name="other", labels=["z"]
    )
    assert again == first
    after = await fetch_one(database, "flow_run", first)
    assert {**after, "updated": None} == {**before, "updated": None}
    assert len(await history(database, "flow_run", first)) == 1
    other = await make_flow(database)
    assert await create_flow_run(context, flow_id=other.id, idempotency_key="k") != first
    assert await create_flow_run(context, flow_id=flow.id) != await create_flow_run(context, flow_id=flow.id)


async def test_the_same_key_at_once_makes_one_run(context: ActionContext, database: Database, flow: Flow) -> None:
    made = await asyncio.gather(*(create_flow_run(context, flow_id=flow.id, idempotency_key="k") for _ in range(12)))
    assert len(set(made)) == 1
    assert len(await fetch_all(database, "SELECT FROM flow_run")) == 1
    assert len(await history(database, "flow_run", made[0])) == 1


async def test_a_run_may_be_left_without_a_state(context: ActionContext, database: Database, flow: Flow) -> None:
    run = await fetch_one(database, "flow_run", await create_flow_run(context, flow_id=flow.id, scheduled=False))
    assert (run["state"], run["version"]) == (None, 0)


async def test_many_runs_cost_two_statements(context: ActionContext, database: Database, flow: Flow) -> None:
    other = await make_flow(database)
    await create_flow_run(context, flow_id=flow.id, idempotency_key="auto-3")
    specs = [
        FlowRunSpec(
            flow_id=flow_id,
            idempotency_key=f"auto-{n}",
            scheduled_start_time=NOW + timedelta(hours=n),
            auto_scheduled=True,
        )
        for n in range(50)
        for flow_id in (flow.id, other.id)
    ]
    async with recorded(database) as recorder, database.transaction() as session:
        await create_flow_runs_in(session, context, specs[6:8])  # asyncpg looks up array types once per connection
    async with recorded(database) as recorder, database.transaction() as session:
        made = await create_flow_runs_in(session, context, [*specs, specs[0], specs[0]])
    assert len(recorder.statements) == 2
    assert [each.flow_id for each in made[:100]] == [spec.flow_id for spec in specs]
    assert made[100].id == made[101].id == made[0].id
    found = [each for each in made if not each.created]
    assert found == [*made[6:8], *made[100:]]
    assert all(each.change is None for each in found)
    rows = await fetch_all(database, "SELECT * FROM flow_run")
    assert len(rows) == 100
    assert all(row["auto_scheduled"] and row["state"] == "Scheduled" and row["version"] == 1 for row in rows)
    by_id = {row["id"]: row for row in rows}
    for spec, each in zip(specs, made, strict=False):
        assert by_id[each.id]["idempotency_key"] == spec.idempotency_key
        assert each.change is None or each.change.state == "Scheduled"


async def test_bulk_creation_can_leave_out_what_is_impossible(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    archived = await make_flow(database, archived=True)
    specs = [FlowRunSpec(flow_id=flow_id) for flow_id in (archived.id, flow.id, uuid4())]
    async with database.transaction() as session:
        made = await create_flow_runs_in(session, context, specs, skip_invalid=True)
    assert [each.flow_id for each in made] == [flow.id]
    async with database.transaction() as session:
        assert await create_flow_runs_in(session, context, []) == []


async def test_no_run_outlives_the_archiving_of_its_flow(context: ActionContext, database: Database) -> None:
    flows = [await make_flow(database) for _ in range(4)]
    calls = [
        call
        for flow in flows
        for call in (
            *(create_flow_run(context, flow_id=flow.id) for _ in range(2)),
            archive_flow(context, flow_id=flow.id),
            *(create_flow_run(context, flow_id=flow.id) for _ in range(2)),
        )
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in outcomes if isinstance(each, BaseException)]
    assert all(isinstance(each, InvalidInput) and "archived" in str(each) for each in refused)
    rows = await fetch_all(database, "SELECT state FROM flow_run")
    assert len(rows) == len(outcomes) - len(refused) - len(flows)
    assert {row["state"] for row in rows} <= {"Cancelled"}


async def lockers(database: Database) -> list[dict[str, Any]]:
    """Return who waits for a lock."""
    return await fetch_all(
        database, "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )


async def test_a_flow_that_is_archived_meanwhile_has_no_run(
    context: ActionContext, database: Database, flow: Flow
) -> None:
    """The flow is read a little before its run is made; who archives it sees the run, or there is none (§2.6)."""
    async with database.transaction() as session:
        await session.execute("UPDATE flow SET archived = true")
        making = asyncio.create_task(create_flow_run(context, flow_id=flow.id, idempotency_key="key"))
        await wait_until(lambda: lockers(database), seconds=10, what="the run waits for its flow")
    with pytest.raises(InvalidInput, match="archived"):
        await making
    assert await fetch_all(database, "SELECT FROM flow_run") == []


@pytest.mark.parametrize(
    "change",
    ["UPDATE flow SET parameters = '[]'", "UPDATE flow_group SET labels = '[\"late\"]'", "DELETE FROM flow"],
)
async def test_what_was_read_of_a_flow_must_still_hold(database: Database, flow: Flow, change: str) -> None:
    """Whatever moves `updated` of the flow or its group has the flow read anew, under its lock."""
    async with database.read() as session:
        row = await store.find_flow(session, flow_id=flow.id)
    assert row is not None
    await execute(database, change)
    run = store.NewFlowRun(
        id=uuid4(),
        flow_id=flow.id,
        tenant_id=flow.tenant_id,
        parameters="{}",
        labels="[]",
        run_config=None,
        run_context="{}",
        scheduled_start_time=NOW,
        idempotency_key="key",
        name="name",
        auto_scheduled=False,
        state_id=uuid4(),
        state=make_state("Scheduled", now=NOW),
    )
    async with database.autocommit() as session:
        assert await store.insert_flow_run_of(session, run=run, flow=row, now=NOW) is None
    assert await fetch_all(database, "SELECT FROM flow_run") == []


async def test_a_run_with_a_key_costs_one_round_trip(context: ActionContext, database: Database, flow: Flow) -> None:
    """As the client sends it: what its flow says is known from the run before; it is made if that still holds."""
    sent = []
    for key in ("first", "second", "second"):
        async with recorded(database) as recorder:
            await create_flow_run(context, flow_id=flow.id, idempotency_key=key)
        sent.append(len(recorder.sent))
    assert sent == [2, 1, 1]


@pytest.mark.parametrize("key", ["another", "first"])
async def test_what_is_known_of_a_flow_may_be_old(
    context: ActionContext, database: Database, flow: Flow, key: str
) -> None:
    """§2.6: a run is what flow and group say when it is made, whoever changed them, and however long ago."""
    first = await create_flow_run(context, flow_id=flow.id, idempotency_key="first")
    await execute(database, "UPDATE flow_group SET labels = '[\"late\"]'")
    made = await create_flow_run(context, flow_id=flow.id, idempotency_key=key)
    row = await fetch_one(database, "flow_run", made)
    assert (made == first) == (key == "first")
    assert row["labels"] == ([] if made == first else ["late"])
    async with recorded(database) as recorder:
        await create_flow_run(context, flow_id=flow.id, idempotency_key="and another")
    assert len(recorder.sent) == 1


REQUIRED = """UPDATE flow SET parameters = '[{"name": "x", "required": true}]'"""


async def test_errors_are_about_the_flow_as_it_is(context: ActionContext, database: Database, flow: Flow) -> None:
    """§2.6: neither is a run refused for what a flow said before, nor made of one that is archived or gone."""
    number = count()

    async def create(**given: Any) -> UUID:
        return await create_flow_run(context, flow_id=flow.id, idempotency_key=f"key {next(number)}", **given)

    await create()
    await execute(database, REQUIRED)
    with pytest.raises(InvalidInput, match="Required"):
        await create()
    await create(parameters={"x": 1})
    await execute(database, "UPDATE flow SET parameters = '[]'")
    await create()
    await execute(database, "UPDATE flow SET archived = true")
    for _ in range(2):
        with pytest.raises(InvalidInput, match="archived"):
            await create()
    await execute(database, "UPDATE flow SET archived = false")
    await create()
    await execute(database, "DELETE FROM flow")
    for _ in range(2):
        with pytest.raises(NotFound):
            await create()
