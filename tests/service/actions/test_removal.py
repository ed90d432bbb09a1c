"""Deleting what has many rows: marked at once, deleted in small statements, resumed after any interruption.

actions.md §2.2-§2.5, §2.7, §4.5, §10 and demands.md row 20. Budgets are counted in statements here, never in time.
"""

import asyncio
from itertools import count
from uuid import UUID, uuid4

import pytest

from server_core.actions import flow_groups, flows, projects, registration, runs, tenants
from server_core.actions.context import ActionContext
from server_core.actions.erasure import Eraser, TimeBudget
from server_core.actions.queue import get_runs_in_queue
from server_core.actions.removal import SMALL_TASK_RUNS, remove_pending
from server_core.actions.schedules import schedule_flow_runs
from server_core.actions.states import FlowRunStateInput, set_flow_run_states
from server_core.config import RemovalSettings, Settings
from server_core.db.session import Database
from server_core.errors import InvalidInput, NotFound, StateUpdateFailed
from server_core.store import removal as store
from server_core.store.removal import ROOTS, Branch, Kind
from services.towel.loops.removal import Removal
from tests.support import factories
from tests.support.budgets import Statements
from tests.support.cluster import TABLES
from tests.support.factories import Flow, Tenant
from tests.support.recorder import recorded
from tests.support.rows import execute, fetch_all, fetch_one

KINDS: list[Kind] = ["flow", "flow_group", "project", "tenant"]
HOURLY = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None}]}


@pytest.fixture
def context(database: Database) -> ActionContext:
    """Calls that delete leave everything to the background."""
    return ActionContext(database=database, settings=Settings(removal=RemovalSettings(call_seconds=0)))


@pytest.fixture
def patient(database: Database) -> ActionContext:
    """Calls that delete take their time."""
    return ActionContext(database=database, settings=Settings(removal=RemovalSettings(call_seconds=60)))


async def full_flow(database: Database, tenant: Tenant | None = None) -> Flow:
    """A flow that is on, with two runs that have everything a run can have."""
    async with database.transaction() as session:
        flow = await factories.make_flow(
            session, tenant=tenant, tasks=3, edges=[(0, 1), (1, 2)], schedule=HOURLY, is_schedule_active=True
        )
        for state in ("Success", "Running"):
            run = await factories.make_flow_run(session, flow=flow, state=state)
            task_run = await factories.task_run_of(session, flow_run_id=run, task_id=flow.task_ids[0])
            await factories.insert_task_run(
                session, flow_run_id=run, task_id=flow.task_ids[1], tenant_id=flow.tenant_id
            )
            for task_run_id in (None, task_run, task_run):
                await factories.insert_log(session, flow_run_id=run, task_run_id=task_run_id, tenant_id=flow.tenant_id)
            await factories.insert_log(session, flow_run_id=None, task_run_id=task_run)
            await factories.insert_artifact(session, task_run_id=task_run, tenant_id=flow.tenant_id)
    return flow


async def crowded(database: Database) -> Flow:
    """A flow with everything, beside others of its tenant (in another project and group) and of another tenant."""
    flow = await full_flow(database)
    async with database.transaction() as session:
        project = await factories.insert_project(session, tenant_id=flow.tenant_id)
    await full_flow(database, Tenant(id=flow.tenant_id, project_id=project))
    other = await full_flow(database)
    async with database.transaction() as session:
        for tenant_id in (flow.tenant_id, other.tenant_id):
            config = await factories.insert(session, "agent_config", tenant_id=tenant_id)
            await factories.insert_agent(session, tenant_id=tenant_id, agent_config_id=config)
            await factories.insert(session, "message", tenant_id=tenant_id, type="CLOUD_HOOK")
            await factories.insert(session, "cloud_hook", tenant_id=tenant_id, type="WEBHOOK")
    return flow


async def rows(database: Database) -> set[tuple[str, str, str]]:
    """Every row of every table: table, id, the row as text."""
    found = set()
    for table in TABLES.split(", "):
        for row in await fetch_all(database, f"SELECT id::text, row_to_json(t)::text AS text FROM {table} AS t"):
            found.add((table, row["id"], row["text"]))
    return found


