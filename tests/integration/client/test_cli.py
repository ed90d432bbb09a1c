"""The commands of the client's CLI with their options (client-operations.md §6).

Those that only print something or need another program's API are in it too, so that no command is without a test.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import UUID

from tests.support.prefect_client import BEATING_THREAD, FLOWS, PrefectClient
from tests.support.runs import history
from tests.support.whole_server import Server

NOBODY = "00000000-0000-4000-8000-000000000000"

Expected = tuple[str, int, Sequence[str]]
"""A command line, its exit code, and texts it prints; a text that starts with `!` must not be there."""

NO_AUTH = "Prefect Server does not have authentication"
NO_KV = "KV Store operations are only supported while using Prefect Cloud"

LOOKS: Sequence[Expected] = (
    ("get flows --project {project}", 0, ["big", "compressed", "plain", "versions    2", "!versions    1"]),
    ("get flows --name versions --project {project} --all-versions", 0, ["versions  2", "versions  1", "!plain"]),
    ("get flows --name versions --project {project} --version 1", 0, ["versions  1", "!versions  2"]),
    ("get flows --project {project} --limit 2", 0, ["big", "compressed", "!idempotent"]),
    ("get projects --name {project}", 0, ["{project}  5"]),
    ("get flow-runs --project {project} --flow compressed --limit 1", 0, ["second-run", "Scheduled", "!first-run"]),
    ("get flow-runs --project {project} --started", 0, ["START TIME", "!first-run"]),
    ("get tasks --name first --project {project} --flow-name versions --flow-version 2", 0, ["FunctionTask"]),
    ("get tasks --project {project} --flow-name plain --name x", 0, ["Parameter", "!FunctionTask"]),
    ("get logs --name first-run --id {run} --info", 0, []),
    ("get logs --name nobody", 0, ["nobody not found"]),
    ("describe flows --name versions --project {project} --version 1 -o yaml", 0, ["archived: true", "version: 1"]),
    ("describe flows --name nobody", 0, ["nobody not found"]),
    ("describe tasks --name versions --project {project} --version 2", 0, ['"slug": "first-a-b-1"']),
    ("describe flow-runs --name first-run --flow-name compressed -o yaml", 0, ["type: Scheduled", "x: 1"]),
)

WRITES: Sequence[Expected] = (
    ("heartbeat flow-run --id {run} --num 1", 0, []),
    (
        "run --id {flow} --run-name by-cli --label b --label a --context k=1 --param x=7 --idempotency-key once"
        " --log-level DEBUG --quiet",
        0,
        [],
    ),
    ("run --id {flow} --idempotency-key once --quiet", 0, []),
    (
        "run --name versions --project {project} --no-logs",
        0,
        ["Creating run for flow 'versions'", "Parameters: {{'x': 1}}"],
    ),
    ("run --name nobody", 1, ["No results found"]),
    ("run --id {nobody} --quiet", 1, ["Failed to find flow id or flow group id"]),
    ("create project {project} --description again", 0, ["created"]),
    ("delete project nobody", 0, ["Project nobody not found"]),
    ("server create-tenant --name Made --slug made-{project}", 0, ["Tenant created with ID"]),
    ("server create-tenant --name Made --slug made-{project}", 1, ["'Uniqueness violation.'"]),
    ("server create-tenant --name Made --slug Made", 1, ["Invalid tenant slug"]),
    (
        "agent local start --max-polls 1 --no-hostname-label --name {project} --label {project}",
        0,
        ["Registration successful"],
    ),
    ("agent local start --max-polls 1 --agent-config-id {nobody}", 1, ["ClientError"]),
    ("execute flow-run", 1, ["Not currently executing a flow"]),
)

WITHOUT_THE_SERVER: Sequence[Expected] = (
    ("auth login --key abc", 2, [NO_AUTH]),
    ("auth logout", 2, [NO_AUTH]),
    ("auth purge-tokens", 2, [NO_AUTH]),
    ("auth list-tenants", 2, [NO_AUTH]),
    ("auth switch-tenants --id x", 2, [NO_AUTH]),
    ("auth create-key --name x", 2, [NO_AUTH]),
    ("auth list-keys", 2, [NO_AUTH]),
    ("auth revoke-key --id x", 2, [NO_AUTH]),
    ("auth status", 2, [NO_AUTH]),
    ("kv set a 1", 1, [NO_KV]),
    ("kv get a", 1, [NO_KV]),
    ("kv delete a", 1, [NO_KV]),
    ("kv list", 1, [NO_KV]),
    ("agent local install", 0, ["supervisord"]),
    ("agent kubernetes install", 0, ["kind: Deployment"]),
    # Their libraries are no dependencies of the client.
    ("agent kubernetes start", 1, ["No module named 'kubernetes'"]),
    ("agent ecs start", 1, ["No module named"]),
    ("agent vertex start", 1, ["No module named"]),
    ("backend server", 0, ["server"]),
    ("version", 0, ["1.4.1"]),
    ("config", 0, ['"backend": "server"']),
    ("diagnostics", 0, ['"prefect_backend": "server"']),
)


async def commands(client: PrefectClient, expected: Sequence[Expected], **values: str) -> list[str]:
    """Run commands one after the other in one process; check how each ended and what it said, and return that."""
    given = [[word.format(**values) for word in line.split()] for line, *_ in expected]
    answers = await client.answers("commands.py", json.dumps(given), env=BEATING_THREAD)
    for command, (exit_code, output), (_, ends_with, says) in zip(given, answers, expected, strict=True):
        assert exit_code == ends_with, (command, output)
        for text in says:
            there = text.removeprefix("!").format(**values) in output
            assert there is not text.startswith("!"), (command, text, output)
    return [output for _, output in answers]


async def test_the_cli_tells_and_does(server: Server, client: PrefectClient, project: str) -> None:
    """`get`, `describe`, `run`, `heartbeat`, `agent`, `server`; an option that was not given restricts nothing."""
    flows = await client.answers("registration.py", project)
    runs = [
        (await server.mutate("create_flow_run", flow_id=flows["compressed"], flow_run_name=name))["id"]
        for name in ("first-run", "second-run")
    ]
    values = {"project": project, "flow": flows["compressed"], "run": runs[0], "nobody": NOBODY}
    said = await commands(client, [*LOOKS, *WRITES, *WITHOUT_THE_SERVER], **values)

    by_key = [output.strip() for output in said[len(LOOKS) + 1 : len(LOOKS) + 3]]
    assert by_key[0] == by_key[1]
    [run] = await server.rows("SELECT * FROM flow_run WHERE id = $1", UUID(by_key[0]))
    assert (run["name"], run["labels"], run["context"], run["parameters"]) == ("by-cli", ["a", "b"], {"k": 1}, {"x": 7})
    assert run["run_config"]["env"] == {"PREFECT__LOGGING__LEVEL": "DEBUG"}
    assert await server.value("SELECT heartbeat IS NOT NULL FROM flow_run WHERE id = $1", UUID(runs[0]))
    assert await history(server, runs[0]) == ["Scheduled"]
    [agent] = await server.rows("SELECT * FROM agent WHERE name = $1", project)
    assert (agent["type"], agent["labels"]) == ("LocalAgent", [project])
    tenant_id = await server.value("SELECT id::text FROM tenant WHERE slug = $1", f"made-{project}")
    await server.mutate("delete_tenant", tenant_id=tenant_id, confirm=True, select="success")


async def test_flows_are_built_and_registered_apart(server: Server, client: PrefectClient, project: str) -> None:
    """`prefect build` and `prefect register --json`: same document, same version, unless it is forced."""
    register = f"register --project {project} --json flows.json --label of-cli --no-schedule"
    await commands(
        client,
        [
            (f"build --path {FLOWS / 'etl.py'} --output flows.json", 0, ["1 built"]),
            (register, 0, ["1 registered"]),
            (register, 0, ["1 skipped"]),
            (f"{register} --force", 0, ["1 registered"]),
        ],
    )
    flows = await server.rows(
        "SELECT f.version, f.archived, f.is_schedule_active, f.run_config FROM flow f"
        " JOIN project p ON p.id = f.project_id WHERE p.name = $1 ORDER BY f.version",
        project,
    )
    assert [(flow["version"], flow["archived"], flow["is_schedule_active"]) for flow in flows] == [
        (1, True, False),
        (2, False, False),
    ]
    assert "of-cli" in flows[1]["run_config"]["labels"]


async def test_a_run_that_cannot_be_loaded_fails(server: Server, client: PrefectClient, project: str) -> None:
    """§5.1: `prefect execute flow-run` sets its run Failed and writes one log line, given as an object, not a list."""
    flow_id = (await client.script("labelled.py", project, "lost")).split()[-1]
    run = await server.mutate("create_flow_run", flow_id=flow_id)
    location = await server.value("SELECT storage #>> '{flows,lost}' FROM flow WHERE id = $1", UUID(flow_id))
    await asyncio.to_thread(Path(location).unlink)
    in_context = {"PREFECT__CONTEXT__FLOW_RUN_ID": run["id"], "PREFECT__CLOUD__SEND_FLOW_RUN_LOGS": "false"}
    await client.prefect("execute", "flow-run", env=in_context, exit_code=1)

    assert await history(server, run["id"]) == ["Scheduled", "Failed"]
    message = await server.value("SELECT state_message FROM flow_run WHERE id = $1", UUID(run["id"]))
    assert message.startswith("Failed to load and execute flow run: ")
    [log] = await server.rows("SELECT name, level, message FROM log WHERE flow_run_id = $1", UUID(run["id"]))
    assert tuple(log.values()) == ("execute flow-run", "ERROR", message)


async def test_server_start_waits_for_the_server(server: Server, client: PrefectClient) -> None:
    """`prefect server start` asks `hello` until it is answered and makes no tenant where there is one.

    A stand-in takes the place of docker-compose: what it would start is running already.
    """
    program = client.home / "bin" / "docker-compose"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "compose $*"\n')
    program.chmod(0o755)
    before = await server.rows("SELECT id FROM tenant ORDER BY id")
    env: Mapping[str, str] = {"PATH": f"{program.parent}:{client.env['PATH']}", "TMPDIR": str(client.home)}
    port = server.url.rpartition(":")[2]
    said = await client.prefect("server", "start", "--detach", "--skip-pull", "--server-port", port, env=env)
    assert "compose up --detach" in said
    assert "WELCOME TO" in said
    assert "compose config" in await client.prefect("server", "config", env=env)
    assert await server.rows("SELECT id FROM tenant ORDER BY id") == before
