"""Subscriptions through a gateway to a data API in a process of its own, which is killed and started again."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from typing import Any

from tests.support.cluster import connected
from tests.support.live_client import BOTH, Client, narrow, talking
from tests.support.processes import Machine, Process, free_ports

TENANTS = "subscription { tenant(order_by: {name: asc}) { name } }"
LARGE = "subscription { tenant { info } }"
SOCKETS = 200


async def names(client: Client, id: str, last: str) -> list[str]:
    """Return the names of the first result that has this one, whatever comes before it."""
    while True:
        message = await client.message()
        assert message["id"] == id, message
        assert message["type"] in ("next", "data"), message
        found = [each["name"] for each in message["payload"]["data"]["tenant"]]
        if last in found:
            return found


async def test_two_hundred_clients_survive_the_death_of_the_data_api(machine: Machine, database_url: str) -> None:
    """Their sockets stay, and each is told what changed meanwhile; who never reads harms none of them.

    200 clients of one query are one subscription at the data API. The gateway says once that it is interrupted and once
    that it goes on; when it stops, it takes leave of everybody (1001).
    """
    machine.environ = {"PREFECT_SERVER__DATABASE__CONNECTION_URL": database_url}
    data_port, graphql_port = free_ports(2)
    graphql = await machine.run("services", "graphql", "--port", str(graphql_port))
    data = await machine.run("services", "data", "--port", str(data_port))
    gateway = await machine.run(
        *("services", "gateway", "--port", "0"),
        PREFECT_SERVER__GATEWAY__DATA_URL=f"http://127.0.0.1:{data_port}/v1alpha1/graphql",
        PREFECT_SERVER__GATEWAY__GRAPHQL_URL=f"http://127.0.0.1:{graphql_port}/graphql/",
    )
    for process in (data, graphql):
        await process.url()
    url = await gateway.url()
    await gateway.line("The schema is ready")
    async with AsyncExitStack() as stack, connected(database_url) as database:

        async def add(name: str) -> None:
            await database.execute(
                "INSERT INTO tenant (name, slug, info) VALUES ($1, $1, $2)", name, json.dumps("x" * 200_000)
            )

        async def client(number: int) -> Client:
            opened = await stack.enter_async_context(talking(url, BOTH[number % 2]))
            await opened.begin("1", TENANTS)
            return opened

        deaf = await stack.enter_async_context(talking(url, **narrow(url)))
        await deaf.begin("1", LARGE)
        clients: list[Client] = await asyncio.gather(*map(client, range(SOCKETS)))
        await add("a")
        assert await told(clients, "a") == ["a"]

        await data.stop(signal.SIGKILL)
        await gateway.line("Subscriptions at the data service are interrupted")
        await add("b")
        # Who asks now is told that the service is away, and may ask again.
        await clients[0].begin("2", "subscription { project { name } }")
        assert (await clients[0].error("2"))["extensions"]["code"] == "API_ERROR"
        data = await machine.run("services", "data", "--port", str(data_port))
        assert await told(clients, "b") == ["a", "b"]
        await gateway.line("Subscriptions at the data service go on")
        await clients[0].begin("2", "subscription { project { name } }")
        assert await clients[0].data("2") == {"project": []}
        await clients[0].end("2")
        await add("c")
        assert await told(clients, "c") == ["a", "b", "c"]

        goodbyes = [asyncio.ensure_future(each.closed()) for each in clients]
        assert await gateway.stop(seconds=20) == 0
        assert {(await goodbye)[0] for goodbye in goodbyes} == {1001}
        deaf.socket.transport.abort()
    assert len([line for line in gateway.lines if "interrupted" in line]) == 1
    assert not [line for line in gateway.logs if "Traceback" in line]
    await ended(data, graphql)


async def told(clients: list[Client], last: str) -> Any:
    """Return what all clients were told, which must be the same, once it has this name."""
    answers = await asyncio.gather(*(names(each, "1", last) for each in clients))
    assert all(answer == answers[0] for answer in answers)
    return answers[0]


async def ended(*processes: Process) -> None:
    """Stop processes, which must go well."""
    for process in processes:
        assert await process.stop(seconds=20) == 0, process.output
