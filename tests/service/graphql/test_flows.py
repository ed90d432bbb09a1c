"""Flows and flow groups through GraphQL, as the 1.4.1 client and the UI send them (client-operations.md F1-F5)."""

import base64
import gzip
import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from server_core.db.session import Database
from tests.service.graphql.conftest import Answer, Send
from tests.support import factories
from tests.support.factories import Tenant
from tests.support.rows import fetch_all, fetch_one, make_flow

TASKS = [{"slug": "a-1", "name": "a"}, {"slug": "b-1", "name": "b"}]
EDGES = [{"upstream_task": {"slug": "a-1"}, "downstream_task": {"slug": "b-1"}, "key": "x", "mapped": False}]
HOURLY = {"clocks": [{"type": "IntervalClock", "interval": 3_600_000_000, "start_date": None}]}
FLOW = {"name": "f", "__version__": "1.4.1", "schedule": HOURLY}


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    async with database.transaction() as session:
        return await factories.make_tenant(session)


async def mutate(actions: Send, field: str, selection: str, **input: Any) -> Answer:
    document = f"mutation($input: {field}_input!) {{\n    {field}(input: $input) {{\n        {selection}\n    }}\n}}"
    return await actions(document, {"input": json.loads(json.dumps(input, default=str))})


def packed(flow: Any) -> str:
    return base64.b64encode(gzip.compress(json.dumps(flow).encode())).decode()


async def counts(database: Database) -> dict[str, int]:
    tables = ("flow_group", "flow", "task", "edge", "flow_run", "task_run")
    return {table: len(await fetch_all(database, f"SELECT 1 FROM {table}")) for table in tables}


@pytest.mark.parametrize("way", ["compressed", "plain", "inside"])
async def test_three_ways_to_register(actions: Send, database: Database, tenant: Tenant, way: str) -> None:
    """`flow.register()`, the same with compressed=False, and `prefect register` with everything inside."""
    options = {"project_id": tenant.project_id, "version_group_id": None}
    if way == "inside":
        whole = {**FLOW, "tasks": TASKS, "edges": EDGES}
        answer = await mutate(
            actions,
            "create_flow_from_compressed_string",
            "id",
            **options,
            serialized_flow=packed(whole),
            set_schedule_active=True,
            idempotency_key="key",
        )
        [flow_id] = [payload["id"] for payload in answer.data.values()]
    else:
        if way == "compressed":
            field, document = "create_flow_from_compressed_string", packed(FLOW)
        else:
            field, document = "create_flow", FLOW  # type: ignore[assignment]
        answer = await mutate(actions, field, "id", **options, serialized_flow=document, set_schedule_active=False)
        [flow_id] = [payload["id"] for payload in answer.data.values()]
        for field, lists in (("tasks", [TASKS, []]), ("edges", [EDGES, []])):
            for entries in lists:
                answer = await mutate(
                    actions, f"register_{field}", "success", flow_id=flow_id, **{f"serialized_{field}": entries}
                )
                assert answer.data == {f"register_{field}": {"success": True}}
        answer = await mutate(actions, "set_schedule_active", "success", flow_id=flow_id)
        assert answer.data == {"set_schedule_active": {"success": True}}
    row = await fetch_one(database, "flow", UUID(flow_id))
    assert row["is_schedule_active"] is True
    assert row["serialized_flow"]["tasks"] == TASKS
    assert await counts(database) == {
        "flow_group": 1,
        "flow": 1,
        "task": 2,
        "edge": 1,
        "flow_run": 10,
        "task_run": 20,
    }


@pytest.mark.parametrize(("given", "active"), [({}, True), ({"set_schedule_active": None}, False)])
async def test_set_schedule_active_omitted_and_null(
    actions: Send, database: Database, tenant: Tenant, given: dict[str, Any], active: bool
) -> None:
    answer = await mutate(actions, "create_flow", "id", project_id=tenant.project_id, serialized_flow=FLOW, **given)
    row = await fetch_one(database, "flow", UUID(answer.data["create_flow"]["id"]))
    assert row["is_schedule_active"] is active


