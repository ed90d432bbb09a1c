"""A database and a metadata file that change under a running service: what a reload shows, and what it refuses."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette

from server_core.wire import GraphQLRequest
from services.data.app import DataService, create_app
from tests.support.cluster import connected
from tests.support.settings import data_settings, server_settings
from tests.support.waiting import wait_until

RELOAD = "/-/reload"


@dataclass(frozen=True, kw_only=True)
class Changing:
    """A service and what it serves, both free to be changed."""

    dsn: str
    metadata: Path
    service: DataService
    app: Starlette

    async def ask(self, query: str) -> Any:
        body = json.loads((await self.service.execute(GraphQLRequest(query=query))).body)
        return body.get("data") or body["errors"][0]

    async def alter(self, text: str) -> None:
        async with connected(self.dsn) as connection:
            await connection.execute(text)

    async def reload(self, client: str = "127.0.0.1", **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(client, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
            return await http.post(RELOAD, headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
async def changing(empty_database_url: str, tmp_path: Path) -> AsyncIterator[Changing]:
    """A database with the table `a`, tracked."""
    metadata = tmp_path / "shown.yaml"
    metadata.write_text("tables:\n- table: a\n")
    async with connected(empty_database_url) as connection:
        await connection.execute("CREATE TABLE c (id integer)")
        await connection.execute("CREATE TABLE a (id integer PRIMARY KEY, x text); INSERT INTO a VALUES (1, '7')")
    service = DataService(server_settings(data=data_settings(pool_size=2)), empty_database_url, metadata)
    await service.start()
    yield Changing(dsn=empty_database_url, metadata=metadata, service=service, app=create_app(service))
    await service.stop()


async def test_new_columns_and_tables_are_shown_after_a_reload(changing: Changing) -> None:
    await changing.alter("ALTER TABLE a ADD y integer DEFAULT 5; CREATE TABLE b (id integer PRIMARY KEY)")
    assert (await changing.ask("{ a { y } }"))["extensions"]["code"] == "validation-failed"
    changing.metadata.write_text("tables:\n- table: a\n- table: b\n")
    response = await changing.reload()
    assert (response.status_code, response.json()) == (200, {"message": "reloaded"})
    assert await changing.ask("{ a { y } b { id } }") == {"a": [{"y": 5}], "b": []}


async def test_prepared_statements_survive_a_change_of_types(changing: Changing) -> None:
    query = '{ a(where: {x: {_eq: "7"}}) { id x } a_aggregate { nodes { x } aggregate { max { x } } } }'
    for _ in range(2):
        await asyncio.gather(*[changing.ask(query) for _ in range(4)])
    await changing.alter("ALTER TABLE a ALTER x TYPE integer USING x::integer")
    assert (await changing.ask("{ a { x } }")) == {"a": [{"x": 7}]}
    await changing.reload()
    query = query.replace('"7"', "7")
    answers = await asyncio.gather(*[changing.ask(query) for _ in range(4)])
    expected = {"a": [{"id": 1, "x": 7}], "a_aggregate": {"nodes": [{"x": 7}], "aggregate": {"max": {"x": 7}}}}
    assert answers == [expected] * 4


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tables: [", "shown.yaml line 1: not valid YAML"),
        ("tables:\n- table: a\n- table: b\n", "shown.yaml line 3: there is no table public.b"),
        (None, "No such file or directory"),
    ],
)
async def test_broken_metadata_keeps_the_old_schema(
    changing: Changing, text: str | None, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    if text is None:
        changing.metadata.unlink()
    else:
        changing.metadata.write_text(text)
    with caplog.at_level(logging.ERROR, "services.data.reload"):
        response = await changing.reload()
    assert response.status_code == 422
    assert complaint in response.json()["message"]
    assert complaint in caplog.text
    assert await changing.ask("{ a { id } }") == {"a": [{"id": 1}]}


async def test_a_database_that_is_away_keeps_the_old_schema(changing: Changing) -> None:
    await changing.service.stop()
    response = await changing.reload()
    assert (response.status_code, response.json()) == (503, {"message": "connection error"})
    await changing.service.start()
    assert await changing.ask("{ a { id } }") == {"a": [{"id": 1}]}


async def test_a_request_in_flight_ends_on_the_schema_it_began_with(changing: Changing) -> None:
    lock = await asyncpg.connect(changing.dsn)
    async with lock.transaction():
        await lock.execute("LOCK TABLE a")
        waiting = asyncio.create_task(changing.ask("{ a { x } }"))
        async with connected(changing.dsn) as watcher:
            count = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'a'::regclass"
            await wait_until(lambda: watcher.fetchval(count), seconds=20, what="the query waits")
        changing.metadata.write_text("tables: [{table: c}]\n")
        reloading = asyncio.create_task(changing.service.reload())
    await reloading
    assert await waiting == {"a": [{"x": "7"}]}
    await lock.close()
    assert (await changing.ask("{ a { x } }"))["extensions"]["code"] == "validation-failed"


async def test_plans_of_an_old_schema_serve_nobody_after_a_reload(changing: Changing) -> None:
    """Requests of one shape go on while the schema changes under them; each is answered by one schema or the other."""

    def query(number: int) -> str:
        counted = f'a_aggregate(where: {{x: {{_eq: "{number}"}}}}) {{ aggregate {{ count }} }}'
        return f"{{ a(where: {{id: {{_eq: {number}}}}}) {{ id }} {counted} }}"

    async def ask(number: int) -> bool:
        answer = await changing.ask(query(number))
        known = answer == {
            "a": [{"id": 1}] if number == 1 else [],
            "a_aggregate": {"aggregate": {"count": number == 7}},
        }
        return bool(known or answer["extensions"]["code"] == "validation-failed")

    for shown in ("c", "a") * 3:
        asked = [asyncio.create_task(ask(number)) for number in range(10)]
        changing.metadata.write_text(f"tables:\n- table: {shown}\n")
        await changing.service.reload()
        assert all(await asyncio.gather(*asked))
        answer = await changing.ask(query(1))
        assert ("a" in answer) == (shown == "a"), answer


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("10.0.0.1", {}, 403),
        ("unix", {}, 403),
        ("127.0.0.1", {"x_forwarded_for": "10.0.0.1"}, 403),
        ("127.0.0.1", {"origin": "http://evil.example"}, 403),
    ],
)
async def test_only_this_machine_may_ask_for_a_reload(
    changing: Changing, client: str, headers: dict[str, str], status: int
) -> None:
    assert (await changing.reload(client, **headers)).status_code == status
