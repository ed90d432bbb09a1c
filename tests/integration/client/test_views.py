"""The client's views of flows, runs and tenants, and runs executed without an agent (client-operations.md §3)."""

from typing import Any
from uuid import UUID

from tests.support.prefect_client import BEATING_THREAD, PrefectClient
from tests.support.runs import history
from tests.support.whole_server import Server


async def test_the_clients_views(server: Server, client: PrefectClient, project: str) -> None:
    """V1 to V9: what is there is found by each of its names, what is not is reported as such."""
    tenant = await server.value("SELECT tenant_id FROM project WHERE name = $1", project)
    await server.mutate("register_agent", tenant_id=str(tenant), type="LocalAgent", name=project, labels=[project])
    told = await client.answers("views.py", project, str(client.home / "results"), env=BEATING_THREAD)

    check_flows(told["flows"], project)
    check_runs(told["runs"])
    healthy, unknown = told["agents"]
    assert f"({project}) has matching labels and last queried" in healthy
    assert "Start an agent with" in unknown
    [row] = await server.rows("SELECT slug, name FROM tenant WHERE id = $1", tenant)
    assert told["tenant"] == [True, row["slug"], row["name"]]
    assert told["no tenant"].startswith("ValueError: No results found")

    # It was to start in an hour; its newest Scheduled state says now.
    late = told["subprocess"]["run_id"]
    assert told["subprocess"]["state"] == "Success"
    assert await history(server, late) == ["Scheduled", "Scheduled", "Running", "Success"]
    [run] = await server.rows("SELECT * FROM flow_run WHERE id = $1", UUID(late))
    assert run["start_time"] < run["scheduled_start_time"]
    assert run["run_config"]["env"] == {"GIVEN": "by the run"}
    assert project in run["labels"]
    assert told["executed twice"].startswith("RuntimeError: Flow run is already in state <Success")


def check_flows(told: Any, project: str) -> None:
    """V1: by id, by group, by name; an archived version is still found by its id."""
    first, newer = told.pop("ids")
    assert told.pop("by either id") == [first, newer]
    assert {told.pop(way) for way in ("of group", "by name", "last updated")} == {newer}
    assert told.pop("archived") == [True, False]
    assert project in told.pop("labels")
    assert told.pop("no id").startswith("ValueError: Given id")
    for way in ("no name", "no project"):
        assert told.pop(way).startswith("ValueError: No results found"), way
    assert told == {
        "name": f"looked at in {project}",
        "project": project,
        "core_version": "1.4.1",
        "tasks": ["count", "double", "numbers"],
        "storage": "Local",
    }


def check_runs(told: Any) -> None:
    """V2 to V5: the run, its task runs in the order of their indices, their results."""
    for way in ("no run", "no task", "no task run"):
        assert told.pop(way).startswith("ValueError: No "), way
    [watched] = told.pop("watched")
    assert watched.startswith("Your flow run finished")
    children = [f"double-1 {index}" for index in range(3)]
    assert told == {
        "state": "Success",
        "states": ["Scheduled", "Running", "Success"],
        "ids": 6,
        "all": ["count -1", "double-1 -1", *children, "numbers-1 -1"],
        "children": [[0, 0], [1, 2], [2, 4]],
        "result": [0, 2, 4],
        "child": [2, 4, "Success"],
        "by id": 2,
    }
