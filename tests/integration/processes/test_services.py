"""The services as processes of their own, started by hand."""

import re

import httpx

from tests.support.processes import Machine, free_ports, graphql

CREATE = "mutation($input: create_project_input!) { create_project(input: $input) { id } }"


async def test_four_processes_are_one_server(machine: Machine) -> None:
    infrastructure = await machine.run("dev", "infrastructure", "--embedded", "--port", str(free_ports(1)[0]))
    dsn = (await infrastructure.line(r"Postgres is ready: (\S+)"))[1]
    machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": dsn}
    data = await machine.run("services", "data", "--port", "0")
    actions = await machine.run("services", "graphql", "--port", "0")
    towel = await machine.run("services", "towel", "--port", "0")
    gateway = await machine.run(
        *("services", "gateway", "--port", "0"),
        HASURA_API_URL=f"{await data.url()}/v1alpha1/graphql",
        PREFECT_API_URL=f"{await actions.url()}/graphql/",
    )
    url = await gateway.url()
    await towel.line("towel is ready")
    tenants = (await graphql(url, "{ tenant { id } }"))["tenant"]
    await graphql(url, CREATE, input={"tenant_id": tenants[0]["id"], "name": "split"})
    assert await graphql(url, "{ project { name } hello }") == {"project": [{"name": "split"}], "hello": "👋"}
    async with httpx.AsyncClient() as client:
        for service, path in ((data, "healthz"), (actions, "health"), (gateway, "health"), (towel, "health")):
            assert (await client.get(f"{await service.url()}/{path}")).json()["status"] == "ok"
    for service in (gateway, towel, actions, data):
        assert await service.stop(seconds=10) == 0
        assert "Traceback" not in service.output
    assert machine.postgres_runs
    assert await infrastructure.stop() == 0
    assert not machine.postgres_runs


async def test_a_service_waits_for_the_schema(machine: Machine, empty_database_url: str) -> None:
    machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": empty_database_url}
    service = await machine.run("services", "graphql", "--port", "0")
    await service.line("waiting for the schema: .* run `prefect-server database upgrade`")
    check = await machine.run("database", "check")
    assert await check.wait() == 1
    assert check.lines[-1] == "there is no schema"
    upgrade = await machine.run("database", "upgrade")
    assert await upgrade.wait() == 0
    await service.url()
    assert await service.stop() == 0
    check = await machine.run("database", "check")
    assert await check.wait() == 0, check.output
    assert re.search(r"ac5747fb571c \(legacy schema\) and \w{12} \(additions\)", check.lines[-1])


async def test_a_service_without_a_database_says_so(machine: Machine) -> None:
    process = await machine.run("services", "towel", "--port", "0")
    assert await process.wait() == 1
    assert process.lines[-1].startswith("prefect-server: There is no database: set PREFECT_SERVER__DATABASE__")


async def test_loops_that_are_not_there_are_refused(machine: Machine) -> None:
    """At once, not when the database is there at last."""
    machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": "postgresql://nobody@127.0.0.1:1/none"}
    process = await machine.run("services", "towel", "--port", "0", "--loops", "lazarus,ui")
    assert await process.wait() == 1
    assert process.lines[-1].startswith("prefect-server: Unknown loop ui; the loops are scheduler, lazarus, zombie_kil")
    process = await machine.run("services", "data", "--port", "0", "--loops", "lazarus")
    assert await process.wait() == 1
    assert process.lines[-1] == "prefect-server: --loops is for the towel; data has none."


async def test_a_tenant_is_created_once_per_slug(machine: Machine, database_url: str) -> None:
    machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": database_url}
    made = [await machine.run("tenant", "create", *words) for words in (["My Team"], ["Other", "--slug", "other"])]
    assert [await process.wait() for process in made] == [0, 0]
    again = await machine.run("tenant", "create", "My Team")
    assert await again.wait() == 0
    assert again.lines == made[0].lines
    assert made[0].lines != made[1].lines
    listed = await machine.run("tenant", "list")
    assert await listed.wait() == 0
    assert {f"{made[0].lines[0]}  my-team  My Team", f"{made[1].lines[0]}  other    Other"} <= set(listed.lines)
    bad = await machine.run("tenant", "create", "x", "--slug", "Not A Slug")
    assert await bad.wait() == 1
    assert "Invalid tenant slug" in bad.lines[-1]
