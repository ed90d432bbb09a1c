"""A legacy database with data in it is adopted, and the real client and agent go on with it (schema.md §1, §2).

A flow that the real client registered, and a run of it that waits, are put into a database of an older revision as a
server of that time would hold them, among rows of all kinds. A server is started on it, which adopts it; the agent runs
what was Scheduled before, and the client registers and runs anew. `--every-revision` does so for all 19.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from server_core.db.migrate import current_revisions, downgrade
from server_core.db.revisions import Revisions
from tests.integration.conftest import NewClient
from tests.support import whole_server
from tests.support.cluster import connected
from tests.support.legacy_data import fill, foreign, snapshot
from tests.support.legacy_schema import REVISIONS, build, number
from tests.support.prefect_client import PrefectClient
from tests.support.runs import history, wait_for_state
from tests.support.whole_server import Server

BY_DEFAULT = (REVISIONS[1], "a666a3f4e422")
"""The oldest with tables, and the one that some are stuck at."""

LABELS = ["adopted"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat for some revisions, or for all if wanted."""
    metafunc.parametrize("revision", REVISIONS if metafunc.config.option.every_revision else BY_DEFAULT)


async def copied(server: Server, query: str, id: UUID) -> list[dict[str, Any]]:
    """Return rows of a server's database as JSON."""
    return [json.loads(row["row"]) for row in await server.rows(f"SELECT to_jsonb(r)::text AS row FROM {query}", id)]


async def flow_and_run(server: Server, client: PrefectClient, project: str) -> dict[str, list[dict[str, Any]]]:
    """Register a flow, make a run of it that waits, and return their rows by table, parents first."""
    flow_id = UUID((await client.script("labelled.py", project, "adopted")).split()[-1])
    run_id = UUID((await client.prefect("run", "--id", str(flow_id), "--quiet")).strip())
    flow = "(SELECT * FROM flow WHERE id = $1) AS flow"
    rows = {
        "tenant": await copied(server, f"tenant AS r WHERE id = (SELECT tenant_id FROM {flow})", flow_id),
        "project": await copied(server, f"project AS r WHERE id = (SELECT project_id FROM {flow})", flow_id),
        "flow_group": await copied(server, f"flow_group AS r WHERE id = (SELECT flow_group_id FROM {flow})", flow_id),
        "flow": await copied(server, "flow AS r WHERE id = $1", flow_id),
        "task": await copied(server, "task AS r WHERE flow_id = $1", flow_id),
        "edge": await copied(server, "edge AS r WHERE flow_id = $1", flow_id),
        "flow_run": await copied(server, "flow_run AS r WHERE id = $1", run_id),
        "flow_run_state": await copied(server, "flow_run_state AS r WHERE flow_run_id = $1", run_id),
    }
    assert [state["state"] for state in rows["flow_run_state"]] == ["Scheduled"]
    return rows


async def plant(dsn: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Insert rows, as far as there are columns for them; the flow and its run want an agent with our label."""
    async with connected(dsn) as connection:
        for table, found in rows.items():
            columns = await connection.fetch(
                "SELECT column_name::text AS name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND table_name = $1",
                table,
            )
            names = ", ".join(f'"{row["name"]}"' for row in columns if row["name"] in found[0]) if found else ""
            for row in found:
                if table == "flow_run":
                    row = {**row, "labels": LABELS, "version": 0, "state": None}
                if table == "flow":
                    row = {**row, "environment": {"type": "LocalEnvironment", "labels": LABELS}}
                await connection.execute(
                    f"INSERT INTO {table} ({names}) SELECT {names} FROM json_populate_record(NULL::{table}, $1)",
                    json.dumps(row),
                )


async def test_an_adopted_database_goes_on(
    server: Server,
    client: PrefectClient,
    project: str,
    new_client: NewClient,
    empty_database_url: str,
    tmp_path: Path,
    revision: str,
) -> None:
    rows = await flow_and_run(server, client, project)
    async with connected(empty_database_url) as connection:
        await build(connection, revision)
        if number(revision) > 1:
            await plant(empty_database_url, rows)
            await fill(connection, revision)
        before = await snapshot(connection)
        others = await foreign(connection) if before else []
    async with whole_server.running("one", empty_database_url, tmp_path / "server") as adopted:
        machine = new_client(adopted)
        machine.home = client.home
        async with machine.agent("--no-hostname-label", "--label", *LABELS) as agent:
            detail: Callable[[], str] = lambda: agent.program.output  # noqa: E731
            if before:
                [run] = rows["flow_run"]
                await wait_for_state(adopted, run["id"], "Success", "Failed", detail=detail)
                assert await history(adopted, run["id"]) == ["Scheduled", "Submitted", "Running", "Success"], detail()
            await machine.prefect("create", "project", "after", "--description", "made after the adoption")
            flow_id = (await machine.script("labelled.py", "after", "new", *LABELS)).split()[-1]
            new = (await machine.prefect("run", "--id", flow_id, "--quiet")).strip()
            await wait_for_state(adopted, new, "Success", "Failed", detail=detail)
            assert await history(adopted, new) == ["Scheduled", "Submitted", "Running", "Success"], detail()
    async with connected(empty_database_url) as connection:
        after = await snapshot(connection)
        for table in ("tenant", "project", "flow_group", "flow", "task", "message"):
            ids = [row["id"] for row in after[table]]
            assert len(set(ids)) == len(ids)
            assert {row["id"] for row in before.get(table, [])} <= set(ids), table
        ends = [(edge["flow_id"], edge["upstream_task_id"], edge["downstream_task_id"]) for edge in after["edge"]]
        assert len(set(ends)) == len(ends)
        assert set(ends) >= {
            (edge["flow_id"], edge["upstream_task_id"], edge["downstream_task_id"]) for edge in before.get("edge", [])
        }
        assert not before or await foreign(connection) == others
    await downgrade(empty_database_url)
    assert await current_revisions(empty_database_url) == Revisions(legacy=REVISIONS[-1], additions=None)
