"""Every way the client registers flows and projects (client-operations.md §2 F1-F6, §6)."""

from uuid import UUID

from tests.support.prefect_client import FLOWS, PrefectClient
from tests.support.whole_server import Server


async def test_flows_are_registered_in_every_way(server: Server, client: PrefectClient, project: str) -> None:
    """Compressed and plain, repeatedly, with idempotency keys, and in batches of 500 tasks."""
    ids = await client.answers("registration.py", project)
    flows = {
        str(row["id"]): row
        for row in await server.rows(
            """
            SELECT f.*, (SELECT count(*) FROM task WHERE flow_id = f.id) AS tasks,
                   (SELECT count(*) FROM edge WHERE flow_id = f.id) AS edges
            FROM flow f JOIN project p ON p.id = f.project_id WHERE p.name = $1
            """,
            project,
        )
    }
    for way in ("compressed", "plain"):
        flow = flows[ids[way]]
        assert (flow["name"], flow["version"], flow["archived"], flow["core_version"]) == (way, 1, False, "1.4.1")
        assert (flow["tasks"], flow["edges"]) == (3, 2)
        assert [parameter["name"] for parameter in flow["parameters"]] == ["x"]
        assert flow["storage"]["type"] == "Local"
        assert len(flow["serialized_flow"]["tasks"]) == 3
        assert flow["is_schedule_active"] is False

    one, two = (flows[id] for id in ids["versions"])
    assert (one["version"], one["archived"], two["version"], two["archived"]) == (1, True, 2, False)
    assert one["version_group_id"] == two["version_group_id"]
    assert one["flow_group_id"] == two["flow_group_id"]

    first, same, other = ids["idempotent"]
    assert first == same != other
    assert flows[other]["version"] == 2

    assert ids["big_tasks"] > 500
    assert (flows[ids["big"]]["tasks"], flows[ids["big"]]["edges"]) == (ids["big_tasks"], ids["big_edges"])
    tags = await server.value("SELECT tags FROM task WHERE flow_id = $1 AND name = 'first'", UUID(ids["plain"]))
    assert sorted(tags) == ["a", "b"]


async def test_the_cli_skips_what_has_not_changed(server: Server, client: PrefectClient, project: str) -> None:
    """`prefect register` twice: the second time nothing is new."""
    path = str(FLOWS / "patient.py")
    first = await client.prefect("register", "--project", project, "--path", path)
    again = await client.prefect("register", "--project", project, "--path", path)
    assert "1 registered" in first
    assert "1 skipped" in again
    count = "SELECT count(*) FROM flow f JOIN project p ON p.id = f.project_id WHERE p.name = $1"
    assert await server.value(count, project) == 1


async def test_projects_are_created_once_and_deleted(server: Server, client: PrefectClient, project: str) -> None:
    """A project that is there is found, not made again; deleting it takes its flows along (§1.4)."""
    await client.prefect("register", "--project", project, "--path", str(FLOWS / "patient.py"))
    assert "created" in await client.prefect("create", "project", project)
    assert "already exists" in await client.prefect("create", "project", project, "--skip-if-exists")
    assert await server.value("SELECT count(*) FROM project WHERE name = $1", project) == 1

    project_id = await server.value("SELECT id FROM project WHERE name = $1", project)
    assert "deleted" in await client.prefect("delete", "project", project)
    assert await server.value("SELECT count(*) FROM flow WHERE project_id = $1", project_id) == 0
    assert "not found" in await client.prefect("delete", "project", project)
    await client.prefect("register", "--project", project, "--path", str(FLOWS / "patient.py"), exit_code=1)
