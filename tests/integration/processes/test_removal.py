"""A server that dies in the middle of a large removal finishes it when it is back (demands.md row 20)."""

import os
import signal
from uuid import UUID, uuid4

from server_core.db.session import Database
from tests.support import factories
from tests.support.cluster import Cluster
from tests.support.processes import Machine, eventually, graphql
from tests.support.rows import fetch_all

DELETE = "mutation($input: delete_project_input!) { delete_project(input: $input) { success } }"
CREATE = "mutation($input: create_project_input!) { create_project(input: $input) { id } }"

RUNS = 400


async def many_runs(database: Database) -> tuple[UUID, UUID]:
    """A project of a flow with runs enough for many statements, and a run of a neighbour; returns project and run."""
    async with database.transaction() as session:
        flow = await factories.make_flow(session, tasks=3)
        await session.execute("UPDATE project SET name = 'p' WHERE id = $1", flow.project_id)
        await session.execute(
            """
            INSERT INTO flow_run (flow_id, tenant_id, name)
            SELECT $1, $2, 'run ' || number FROM generate_series(1, $3) AS number
            """,
            flow.id,
            flow.tenant_id,
            RUNS,
        )
        await session.execute(
            """
            INSERT INTO log (flow_run_id, task_run_id, tenant_id, message)
            SELECT flow_run_id, id, tenant_id, 'line' FROM task_run, generate_series(1, 5)
            """
        )
        neighbour = await factories.make_flow(session, tasks=3)
        kept = await factories.make_flow_run(session, flow=neighbour, state="Success")
    return flow.project_id, kept


async def test_a_removal_survives_kill_9(machine: Machine, cluster: Cluster) -> None:
    dsn = await cluster.create(f"{cluster.run}_{uuid4().hex[:12]}", template=cluster.template)
    environ = {
        "PREFECT_SERVER__REMOVAL__CALL_SECONDS": "0",
        "PREFECT_SERVER__TOWEL__REMOVAL_INTERVAL_SECONDS": "0.5",
    }
    async with Database(dsn) as database:
        project_id, kept = await many_runs(database)

        async def left(table: str) -> int:
            return len(await fetch_all(database, f"SELECT 1 FROM {table}"))

        whole = await left("log")
        first = await machine.run("start", "--port", "0", "--database-url", dsn, **environ)
        url = await first.url()
        # Somebody keeps a run, so that the removal cannot come to its end before the kill.
        async with database.transaction() as session:
            await session.fetch_value("SELECT id FROM flow_run WHERE id <> $1 LIMIT 1 FOR UPDATE", kept)
            assert (await graphql(url, DELETE, input={"project_id": str(project_id)}))["delete_project"]["success"]

            async def begun() -> bool:
                return await left("log") < whole

            await eventually(begun)
            os.killpg(first.child.pid, signal.SIGKILL)
            await first.kill()
            assert await left("pending_removal") == 2  # the project and its flow
            assert await left("flow_run") > 1
            second = await machine.run("start", "--port", "0", "--database-url", dsn, **environ)
            url = await second.url()
            [row] = await fetch_all(database, "SELECT tenant_id FROM project WHERE id = $1", project_id)
            # It is still going on: the name is free all the same.
            again = await graphql(url, CREATE, input={"tenant_id": str(row["tenant_id"]), "name": "p"})

        async def ended() -> bool:
            return await left("pending_removal") == 0

        await eventually(ended)
        assert [row["id"] for row in await fetch_all(database, "SELECT id FROM flow_run")] == [kept]
        assert (await left("flow"), await left("task_run"), await left("log")) == (1, 3, 0)
        named = await fetch_all(database, "SELECT id FROM project WHERE name = 'p' OR id = $1", project_id)
        assert [str(row["id"]) for row in named] == [again["create_project"]["id"]]
        assert not (await graphql(url, DELETE, input={"project_id": str(project_id)}))["delete_project"]["success"]
        assert await second.stop() == 0


async def test_retention_by_hand(machine: Machine, cluster: Cluster) -> None:
    """`prefect-server database retention` deletes once; with `--dry-run` it counts."""
    dsn = await cluster.create(f"{cluster.run}_{uuid4().hex[:12]}", template=cluster.template)
    machine.environ = {**machine.environ, "PREFECT_SERVER__DATABASE__CONNECTION_URL": dsn}
    async with Database(dsn) as database:
        async with database.transaction() as session:
            flow = await factories.make_flow(session)
            await session.execute("SET LOCAL session_replication_role = replica")
            run = await factories.make_flow_run(session, flow=flow)
            await session.execute("UPDATE flow_run SET state = 'Success'")
            for days in (40, 40, 1):
                log = await factories.insert_log(session, flow_run_id=run)
                await session.execute(
                    """
                    UPDATE log SET updated = now() - $2 * interval '1 day', "timestamp" = now() - $2 * interval '1 day'
                    WHERE id = $1
                    """,
                    log,
                    days,
                )
        setting = {"PREFECT_SERVER__RETENTION__LOGS_DAYS": "30"}
        for arguments, said, stay in (
            (["--dry-run"], "logs: 2 would go", 3),
            ([], "logs: 2 deleted", 1),
        ):
            process = await machine.run("database", "retention", *arguments, **setting)
            assert await process.wait() == 0, process.output
            assert said in process.output
            assert len(await fetch_all(database, "SELECT 1 FROM log")) == stay
