"""Processes that are up before their database (demands.md row 7): alive, not ready, one line about it."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from server_core.db.embedded import EmbeddedPostgres
from tests.support.processes import Machine, eventually, free_ports, graphql

AWAY = r"waiting for the database"


async def test_services_that_wait_for_the_database_are_alive_and_then_ready(machine: Machine) -> None:
    """All services are started first, Postgres last; nothing is started again."""
    with TemporaryDirectory(prefix="prefect-server-external-") as folder:
        postgres = EmbeddedPostgres(Path(folder), {"fsync": "off"})
        dsn = await asyncio.to_thread(postgres.start)
        await asyncio.to_thread(postgres.stop)
        machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": dsn}
        ports = dict(zip(("start", "data", "graphql", "towel", "gateway"), map(str, free_ports(5)), strict=True))
        processes = {"start": await machine.run("start", "--port", ports["start"])}
        for name in ("data", "graphql", "towel"):
            processes[name] = await machine.run("services", name, "--port", ports[name])
        gateway = await machine.run(
            *("services", "gateway", "--port", ports["gateway"]),
            PREFECT_SERVER__GATEWAY__DATA_URL=f"http://127.0.0.1:{ports['data']}/v1alpha1/graphql",
            PREFECT_SERVER__GATEWAY__GRAPHQL_URL=f"http://127.0.0.1:{ports['graphql']}/graphql/",
        )
        try:
            async with httpx.AsyncClient(timeout=30) as client:
                for name, process in processes.items():
                    await process.line(AWAY)
                    url = f"http://127.0.0.1:{ports[name]}"
                    assert (await client.get(f"{url}/health")).json()["status"] == "ok"
                    ready = await client.get(f"{url}/ready")
                    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
                    refused = await client.post(url, json={"query": "{ hello }"})
                    assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
                url = await gateway.url()
                ready = await client.get(f"{url}/ready")
                assert (ready.status_code, ready.json()["services"]) == (503, {"data": False, "actions": False})

                await asyncio.to_thread(postgres.start)
                for process in processes.values():
                    await process.url()
                for place in (url, await processes["start"].url()):
                    await eventually(lambda place=place: is_ready(client, place))  # type: ignore[misc]
                    assert await graphql(place, "{ hello tenant { slug } }") == {
                        "hello": "👋",
                        "tenant": [{"slug": "default"}],
                    }
        finally:
            await asyncio.gather(*(process.stop() for process in (*processes.values(), gateway)))
            await asyncio.to_thread(postgres.stop)
        for process in (*processes.values(), gateway):
            assert "Traceback" not in process.output
            assert process.output.count(AWAY) <= 1


async def is_ready(client: httpx.AsyncClient, url: str) -> bool:
    """Tell whether `/ready` says so."""
    return (await client.get(f"{url}/ready")).status_code == 200