def below(everything: set[tuple[str, str, str]], id: UUID) -> set[tuple[str, str, str]]:
    """The row of an id, and all that refer to it, directly or through others: those have its id in their text."""
    taken: set[tuple[str, str, str]] = set()
    ids = {str(id)}
    while ids:
        found = {row for row in everything - taken if any(each in row[2] for each in ids)}
        taken |= found
        ids = {row[1] for row in found} - ids
    return taken


def target(kind: Kind, flow: Flow) -> UUID:
    return {
        "flow": flow.id,
        "flow_group": flow.flow_group_id,
        "project": flow.project_id,
        "tenant": flow.tenant_id,
    }[kind]


async def delete(context: ActionContext, kind: Kind, id: UUID) -> bool:
    match kind:
        case "flow":
            return await flows.delete_flow(context, flow_id=id)
        case "flow_group":
            return await flow_groups.delete_flow_group(context, flow_group_id=id)
        case "project":
            return await projects.delete_project(context, project_id=id)
        case "tenant":
            return await tenants.delete_tenant(context, tenant_id=id, confirm=True)
        case _:
            return await runs.delete_flow_run(context, flow_run_id=id)


async def pending(database: Database) -> int:
    return len(await fetch_all(database, "SELECT 1 FROM pending_removal"))


async def finish(context: ActionContext) -> None:
    while await pending(context.database):
        assert (await remove_pending(context, budget=Statements(), rest=0))["rows"] > 0


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_small_is_gone_when_the_call_answers(
    patient: ActionContext, database: Database, kind: Kind
) -> None:
    """§2.2-§2.5, §10: with everything below it, and nothing beside it."""
    flow = await crowded(database)
    everything = await rows(database)
    assert await delete(patient, kind, target(kind, flow)) is True
    assert await rows(database) == everything - below(everything, target(kind, flow))
    assert await delete(patient, kind, target(kind, flow)) is False


@pytest.mark.parametrize("kind", KINDS)
async def test_a_removal_that_is_interrupted_after_every_statement(
    context: ActionContext, database: Database, kind: Kind
) -> None:
    """Each pass dies after one statement; the next goes on where it stopped, and nothing else is ever touched."""
    flow = await crowded(database)
    everything = await rows(database)
    doomed = below(everything, target(kind, flow))
    assert await delete(context, kind, target(kind, flow)) is True
    marked = await rows(database)
    kept = {(table, id) for table, id, _ in everything - doomed}
    assert {(table, id) for table, id, _ in marked if table != "pending_removal"} == {row[:2] for row in everything}
    passes = 0
    while await pending(database):
        assert await delete(context, kind, target(kind, flow)) is True  # it exists until it is gone
        budget = Statements(1)
        await remove_pending(context, budget=budget, rest=0)
        assert len(budget.rows) == 1
        passes += 1
        left = await rows(database)
        assert {row[:2] for row in left} >= kept
    assert passes > 10
    assert await rows(database) == everything - doomed
    assert await delete(context, kind, target(kind, flow)) is False
    assert await remove_pending(context, budget=Statements(), rest=0) == {"rows": 0, "removals": 0}


