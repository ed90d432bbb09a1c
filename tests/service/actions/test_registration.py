"""Registering whole flows: create_flow and the compressed form (actions.md §2.4)."""

import asyncio
import base64
import gzip
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.actions import flows, registration
from server_core.actions.context import ActionContext
from server_core.db.session import Database
from server_core.errors import InvalidInput, NotFound
from tests.service.actions.registering import EDGES, HOURLY, TASKS, create, document, everything, flow_row, graph
from tests.support import factories
from tests.support.factories import Tenant
from tests.support.rows import execute, fetch_all, fetch_one


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    async with database.transaction() as session:
        return await factories.make_tenant(session)


# --- the rows of a flow ------------------------------------------------------------------------------------------


async def test_a_whole_document(context: ActionContext, database: Database, tenant: Tenant) -> None:
    flow = document(
        tasks=TASKS,
        edges=EDGES,
        parameters=[{"slug": "p", "name": "p", "required": False, "default": 1}],
        run_config={"type": "LocalRun"},
        environment={"type": "LocalEnvironment"},
        storage={"type": "Local"},
        description="of the document",
        unknown=[1],
    )
    flow_id = await create(context, tenant, flow, description="of the argument")
    row = await flow_row(database, flow_id)
    assert row["serialized_flow"] == flow
    assert (row["tenant_id"], row["project_id"]) == (tenant.id, tenant.project_id)
    assert (row["name"], row["version"], row["core_version"]) == ("f", 1, "1.4.1")
    assert (row["archived"], row["is_schedule_active"]) == (False, False)
    assert row["description"] == "of the argument"
    assert row["settings"] == {}
    assert row["parameters"] == [{"slug": "p", "name": "p", "required": False, "default": 1}]
    assert (row["run_config"], row["environment"]) == ({"type": "LocalRun"}, {"type": "LocalEnvironment"})
    assert (row["storage"], row["schedule"]) == ({"type": "Local"}, None)
    assert UUID(row["version_group_id"])
    group = await fetch_one(database, "flow_group", row["flow_group_id"])
    assert (group["tenant_id"], group["name"]) == (tenant.id, row["version_group_id"])
    assert group["settings"] == {
        "heartbeat_enabled": True,
        "lazarus_enabled": True,
        "version_locking_enabled": False,
        "idempotency_key": None,
    }
    assert await graph(database, flow_id) == (
        ["a-1", "b-1", "c-1"],
        [("a-1", "b-1", "x", False), ("b-1", "c-1", None, True)],
    )


async def test_task_columns(context: ActionContext, database: Database, tenant: Tenant) -> None:
    """§10: tags stay lists, none is an empty one."""
    flow_id = await create(context, tenant, document(tasks=TASKS))
    a, b, c = await fetch_all(database, "SELECT * FROM task WHERE flow_id = $1 ORDER BY slug", flow_id)
    assert (a["name"], a["tags"], a["cache_key"], a["max_retries"]) == ("a", ["x", "y"], "k", 2)
    assert (a["retry_delay"], a["tenant_id"]) == (timedelta(seconds=90), tenant.id)
    assert (b["trigger"], b["auto_generated"], b["tags"]) == ("prefect.triggers.all_done", True, [])
    assert (b["cache_key"], b["max_retries"], b["retry_delay"]) == (None, 0, None)
    flags = ("mapped", "is_root_task", "is_reference_task", "is_terminal_task")
    assert [c[flag] for flag in flags] == [False] * 4


@pytest.mark.parametrize(
    "flow", [{"name": "f"}, {"name": "f", "tasks": [], "edges": []}, {"name": "f", "tasks": TASKS}]
)
async def test_flows_with_little_inside(
    context: ActionContext, database: Database, tenant: Tenant, flow: dict[str, Any]
) -> None:
    flow_id = await create(context, tenant, flow)
    assert (await flow_row(database, flow_id))["serialized_flow"] == flow
    assert await graph(database, flow_id) == (sorted(task["slug"] for task in flow.get("tasks", [])), [])