async def test_a_given_version_group_is_stored_as_it_is(actions: Send, database: Database, tenant: Tenant) -> None:
    """§10: a given version group is stored as it is."""
    answer = await mutate(
        actions,
        "create_flow",
        "id",
        project_id=tenant.project_id,
        serialized_flow=FLOW,
        version_group_id=" Any String ",
        description="words",
    )
    row = await fetch_one(database, "flow", UUID(answer.data["create_flow"]["id"]))
    assert (row["version_group_id"], row["description"]) == (" Any String ", "words")


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("create_flow", {"serialized_flow": {}}, "INVALID_INPUT"),
    ("create_flow", {"serialized_flow": "text"}, "INVALID_INPUT"),
    ("create_flow", {"serialized_flow": {"name": "f", "tasks": [{"slug": "a", "retry_delay": "x"}]}}, "INVALID_INPUT"),
    ("create_flow", {"serialized_flow": {"name": "f\x00"}}, "INVALID_INPUT"),
    ("create_flow", {"serialized_flow": FLOW, "project_id": str(uuid4())}, "NOT_FOUND"),
    ("create_flow_from_compressed_string", {"serialized_flow": "garbage"}, "INVALID_INPUT"),
    ("create_flow_from_compressed_string", {"serialized_flow": packed([1])}, "INVALID_INPUT"),
    ("create_flow_from_compressed_string", {"serialized_flow": packed(FLOW)[:-9]}, "INVALID_INPUT"),
]


@pytest.mark.parametrize(("field", "input", "code"), BAD)
async def test_bad_registrations(
    actions: Send, database: Database, tenant: Tenant, field: str, input: dict[str, Any], code: str
) -> None:
    """§2.4: a failure leaves neither a flow nor a key."""
    answer = await mutate(actions, field, "id", **{"project_id": tenant.project_id, **input})
    assert answer.status == 200
    assert answer.body["data"] == {field: None}
    assert answer.error["extensions"] == {"code": code}
    assert answer.error["path"] == [field]
    assert "Traceback" not in answer.text
    assert set((await counts(database)).values()) == {0}


@pytest.mark.parametrize("depth", [800, 907, 914, 921, 928, 2000])
async def test_deep_flows(actions: Send, database: Database, tenant: Tenant, depth: int) -> None:
    """Whatever gives up first, the client is told that it was its own doing, and nothing is stored."""
    document = f'{{"name": "f", "deep": {"[" * depth}{"]" * depth}}}'
    packed_document = base64.b64encode(gzip.compress(document.encode())).decode()
    answer = await mutate(
        actions,
        "create_flow_from_compressed_string",
        "id",
        project_id=tenant.project_id,
        serialized_flow=packed_document,
    )
    if "errors" in answer.body:
        assert answer.error["extensions"] == {"code": "INVALID_INPUT"}
        assert set((await counts(database)).values()) == {0}
    else:
        assert (await counts(database))["flow"] == 1


async def test_edges_of_unknown_tasks(actions: Send, database: Database) -> None:
    """§2.4: an edge of an unknown task is an error that says so."""
    flow = await make_flow(database, tasks=1)
    answer = await mutate(actions, "register_edges", "success", flow_id=flow.id, serialized_edges=EDGES)
    assert "edges reference tasks" in answer.error["message"]