async def test_a_large_flow_run(context: ActionContext, database: Database) -> None:
    """§2.7: it goes little by little, from below; a small one by one statement."""
    flow = await crowded(database)
    [large, small] = [
        row["id"] for row in await fetch_all(database, "SELECT id FROM flow_run WHERE flow_id = $1", flow.id)
    ]
    await execute(
        database,
        """
        INSERT INTO task_run (flow_run_id, task_id, tenant_id, map_index)
        SELECT $1, $2, $3, generate_series(1, $4)
        """,
        large,
        flow.task_ids[1],
        flow.tenant_id,
        SMALL_TASK_RUNS,
    )
    everything = await rows(database)
    assert await runs.delete_flow_run(context, flow_run_id=large) is True
    assert {row[:2] for row in everything} <= {row[:2] for row in await rows(database)}
    assert await runs.delete_flow_run(context, flow_run_id=large) is True
    with pytest.raises(StateUpdateFailed):
        await set_flow_run_states(context, states=[FlowRunStateInput(flow_run_id=large, state={"type": "Submitted"})])
    await finish(context)
    assert await runs.delete_flow_run(context, flow_run_id=large) is False
    assert await rows(database) == everything - below(everything, large)
    async with recorded(database) as recorder:
        assert await runs.delete_flow_run(context, flow_run_id=small) is True
    assert len(recorder.sent) == 1
    assert await rows(database) == everything - below(everything, large) - below(everything, small)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_being_deleted_is_out_of_the_way(context: ActionContext, database: Database, kind: Kind) -> None:
    """No run of it goes to an agent, is made or moved; nothing is planned."""
    flow = await full_flow(database)
    await execute(database, "UPDATE flow_run SET state = 'Scheduled', state_start_time = now() - interval '1 hour'")
    [run, _] = [row["id"] for row in await fetch_all(database, "SELECT id FROM flow_run")]
    assert len(await get_runs_in_queue(context, tenant_id=flow.tenant_id)) == 2
    assert await delete(context, kind, target(kind, flow)) is True
    assert await get_runs_in_queue(context, tenant_id=flow.tenant_id) == []
    with pytest.raises(InvalidInput, match="archived"):
        await runs.create_flow_run(context, flow_id=flow.id)
    with pytest.raises(NotFound, match="no unarchived flows"):
        await runs.create_flow_run(context, version_group_id=str(flow.flow_group_id))
    with pytest.raises(StateUpdateFailed):
        await set_flow_run_states(context, states=[FlowRunStateInput(flow_run_id=run, state={"type": "Submitted"})])
    assert await schedule_flow_runs(context, flow_ids=[flow.id]) == []
    for verb in (flows.set_schedule_active, flows.set_schedule_inactive, flows.archive_flow, flows.unarchive_flow):
        assert await verb(context, flow_id=flow.id) is False
    with pytest.raises(NotFound):
        await registration.register_tasks(context, flow_id=flow.id, serialized_tasks=[{"slug": "a"}])
    assert len(await fetch_all(database, "SELECT 1 FROM flow_run")) == 2
    row = await fetch_one(database, "flow", flow.id)
    assert (row["archived"], row["is_schedule_active"]) == (True, False)


async def test_a_project_of_the_same_name_at_once(context: ActionContext, database: Database) -> None:
    """§2.3: the old one's name is free while its rows go; nothing can be put into it, and it keeps its new name."""
    flow = await full_flow(database)
    name = (await fetch_one(database, "project", flow.project_id))["name"]
    assert await projects.delete_project(context, project_id=flow.project_id) is True
    again = await projects.create_project(context, tenant_id=flow.tenant_id, name=name)
    with pytest.raises(InvalidInput, match="being deleted"):
        await registration.create_flow(context, project_id=flow.project_id, serialized_flow={"name": "f"})
    with pytest.raises(NotFound):
        await projects.set_project_name(context, project_id=flow.project_id, name="back")
    with pytest.raises(NotFound):
        await projects.set_project_description(context, project_id=flow.project_id, description="back")
    new = await registration.create_flow(context, project_id=again, serialized_flow={"name": "f"})
    with pytest.raises(InvalidInput, match="being deleted"):
        await flows.update_flow_project(context, flow_id=new, project_id=flow.project_id)
    with pytest.raises(NotFound):
        await flows.update_flow_project(context, flow_id=flow.id, project_id=again)
    assert str(flow.project_id) in (await fetch_one(database, "project", flow.project_id))["name"]
    await finish(context)
    assert [row["name"] for row in await fetch_all(database, "SELECT name FROM project")] == [name]
    assert [row["id"] for row in await fetch_all(database, "SELECT id FROM flow")] == [new]


async def test_a_tenant_of_the_same_slug_at_once(context: ActionContext, database: Database) -> None:
    """§2.2: however long its name and slug are; a server that starts meanwhile makes a tenant of its own."""
    flow = await full_flow(database)
    slug = "x" * 255
    await execute(database, "UPDATE tenant SET slug = $2, name = $2 WHERE id = $1", flow.tenant_id, slug)
    assert await tenants.delete_tenant(context, tenant_id=flow.tenant_id, confirm=True) is True
    assert await tenants.create_tenant(context, name="again", slug=slug) != flow.tenant_id
    with pytest.raises(InvalidInput, match="being deleted"):
        await projects.create_project(context, tenant_id=flow.tenant_id, name="p")
    for verb in (
        tenants.update_tenant_name(context, tenant_id=flow.tenant_id, name="x"),
        tenants.update_tenant_slug(context, tenant_id=flow.tenant_id, slug="x"),
        tenants.update_tenant_settings(context, tenant_id=flow.tenant_id, settings={}),
    ):
        with pytest.raises(NotFound):
            await verb
    await finish(context)
    assert [row["slug"] for row in await fetch_all(database, "SELECT slug FROM tenant")] == [slug]


