"""SIGHUP lets the data API show a changed database, however it was started; SIGTERM still ends it."""

import os
import signal
import sys
from pathlib import Path

import httpx

from tests.support.cluster import connected
from tests.support.processes import Machine, Process, eventually, free_ports


async def shown(url: str, query: str) -> bool:
    """Say whether a query is answered at all: by a process that runs, with a schema that has its fields."""
    async with httpx.AsyncClient(timeout=30) as client:
        try:
            return "data" in (await client.post(f"{url}/v1/graphql", json={"query": query})).json()
        except httpx.TransportError:
            return False


async def test_the_command_reloads_on_hangup(machine: Machine, database_url: str) -> None:
    machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": database_url}
    data = await machine.run("services", "data", "--port", "0")
    try:
        await reloads_on_hangup(data, await data.url(), database_url, "tenant")
    finally:
        async with connected(database_url) as connection:  # the worker's other tests use this database too
            await connection.execute("ALTER TABLE tenant DROP COLUMN IF EXISTS motto")


async def test_the_module_reloads_on_hangup(empty_database_url: str, tmp_path: Path) -> None:
    async with connected(empty_database_url) as connection:
        await connection.execute('CREATE TABLE "a" (id integer PRIMARY KEY)')
    (tmp_path / "metadata.yaml").write_text("tables: [{table: a}]")
    [port] = free_ports(1)
    given = ["--database-url", empty_database_url, "--metadata", str(tmp_path / "metadata.yaml"), "--port", str(port)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    command = [sys.executable, "-m", "services.data", *given]
    data = Process(command, {**environ, "PREFECT_SERVER__HOME": str(tmp_path)})
    await data.start()
    try:
        await reloads_on_hangup(data, f"http://127.0.0.1:{port}", empty_database_url, "a")
    finally:
        await data.kill()


async def reloads_on_hangup(data: Process, url: str, dsn: str, table: str) -> None:
    await eventually(lambda: shown(url, f"{{ {table} {{ id }} }}"))
    async with connected(dsn) as connection:
        await connection.execute(f'ALTER TABLE "{table}" ADD motto text')
    query = f"{{ {table} {{ motto }} }}"
    assert not await shown(url, query)
    data.child.send_signal(signal.SIGHUP)
    await eventually(lambda: shown(url, query))
    async with httpx.AsyncClient() as client:
        assert (await client.post(f"{url}/-/reload")).json() == {"message": "reloaded"}
    assert await data.stop(seconds=10) == 0
