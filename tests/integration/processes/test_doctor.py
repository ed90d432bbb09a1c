"""`doctor` on a machine: nothing there, the whole server in one process, services each by itself, a late run."""

import json
import os
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

from server_core.clock import utc_now
from server_core.config_values import environment_name
from server_core.db.session import Database
from tests.support.factories import insert_agent, insert_flow_run_state, make_flow, make_flow_run
from tests.support.processes import Machine, free_ports

PORTS = ("gateway.port", "data.port", "graphql.port", "towel.port")


async def examine(machine: Machine, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Return exit code and findings."""
    doctor = await machine.run("doctor", "--json", *options)
    code = await doctor.wait()
    return code, json.loads("\n".join(line for line in doctor.lines if line not in doctor.logs))


def told(findings: list[dict[str, Any]], subject: str) -> list[str]:
    return [f"{finding['status']}: {finding['text']}" for finding in findings if finding["subject"] == subject]


async def test_nothing_is_there(machine: Machine) -> None:
    """Each line says what to do; a port that another program has is told from one that is free."""
    machine.environ = {environment_name(key): str(port) for key, port in zip(PORTS, free_ports(4), strict=True)}
    other = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    Thread(target=other.serve_forever, daemon=True).start()
    machine.environ[environment_name("gateway.port")] = str(other.server_port)
    (nobody,) = free_ports(1)
    machine.environ[environment_name("gateway.data_url")] = f"http://u:hush@127.0.0.1:{nobody}/v1alpha1/graphql"
    doctor = await machine.run("doctor")
    assert await doctor.wait() == 1
    other.shutdown()
    other.server_close()
    assert "Traceback" not in doctor.output
    assert "hush" not in doctor.output
    assert "ok    settings  they can be used" in doctor.lines
    wrong = [line for line in doctor.lines if line.startswith("FAIL")]
    assert [line.split()[1] for line in wrong] == ["database", "gateway", "data", "graphql", "towel", "gateway"]
    assert "There is no database" in wrong[0]
    assert "is not ours" in wrong[1]
    assert f"it is process {os.getpid()} (" in wrong[1]
    assert "the port is free" in wrong[2]
    assert doctor.output.count("→") == len(wrong)


async def test_the_whole_server_is_well_and_a_late_run_is_explained(machine: Machine, database_url: str) -> None:
    (port,) = free_ports(1)
    machine.environ = {
        environment_name("gateway.port"): str(port),
        environment_name("database.connection_url"): database_url,
    }
    server = await machine.run("start")
    await server.url()
    async with Database(database_url) as database, database.transaction() as session:
        flow = await make_flow(session)
        run = await make_flow_run(session, flow=flow, labels=["gpu"])
        await insert_flow_run_state(
            session,
            flow_run_id=run,
            tenant_id=flow.tenant_id,
            state="Scheduled",
            start_time=utc_now() - timedelta(hours=1),
            version=1,
        )
        await insert_agent(session, tenant_id=flow.tenant_id, name="tower", labels=["home"])
    code, findings = await examine(machine)
    assert code == 0, findings
    assert told(findings, "schema")[0].startswith("ok: at revisions ac5747fb571c")
    assert told(findings, "services") == ["ok: data, graphql and towel are in the gateway's process"]
    assert told(findings, "gateway")[-1] == "ok: it is ready: what it needs answers"
    assert [line.split()[1] for line in told(findings, "loops")][:3] == ["scheduler", "lazarus", "zombie_killer"]
    assert told(findings, "agents")[0].startswith("ok: tower (LocalAgent) [home] asked for runs ")
    (late,) = told(findings, "runs")
    assert "is late by 60 min: it has the labels gpu, and no agent takes such runs" in late

    why = await machine.run("doctor", "--run", str(run))
    assert await why.wait() == 1
    assert why.lines[1:] == [
        "  it has the labels gpu, and no agent takes such runs (tower (LocalAgent) has home)",
        "    → start one: prefect agent local start --label gpu, or change the labels of the run",
    ]
    unknown = await machine.run("doctor", "--run", str(uuid4()))
    assert await unknown.wait() == 1
    assert unknown.lines[-1].startswith("prefect-server: There is no flow run ")
    assert await server.stop() == 0


async def test_a_schema_of_another_release_and_a_service_by_itself(
    machine: Machine, empty_database_url: str, database_url: str
) -> None:
    ports = free_ports(4)
    machine.environ = {environment_name(key): str(port) for key, port in zip(PORTS, ports, strict=True)}
    towel = await machine.run("services", "towel", **{environment_name("database.connection_url"): database_url})
    await towel.url()
    code, findings = await examine(machine, "--database-url", empty_database_url)
    assert code == 1
    assert "error: there is no schema" in told(findings, "schema")
    assert told(findings, "runs") == ["warning: not looked at: the schema is another one"]
    assert any(line.startswith("ok: scheduler ") for line in told(findings, "loops"))
    assert told(findings, "data")[0].startswith("error: nothing listens at http://127.0.0.1:")
    assert await towel.stop() == 0
