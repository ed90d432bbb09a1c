"""The connection to the database breaks while a change is committed: what the client is told, field by field.

`API_ERROR` makes the 1.x client send again (actions.md §0.3), so a change that was made may be answered with it only if
making it again does no harm. Every mutation stands in CASES with its decision.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx

from server_core.config import Settings
from server_core.db.session import Database
from services.graphql.app import create_app, create_service
from tests.service.graphql.conftest import PATH
from tests.service.graphql.mutations import (
    AGAIN,
    CASES,
    DONE,
    FALSE,
    MUTATION,
    NEVER,
    STATE,
    document_of,
    named,
    one_of_each,
)
from tests.support.cluster import TABLES
from tests.support.lost_answers import Moment, Proxy, losing
from tests.support.rows import fetch_all, insert

BACKGROUND = r"(UPDATE|DELETE FROM) cloud_hook_delivery|INTO service_presence"
"""What the service writes by itself, at times of its own."""

ELSEWHERE = {"test_cloud_hook"}
"""Its failures are payloads: a test of its own."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The service behind a proxy that loses answers."""

    proxy: Proxy
    http: httpx.AsyncClient
    database: Database

    async def send(self, field: str, input: dict[str, Any], ids: dict[str, UUID]) -> Any:
        given = {"query": document_of(field), "variables": {"input": named(input, ids)}}
        response = await self.http.post(PATH, json=given, headers={"x-prefect-agent-id": str(ids["AGENT"])})
        assert response.status_code == 200
        return response.json()

    async def rows(self) -> dict[str, int]:
        counts = (f"SELECT '{table}' AS name, count(*) AS rows FROM {table}" for table in TABLES.split(", "))
        return {row["name"]: row["rows"] for row in await fetch_all(self.database, " UNION ALL ".join(counts))}


@asynccontextmanager
async def opened(database: Database, database_url: str, *, start: bool = True) -> AsyncIterator[World]:
    async with losing(database_url, but_not=BACKGROUND) as proxy:
        service = create_service(Settings(), proxy.url)
        transport = httpx.ASGITransport(app=create_app(service))
        if start:
            await service.start()
        async with httpx.AsyncClient(transport=transport, base_url="http://actions") as http:
            yield World(proxy=proxy, http=http, database=database)
        await service.stop()


def test_every_mutation_is_decided() -> None:
    """§0.3: a new mutation has to say what a lost answer to it means."""
    assert MUTATION is not None
    assert set(MUTATION.fields) - ELSEWHERE == {field for field, _, _ in CASES}


async def test_a_commit_whose_answer_is_lost(database: Database, database_url: str) -> None:
    """§0.3: sent again by the client only if that does no harm."""
    async with opened(database, database_url) as world:
        for number, (field, input, second) in enumerate(CASES, 1):
            ids = await one_of_each(database)
            world.proxy.lose(Moment.COMMIT)
            lost = await world.send(field, input, ids)
            assert world.proxy.lost == number, field
            assert lost["data"] == {field: None}
            [error] = lost["errors"]
            if second == NEVER:
                assert error["extensions"] == {"code": "OUTCOME_UNKNOWN"}, field
                assert "API_ERROR" not in str(lost)
                continue
            assert error["extensions"] == {"code": "API_ERROR"}, field
            made = await world.rows()
            again = await world.send(field, input, ids)
            now = await world.rows()
            if second in (AGAIN, DONE, FALSE, STATE):
                assert "errors" not in again, again
                assert second is not DONE or again["data"][field] == {"success": True}
            else:
                assert second in again["errors"][0]["message"]
            doubled = {table: now[table] - made[table] for table in made if now[table] > made[table]}
            history = field.removeprefix("set_").removesuffix("s")
            assert doubled == ({history: 1} if second == STATE else {}), field


NOT_REPEATABLE = [(field, input) for field, input, second in CASES if second == NEVER]


async def test_a_transaction_that_breaks_before_its_commit(database: Database, database_url: str) -> None:
    """§0.3: nothing was made, so the client may send it again."""
    async with opened(database, database_url) as world:
        for field, input in NOT_REPEATABLE:
            if field.startswith("create_flow"):
                ids = await one_of_each(database)
                before = await world.rows()
                world.proxy.lose(Moment.WRITE)
                answer = await world.send(field, input, ids)
                assert answer["errors"][0]["extensions"] == {"code": "API_ERROR"}, field
                assert await world.rows() == before
                assert "errors" not in await world.send(field, input, ids)
        assert world.proxy.lost == 3


async def test_a_database_that_cannot_be_reached(database: Database, database_url: str) -> None:
    """§0.3: nothing was even sent."""
    ids = await one_of_each(database)
    async with opened(database, database_url, start=False) as world:
        for field, input in NOT_REPEATABLE:
            answer = await world.send(field, input, ids)
            assert answer["errors"][0]["extensions"] == {"code": "API_ERROR"}, field


async def test_a_document_that_was_carried_out_in_part(database: Database, database_url: str) -> None:
    """§0.3: a client sends all of a document again, so no field of it invites to that once another has been done."""
    ids = await one_of_each(database)
    create = f'create_flow_run(input: {{flow_id: "{ids["FLOW"]}"}}) {{ id }}'
    rename = f'set_flow_run_name(input: {{flow_run_id: "{ids["RUN"]}", name: "x"}}) {{ success }}'

    async def ask(world: World, first: str, second: str) -> tuple[Any, list[str]]:
        response = await world.http.post(PATH, json={"query": f"mutation {{ first: {first} second: {second} }}"})
        body = response.json()
        return body["data"], [error["extensions"]["code"] for error in body["errors"]]

    async with opened(database, database_url) as world:
        world.proxy.lose(Moment.COMMIT)
        data, codes = await ask(world, create, rename)
        assert data == {"first": None, "second": {"success": True}}
        assert codes == ["OUTCOME_UNKNOWN"]
        world.proxy.lose(Moment.COMMIT)
        data, codes = await ask(world, rename, create)
        assert data["first"] is None
        assert data["second"]["id"]
        assert codes == ["OUTCOME_UNKNOWN"]
    async with opened(database, database_url, start=False) as world:
        assert await ask(world, rename, create) == ({"first": None, "second": None}, ["API_ERROR", "API_ERROR"])


async def test_the_test_of_a_hook_has_no_error(database: Database, database_url: str) -> None:
    """§7.4: whatever fails, the payload says so."""
    ids = await one_of_each(database)
    tenant_id = ids["TENANT"]
    hook = await insert(database, "cloud_hook", tenant_id=tenant_id, type="PREFECT_MESSAGE", states=["FAILED"])
    async with opened(database, database_url) as world:
        world.proxy.lose(Moment.COMMIT)
        answer = await world.send("test_cloud_hook", {"cloud_hook_id": str(hook)}, ids)
        assert world.proxy.lost == 1
    assert answer == {"data": {"test_cloud_hook": {"success": False}}}