async def test_group_schedules(actions: Send, database: Database) -> None:
    """§2.5: a schedule is stored as a document, cron clocks first."""
    flow = await make_flow(database)

    async def stored(**input: Any) -> Any:
        answer = await mutate(actions, "set_flow_group_schedule", "success", flow_group_id=flow.flow_group_id, **input)
        assert answer.data == {"set_flow_group_schedule": {"success": True}}
        return (await fetch_one(database, "flow_group", flow.flow_group_id))["schedule"]["clocks"]

    cron = {"type": "CronClock", "cron": "0 0 * * *", "start_date": None}
    interval = {"type": "IntervalClock", "interval": 60_000_000, "start_date": None}
    assert await stored() == await stored(cron_clocks=None, interval_clocks=None, timezone=None) == []
    assert await stored(interval_clocks=[{"interval": 60}], cron_clocks=[{"cron": "0 0 * * *"}]) == [cron, interval]
    for given in (None, {}, {"a": 1}):
        [clock] = await stored(cron_clocks=[{"cron": "0 0 * * *", "parameter_defaults": given}])
        assert clock == {**cron, "parameter_defaults": given}
    assert await stored(interval_clocks={"interval": 60, "parameter_defaults": {}}) == [interval]


@pytest.mark.parametrize(
    ("clocks", "text"),
    [
        ({"cron_clocks": [{"cron": "not cron"}]}, "cron"),
        ({"interval_clocks": [{"interval": 59}]}, "interval"),
        ({"interval_clocks": [{"interval": 60}], "timezone": "Mars/Olympus"}, "imezone"),
        ({"interval_clocks": [{"interval": 60, "parameter_defaults": [1]}]}, ""),
    ],
)
async def test_bad_group_schedules(actions: Send, database: Database, clocks: Any, text: str) -> None:
    """§2.5: an unknown timezone is an error that names it."""
    flow = await make_flow(database)
    answer = await mutate(actions, "set_flow_group_schedule", "success", flow_group_id=flow.flow_group_id, **clocks)
    assert answer.error["extensions"] == {"code": "INVALID_INPUT"}
    assert text in answer.error["message"]
    assert (await fetch_one(database, "flow_group", flow.flow_group_id))["schedule"] is None


UNKNOWN: list[tuple[str, dict[str, Any]]] = [
    ("delete_tenant", {"tenant_id": None, "confirm": True}),
    ("delete_project", {"project_id": None}),
    ("delete_flow", {"flow_id": None}),
    ("archive_flow", {"flow_id": None}),
    ("set_schedule_active", {"flow_id": None}),
    ("set_schedule_inactive", {"flow_id": None}),
    ("delete_flow_group", {"flow_group_id": None}),
    ("delete_flow_group_schedule", {"flow_group_id": None}),
    ("set_flow_group_schedule", {"flow_group_id": None}),
    ("set_flow_group_default_parameters", {"flow_group_id": None, "parameters": {}}),
    ("set_flow_group_description", {"flow_group_id": None}),
    ("set_flow_group_labels", {"flow_group_id": None}),
    ("set_flow_group_run_config", {"flow_group_id": None}),
    ("set_flow_group_settings", {"flow_group_id": None, "settings": {"late_policy": None}}),
]


@pytest.mark.parametrize(("field", "input"), UNKNOWN)
async def test_unknown_ids_that_are_no_error(actions: Send, field: str, input: dict[str, Any]) -> None:
    """§2.2: deleting an unknown tenant is not a success."""
    given = {key: str(uuid4()) if value is None else value for key, value in input.items()}
    answer = await mutate(actions, field, "success error", **given)
    assert answer.data == {field: {"success": False, "error": None}}


ERRORS: list[tuple[str, dict[str, Any], str]] = [
    ("register_tasks", {"flow_id": None, "serialized_tasks": []}, "success"),
    ("register_edges", {"flow_id": None, "serialized_edges": []}, "success"),
    ("enable_flow_heartbeat", {"flow_id": None}, "success"),
    ("disable_flow_heartbeat", {"flow_id": None}, "success"),
    ("enable_flow_lazarus_process", {"flow_id": None}, "success"),
    ("disable_flow_lazarus_process", {"flow_id": None}, "success"),
    ("update_flow_project", {"flow_id": None, "project_id": None}, "id"),
    ("set_project_name", {"project_id": None, "name": "x"}, "id"),
    ("set_project_description", {"project_id": None, "description": "x"}, "id"),
    ("update_tenant_name", {"tenant_id": None, "name": "x"}, "id"),
    ("update_tenant_slug", {"tenant_id": None, "slug": "x"}, "id"),
    ("update_tenant_settings", {"tenant_id": None, "settings": {}}, "id"),
]