async def test_the_only_tenant_is_being_deleted(context: ActionContext, database: Database) -> None:
    tenant_id = await tenants.ensure_default_tenant(context)
    assert await tenants.delete_tenant(context, tenant_id=tenant_id, confirm=True) is True
    assert await tenants.ensure_default_tenant(context) != tenant_id


@pytest.mark.parametrize("kind", ["flow", "flow_group"])
async def test_registering_again_at_once(context: ActionContext, database: Database, kind: Kind) -> None:
    """§2.4: versions begin anew when all were deleted; a deleted group is not taken up again."""
    async with database.transaction() as session:
        tenant = await factories.make_tenant(session)

    async def register() -> UUID:
        return await registration.create_flow(context, project_id=tenant.project_id, serialized_flow={"name": "f"})

    old = await fetch_one(database, "flow", await register())
    assert await delete(context, kind, old["id"] if kind == "flow" else old["flow_group_id"]) is True
    new = await fetch_one(database, "flow", await register())
    assert new["version"] == 1
    assert new["flow_group_id"] != old["flow_group_id"]
    await finish(context)
    assert await fetch_one(database, "flow", new["id"]) == new


async def test_a_deleted_version_leaves_its_number(context: ActionContext, database: Database) -> None:
    async with database.transaction() as session:
        tenant = await factories.make_tenant(session)

    async def register() -> UUID:
        return await registration.create_flow(context, project_id=tenant.project_id, serialized_flow={"name": "f"})

    first, second = await register(), await register()
    assert await flows.delete_flow(context, flow_id=second) is True
    third = await fetch_one(database, "flow", await register())
    assert third["version"] == 2
    assert third["flow_group_id"] == (await fetch_one(database, "flow", first))["flow_group_id"]


@pytest.mark.parametrize("kind", KINDS)
async def test_statements_are_small(context: ActionContext, database: Database, kind: Kind) -> None:
    """Row 20: no statement takes more rows than it may, and none relies on a cascade."""
    flow = await crowded(database)
    for _ in range(3):
        await full_flow(database, Tenant(id=flow.tenant_id, project_id=flow.project_id))
    assert await delete(context, kind, target(kind, flow)) is True
    doomed = below(await rows(database), target(kind, flow))
    budget = Statements()
    # Each statement seems to last a second, so that they stay as small as they begin.
    eraser = Eraser(database, budget, first_rows=2, timer=map(float, count()).__next__)
    assert await eraser.erase(kind, [target(kind, flow)]) is True
    assert max(budget.rows) == 2
    marks = sum(row[0] == "pending_removal" for row in doomed)
    assert sum(budget.rows) == len(doomed) - marks
    assert eraser.deleted.total() == len(doomed) - marks
    assert await pending(database) == 0


async def test_what_has_branches_below_is_not_deleted(database: Database) -> None:
    """A task run that came in after the others were deleted saves its flow run for another round."""
    flow = await full_flow(database)
    runs_of = [row["id"] for row in await fetch_all(database, "SELECT id FROM flow_run")]
    tries: list[tuple[Kind, list[UUID]]] = [
        ("flow_run", runs_of),
        ("flow", [flow.id]),
        ("project", [flow.project_id]),
    ]
    for kind, ids in tries:
        async with database.transaction() as session:
            assert await store.delete_rows(session, ROOTS[kind], ids=ids) == 0
    await execute(database, "DELETE FROM task_run WHERE flow_run_id = $1", runs_of[0])
    async with database.transaction() as session:
        assert await store.delete_rows(session, ROOTS["flow_run"], ids=runs_of) == 1


