"""Connections that somebody ends while they are idle (an operator, a fail-over, a firewall): nobody notices."""

import asyncio
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx

from server_core.cli.assemble import lifespan, until_it_answers, whole_server
from tests.support.cluster import connected, terminate
from tests.support.settings import data_settings, server_settings

OURS = """SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"""
AT_ONCE = 8
ROUNDS = 3

ASK = "query($slug: String!) { tenant(where: {slug: {_neq: $slug}}) { slug } hello }"
ACT = "mutation($input: create_tenant_input!) { create_tenant(input: $input) { id } }"
INSERT = "mutation($slug: String!) { insert_tenant_one(object: {name: $slug, slug: $slug}) { slug } }"


def end_all(dsn: str) -> None:
    """End the connections to a database while our event loop stands still, so that no pool can have noticed."""

    async def end() -> None:
        async with connected(dsn) as connection:
            ended.append(await terminate(connection, OURS))

    ended: list[int] = []
    thread = Thread(target=asyncio.run, args=[end()])
    thread.start()
    thread.join()
    assert ended[0] >= 3


async def test_requests_after_all_idle_connections_were_ended(database_url: str) -> None:
    """demands.md 23: the pools of queries, of the data API's mutations and of the actions."""
    app, _ = whole_server(server_settings(data=data_settings(mutations=True)), database_url)
    transport = httpx.ASGITransport(app)
    async with (
        lifespan(app),
        httpx.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        await until_it_answers(app)

        async def send(query: str) -> Any:
            slug = f"t{uuid4().hex}"
            variables = {"slug": slug, "input": {"name": slug, "slug": slug}}
            return (await client.post("/", json={"query": query, "variables": variables})).json()

        for _ in range(ROUNDS):
            answers = await asyncio.gather(*(send(query) for query in (ASK, ACT, INSERT) for _ in range(AT_ONCE)))
            assert [answer for answer in answers if "errors" in answer] == []
            end_all(database_url)
        answers = await asyncio.gather(*(send(query) for query in (ASK, ACT, INSERT)))
        assert [answer for answer in answers if "errors" in answer] == []
    async with connected(database_url) as connection:
        made = await connection.fetchval("SELECT count(*) FROM tenant WHERE starts_with(name, 't')")
    assert made == 2 * (AT_ONCE * ROUNDS + 1)