@pytest.mark.parametrize(("field", "input", "selection"), ERRORS)
async def test_unknown_ids_that_are_errors(actions: Send, field: str, input: dict[str, Any], selection: str) -> None:
    """§2.2: settings of an unknown tenant are an error."""
    given = {key: str(uuid4()) if value is None else value for key, value in input.items()}
    answer = await mutate(actions, field, selection, **given)
    assert (answer.status, answer.body["data"]) == (200, {field: None})
    assert answer.error["extensions"] == {"code": "NOT_FOUND"}


async def test_omitted_and_null(actions: Send, database: Database) -> None:
    """§2.5: no labels and null labels are two things."""
    flow = await make_flow(database)
    project, tenant = str(flow.project_id), str(flow.tenant_id)
    answer = await mutate(actions, "set_project_description", "id", project_id=project)
    assert "description" in answer.error["message"]
    assert (await mutate(actions, "set_project_description", "id", project_id=project, description=None)).data
    assert (await mutate(actions, "update_tenant_settings", "id", tenant_id=tenant)).data
    assert (await mutate(actions, "update_tenant_settings", "id", tenant_id=tenant, settings=None)).error
    await mutate(actions, "set_flow_group_labels", "success", flow_group_id=flow.flow_group_id, labels=[])
    assert (await fetch_one(database, "flow_group", flow.flow_group_id))["labels"] == []
    await mutate(actions, "set_flow_group_labels", "success", flow_group_id=flow.flow_group_id)
    assert (await fetch_one(database, "flow_group", flow.flow_group_id))["labels"] is None


async def test_settings_of_a_group(actions: Send, database: Database) -> None:
    """An operation of our own: §0.3.3 holds for what it refuses."""
    flow = await make_flow(database, group={"settings": {"other": 1}})
    good = {"heartbeat_enabled": False, "heartbeat_timeout_seconds": 90}
    answer = await mutate(
        actions, "set_flow_group_settings", "success error", flow_group_id=flow.flow_group_id, settings=good
    )
    assert answer.data == {"set_flow_group_settings": {"success": True, "error": None}}
    stored = (await fetch_one(database, "flow_group", flow.flow_group_id))["settings"]
    assert stored == {"other": 1, "disable_heartbeat": True, **good}
    answer = await mutate(
        actions, "set_flow_group_settings", "success", flow_group_id=flow.flow_group_id, settings={"late_policy": "x"}
    )
    assert (answer.status, answer.body["data"]) == (200, {"set_flow_group_settings": None})
    assert answer.error["extensions"] == {"code": "INVALID_INPUT"}
    assert (await fetch_one(database, "flow_group", flow.flow_group_id))["settings"] == stored


async def test_switches(actions: Send, database: Database) -> None:
    """§2.4: the heartbeat switch is two keys of the group's settings."""
    flow = await make_flow(database)
    for field in ("disable_flow_heartbeat", "disable_flow_lazarus_process"):
        assert (await mutate(actions, field, "success", flow_id=flow.id)).data == {field: {"success": True}}
    settings = (await fetch_one(database, "flow_group", flow.flow_group_id))["settings"]
    assert (settings["heartbeat_enabled"], settings["disable_heartbeat"], settings["lazarus_enabled"]) == (
        False,
        True,
        False,
    )
    for field in ("enable_flow_heartbeat", "enable_flow_lazarus_process"):
        assert (await mutate(actions, field, "success", flow_id=flow.id)).data == {field: {"success": True}}
    settings = (await fetch_one(database, "flow_group", flow.flow_group_id))["settings"]
    assert (settings["heartbeat_enabled"], settings["disable_heartbeat"], settings["lazarus_enabled"]) == (
        True,
        False,
        True,
    )