async def test_every_reference_has_a_branch(database: Database) -> None:
    """Else a statement would cascade into a table that nobody emptied before."""
    found = await fetch_all(
        database,
        """
        SELECT confrelid::regclass::text AS above, conrelid::regclass::text AS table, attname AS key
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
        WHERE contype = 'f' AND confdeltype = 'c'
        """,
    )
    references = {(row["above"], row["table"], row["key"]) for row in found}

    def look(branch: Branch) -> None:
        if branch.below and branch.table != "tenant":  # to a tenant, what is deleted here refers by itself too
            declared = {(branch.table, each.table, each.key) for each in branch.below}
            assert declared == {each for each in references if each[0] == branch.table}
        for each in branch.below:
            look(each)

    for kind, root in ROOTS.items():
        assert (root.table, root.key) == (kind, "id")
        look(root)
    owned = {table for above, table, _ in references if above == "tenant"}
    assert owned == {
        *("agent", "agent_config", "cloud_hook", "edge", "flow", "flow_group", "flow_run", "flow_run_state", "log"),
        *("message", "project", "task", "task_run", "task_run_artifact", "task_run_state"),
    }


@pytest.mark.parametrize("table", ["flow_run", "task_run"])
async def test_rows_that_somebody_keeps_are_left_for_later(
    context: ActionContext, database: Database, table: str
) -> None:
    """What is being written is passed over with what holds it; the rest goes, and they go when they are free."""
    flow = await full_flow(database)
    assert await flows.delete_flow(context, flow_id=flow.id) is True
    run = (await fetch_all(database, "SELECT id FROM flow_run WHERE state = 'Running'"))[0]["id"]
    column = "id" if table == "flow_run" else "flow_run_id"
    async with database.transaction() as session:
        await session.fetch_value(f"SELECT id FROM {table} WHERE {column} = $1 LIMIT 1 FOR UPDATE", run)
        done = await remove_pending(context, budget=Statements(), rest=0)
        assert done["removals"] == 0
        assert done["rows"] > 10
        left = await session.fetch("SELECT id FROM flow_run")
        assert [row["id"] for row in left] == [run]
        assert len(await session.fetch("SELECT 1 FROM task_run")) == (1 if table == "task_run" else 0)
    await finish(context)
    assert await fetch_all(database, "SELECT 1 FROM flow_run") == []


async def test_several_passes_at_once(context: ActionContext, database: Database) -> None:
    """Towels, and calls that are repeated, work on the same removals without harm."""
    flow = await crowded(database)
    everything = await rows(database)
    calls = [delete(context, kind, target(kind, flow)) for kind in KINDS for _ in range(2)]
    assert await asyncio.gather(*calls) == [True] * 8
    while await pending(database):
        await asyncio.gather(*(remove_pending(context, budget=Statements(3), rest=0) for _ in range(4)))
    assert await rows(database) == everything - below(everything, flow.tenant_id)


async def test_what_somebody_else_deleted_is_forgotten(context: ActionContext, database: Database) -> None:
    """The legacy server on the same database knows nothing of marks."""
    flow = await full_flow(database)
    assert await projects.delete_project(context, project_id=flow.project_id) is True
    await execute(database, "DELETE FROM tenant")
    await remove_pending(context, budget=Statements(), rest=0)
    assert await pending(database) == 0


async def test_a_pass_with_nothing_to_do_asks_one_question(context: ActionContext, database: Database) -> None:
    async with recorded(database) as recorder:
        assert await Removal().run_once(context) == {"rows": 0, "removals": 0}
    assert len(recorder.sent) == 1


async def test_the_loop_goes_on_with_what_a_call_left(context: ActionContext, database: Database) -> None:
    flow = await full_flow(database)
    assert await flows.delete_flow(context, flow_id=flow.id) is True
    done = await Removal().run_once(context)
    assert done["removals"] == 1
    assert await flows.delete_flow(context, flow_id=flow.id) is False


def test_a_budget_of_seconds() -> None:
    now = 5.0
    budget, endless, none = (TimeBudget(seconds, timer=lambda: now) for seconds in (2.0, None, 0.0))
    assert [each.is_spent() for each in (budget, endless, none)] == [False, False, True]
    now = 7.0
    assert [each.is_spent() for each in (budget, endless, none)] == [True, False, True]


async def test_unknown_ids(context: ActionContext) -> None:
    for kind in (*KINDS, "flow_run"):
        assert await delete(context, kind, uuid4()) is False
