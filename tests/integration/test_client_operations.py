"""The methods of the client's Client and its backend views, called by a script (client-operations.md §2, §3)."""

from uuid import UUID

from tests.support.prefect_client import FLOWS, PrefectClient
from tests.support.whole_server import Server


async def test_the_clients_methods(server: Server, client: PrefectClient, project: str) -> None:
    """Runs, states, names, agents, artifacts, logs and views; errors are the ones the client understands."""
    flow_id = (await client.answers("registration.py", project))["compressed"]
    told = await client.answers("operations.py", flow_id)

    [tenant] = await server.rows("SELECT id, slug FROM tenant ORDER BY created LIMIT 1")
    assert (told["tenant_id"], told["tenant_slug"]) == (str(tenant["id"]), tenant["slug"])

    assert told["same_key"] == told["run_id"]
    assert len({told["run_id"], told["other_key"], told["no_key"]}) == 3
    assert told["info"] == {
        "name": "named",
        "version": 1,
        "state": "Scheduled",
        "parameters": {"x": 7},
        "context": {"k": "v"},
        "project": project,
        "on_time": True,
        "task_runs": 3,
    }
    assert len(set(told["agent_ids"])) == 1
    assert "State update failed" in told["second_submission"]
    assert "State update failed" in told["task_before_flow"]
    assert told["task_run"] == {"same": True, "state": "Success", "version": 3}
    assert told["child"] == {"other": True, "state": "Pending"}
    assert told["view"] == {
        "name": "renamed",
        "labels": ["a", "b"],
        "states": ["Scheduled", "Submitted", "Running", "Failed"],
        "message": "for a test",
        "logs": [[30, "from a script"], [20, "of a task"]],
        "task": "a task run",
        "tasks": 4,
        "flow": "compressed",
    }
    assert told["flow"] == {"project": project, "by_name": True}
    assert (told["cancelled"], told["cancelled_twice"]) == ("Cancelled", "Cancelled")

    errors = told["errors"]
    assert errors["state of nobody"].startswith("ObjectNotFoundError")
    assert errors["info of nobody"].startswith("ClientError")
    assert "State update failed" in errors["set nobody"]
    assert errors["cancel nobody"].startswith("ClientError")
    assert errors["run nobody"].startswith("ClientError")
    assert errors["no uuid"].startswith("ClientError")
    assert errors["project twice"] is True

    artifacts = await server.rows(
        "SELECT a.id, a.kind, a.data FROM task_run_artifact a JOIN task_run r ON r.id = a.task_run_id"
        " WHERE r.flow_run_id = $1 ORDER BY a.created",
        UUID(told["run_id"]),
    )
    assert [(str(row["id"]), row["kind"], row["data"]) for row in artifacts] == [
        (told["artifacts"][0], "link", {"link": "http://example.com"}),
        (told["artifacts"][1], "markdown", {"markdown": "# two"}),
    ]


async def test_names_of_flows_find_them(server: Server, client: PrefectClient, project: str) -> None:
    """`prefect run` of what is not there says so; options that were not given restrict nothing."""
    await client.prefect("register", "--project", project, "--path", str(FLOWS / "patient.py"))
    assert "No results found" in await client.prefect("run", "--name", "nobody", "--project", project, exit_code=1)
    run_id = (await client.prefect("run", "--name", "patient", "--project", project, "--quiet")).strip()
    assert await server.value("SELECT state FROM flow_run WHERE id = $1", UUID(run_id)) == "Scheduled"
    assert "patient" in await client.prefect("get", "flow-runs", "--flow", "patient")
    assert project in await client.prefect("get", "flows", "--name", "patient", "--all-versions")