async def test_the_same_document_again(context: ActionContext, database: Database, tenant: Tenant) -> None:
    with_ids = [{**task, "id": str(uuid4())} for task in TASKS]
    for tasks in (TASKS, with_ids, with_ids):
        flow_id = await create(context, tenant, document(tasks=tasks, edges=EDGES))
        assert [len(part) for part in await graph(database, flow_id)] == [3, 2]
        assert (await flow_row(database, flow_id))["serialized_flow"]["tasks"] == tasks
    kept = await fetch_all(database, "SELECT id::text FROM task WHERE id::text = ANY($1)", [t["id"] for t in with_ids])
    assert len(kept) == 3


async def test_repeated_slugs_ids_and_pairs_collapse_to_the_first(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    one = str(uuid4())
    tasks = [{"slug": "a", "name": "1", "id": one}, {"slug": "a", "name": "2"}, {"slug": "b", "id": one}]
    edges = [{"upstream_task": "a", "downstream_task": "b", "key": key} for key in ("x", "y")]
    flow_id = await create(context, tenant, document(tasks=tasks, edges=edges))
    assert await graph(database, flow_id) == (["a", "b"], [("a", "b", "x", False)])
    rows = await fetch_all(database, "SELECT name FROM task WHERE slug = 'a'")
    assert [row["name"] for row in rows] == ["1"]


async def test_compressed(context: ActionContext, database: Database, tenant: Tenant) -> None:
    flow = document(tasks=TASKS, edges=EDGES)
    packed = base64.b64encode(gzip.compress(json.dumps(flow).encode())).decode()
    flow_id = await registration.create_flow_from_compressed_string(
        context, project_id=tenant.project_id, serialized_flow=packed
    )
    assert (await flow_row(database, flow_id))["serialized_flow"] == flow
    assert [len(part) for part in await graph(database, flow_id)] == [3, 2]
    with pytest.raises(InvalidInput, match="Unable to decompress"):
        await registration.create_flow_from_compressed_string(
            context, project_id=tenant.project_id, serialized_flow="garbage"
        )


@pytest.mark.parametrize(
    "flow",
    [
        None,
        "{}",
        {"name": "f", "tasks": None},
        {"name": "f", "__version__": "0.5.0"},
        {"name": "f", "tasks": TASKS, "edges": [{"upstream_task": "a-1", "downstream_task": "nope"}]},
        {"name": "f", "tasks": [{"slug": "a", "retry_delay": "soon"}]},
        {"name": "f", "tasks": [{"slug": "a\x00"}]},
        {"name": "f\ud800"},
        {"name": "f", "odd": "\x00"},
        {"name": "f", "odd": float("nan")},
    ],
)
async def test_a_bad_document_leaves_nothing(
    context: ActionContext, database: Database, tenant: Tenant, flow: Any
) -> None:
    first = await create(context, tenant, idempotency_key="first", version_group_id="g")
    with pytest.raises(InvalidInput):
        await registration.create_flow(
            context,
            project_id=tenant.project_id,
            serialized_flow=flow,
            version_group_id="g",
            idempotency_key="second",
        )
    assert await everything(database) == [1, 1, 0, 0, 0]
    assert not (await flow_row(database, first))["archived"]
    assert await create(context, tenant, idempotency_key="first", version_group_id="g") == first


async def test_unknown_project(context: ActionContext, database: Database) -> None:
    with pytest.raises(NotFound, match="project"):
        await create(context, Tenant(id=uuid4(), project_id=uuid4()))
    assert await everything(database) == [0, 0, 0, 0, 0]


# --- versions ----------------------------------------------------------------------------------------------------


async def test_versions_of_one_name_in_one_project(context: ActionContext, database: Database, tenant: Tenant) -> None:
    ids = [await create(context, tenant) for _ in range(3)]
    rows = [await flow_row(database, flow_id) for flow_id in ids]
    assert [row["version"] for row in rows] == [1, 2, 3]
    assert len({row["version_group_id"] for row in rows}) == len({row["flow_group_id"] for row in rows}) == 1
    assert [row["archived"] for row in rows] == [True, True, False]
    await flows.archive_flow(context, flow_id=ids[2])
    assert (await flow_row(database, await create(context, tenant)))["version"] == 4


async def test_other_names_and_projects_are_other_flows(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    async with database.transaction() as session:
        elsewhere = await factories.insert_project(session, tenant_id=tenant.id)
    ids = [
        await create(context, tenant),
        await create(context, tenant, document(name="g")),
        await create(context, Tenant(id=tenant.id, project_id=elsewhere)),
    ]
    rows = [await flow_row(database, flow_id) for flow_id in ids]
    assert [row["version"] for row in rows] == [1, 1, 1]
    assert [row["archived"] for row in rows] == [False, False, False]
    assert len({row["version_group_id"] for row in rows}) == 3


async def test_a_given_version_group_spans_projects_and_names_but_not_tenants(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    async with database.transaction() as session:
        elsewhere = await factories.insert_project(session, tenant_id=tenant.id)
        stranger = await factories.make_tenant(session)
    strangers = await create(context, stranger, version_group_id="any string")
    first = await create(context, tenant, version_group_id="any string")
    second = await create(
        context, Tenant(id=tenant.id, project_id=elsewhere), document(name="g"), version_group_id="any string"
    )
    rows = [await flow_row(database, flow_id) for flow_id in (strangers, first, second)]
    assert [row["version"] for row in rows] == [1, 1, 2]
    assert [row["archived"] for row in rows] == [False, True, False]
    assert [row["version_group_id"] for row in rows] == ["any string"] * 3
    assert rows[1]["flow_group_id"] == rows[2]["flow_group_id"] != rows[0]["flow_group_id"]


async def test_versions_start_again_when_all_are_deleted(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    for _ in range(2):
        flow_id = await create(context, tenant, version_group_id="g")
    group = (await flow_row(database, flow_id))["flow_group_id"]
    await execute(database, "DELETE FROM flow")
    row = await flow_row(database, await create(context, tenant, version_group_id="g"))
    assert (row["version"], row["flow_group_id"]) == (1, group)


async def test_a_new_version_inherits_that_heartbeats_are_off(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    """§9.4: running clients look at the flow, so a flow that joins a silent group says so from the start."""
    first = await create(context, tenant)
    await flows.set_flow_heartbeat(context, flow_id=first, enabled=False)
    second = await create(context, tenant)
    assert (await flow_row(database, second))["settings"] == {"heartbeat_enabled": False}
    await flows.set_flow_heartbeat(context, flow_id=second, enabled=True)
    third = await create(context, tenant)
    assert (await flow_row(database, third))["settings"] == {}


@pytest.mark.parametrize(
    ("keys", "versions"),
    [
        (["foo", "foo"], [1, 1]),
        (["foo", "bar"], [1, 2]),
        ([None, None], [1, 2]),
        (["", ""], [1, 2]),
        (["foo", None, "foo"], [1, 2, 3]),
        (["foo", "bar", "foo"], [1, 2, 3]),
        (["foo", "bar", "bar", "bar"], [1, 2, 2, 2]),
    ],
)
async def test_idempotency_keys(
    context: ActionContext, database: Database, tenant: Tenant, keys: list[str | None], versions: list[int]
) -> None:
    ids = [await create(context, tenant, idempotency_key=key) for key in keys]
    assert [(await flow_row(database, flow_id))["version"] for flow_id in ids] == versions


async def test_a_key_of_an_archived_or_deleted_flow_does_not_count(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    first = await create(context, tenant, idempotency_key="k")
    await flows.archive_flow(context, flow_id=first)
    second = await create(context, tenant, idempotency_key="k")
    assert second != first
    await flows.delete_flow(context, flow_id=second)
    third = await create(context, tenant, idempotency_key="k")
    assert (await flow_row(database, third))["version"] == 2


async def test_a_repeated_registration_archives_the_versions_before_it(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    first = await create(context, tenant)
    second = await create(context, tenant, idempotency_key="k")
    await execute(database, "UPDATE flow SET archived = false")
    assert await create(context, tenant, idempotency_key="k") == second
    assert (await flow_row(database, first))["archived"]
    assert not (await flow_row(database, second))["archived"]


@pytest.mark.parametrize("version_group_id", [None, "g"])
async def test_concurrent_registrations(
    context: ActionContext, database: Database, tenant: Tenant, version_group_id: str | None
) -> None:
    ids = await asyncio.gather(*(create(context, tenant, version_group_id=version_group_id) for _ in range(8)))
    rows = [await flow_row(database, flow_id) for flow_id in ids]
    assert sorted(row["version"] for row in rows) == list(range(1, 9))
    assert [row["version"] for row in rows if not row["archived"]] == [8]
    assert await everything(database) == [1, 8, 0, 0, 0]


async def test_concurrent_registrations_with_one_key(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    ids = await asyncio.gather(*(create(context, tenant, idempotency_key="k") for _ in range(8)))
    assert len(set(ids)) == 1
    assert await everything(database) == [1, 1, 0, 0, 0]


# --- schedules ---------------------------------------------------------------------------------------------------


async def test_a_flow_with_a_schedule_is_planned_at_once(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    """§5.2: registering a flow with a schedule plans ten runs."""
    flow_id = await create(context, tenant, document(schedule=HOURLY, tasks=TASKS))
    row = await flow_row(database, flow_id)
    assert (row["is_schedule_active"], row["schedule"]) == (True, HOURLY)
    runs = await fetch_all(database, "SELECT * FROM flow_run WHERE flow_id = $1", flow_id)
    assert len(runs) == 10
    assert {(run["state"], run["auto_scheduled"]) for run in runs} == {("Scheduled", True)}
    assert len(await fetch_all(database, "SELECT 1 FROM task_run")) == 30


async def test_not_wanted_or_no_schedule(context: ActionContext, database: Database, tenant: Tenant) -> None:
    for flow, wanted in ((document(schedule=HOURLY), False), (document(name="g"), True)):
        row = await flow_row(database, await create(context, tenant, flow, set_schedule_active=wanted))
        assert row["is_schedule_active"] is False
    assert await fetch_all(database, "SELECT 1 FROM flow_run") == []


async def test_the_schedule_of_the_group_counts(context: ActionContext, database: Database, tenant: Tenant) -> None:
    await create(context, tenant)
    await execute(database, "UPDATE flow_group SET schedule = $1", {"type": "Schedule", **HOURLY})
    row = await flow_row(database, await create(context, tenant))
    assert (row["is_schedule_active"], row["schedule"]) == (True, None)
    assert len(await fetch_all(database, "SELECT 1 FROM flow_run WHERE flow_id = $1", row["id"])) == 10


@pytest.mark.parametrize("schedule", [HOURLY, {"clocks": [{"type": "CronClock", "cron": "not cron"}]}])
async def test_a_schedule_that_cannot_be_used_does_not_stop_the_registration(
    context: ActionContext, database: Database, tenant: Tenant, schedule: dict[str, Any]
) -> None:
    flow = document(schedule=schedule, parameters=[{"slug": "p", "name": "p", "required": True}])
    row = await flow_row(database, await create(context, tenant, flow))
    assert row["is_schedule_active"] is False
    assert await everything(database) == [1, 1, 0, 0, 0]


async def test_the_next_version_takes_over_the_planned_runs(
    context: ActionContext, database: Database, tenant: Tenant
) -> None:
    first = await create(context, tenant, document(schedule=HOURLY))
    second = await create(context, tenant, document(schedule=HOURLY))
    runs = await fetch_all(database, "SELECT flow_id FROM flow_run")
    assert {run["flow_id"] for run in runs} == {second}
    assert len(runs) == 10
    assert (await flow_row(database, first))["is_schedule_active"]
