"""Lists of any length: short ones by one statement, long ones in chunks, whose bytes are the same (data-api.md §2.1).

What is held of a long one, and for how long a connection is held for it, is counted, never timed: patience that matters
is either none or an hour.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from server_core.spool import Spool
from server_core.wire import GraphQLRequest, GraphQLResponse
from services.data.answer import Answer, Prepared
from services.data.app import METADATA, DataService, create_app
from services.data.errors import ConnectionFailed, TimedOut
from services.data.execute import Postgres
from services.data.portal import FIRST_ROWS, ListSizes, Portals
from services.data.sql.fragment import Rendered
from services.data.sql.statement import Statement
from tests.support.cluster import Cluster, connected
from tests.support.exchange import framed, posted, read_reply, spoken
from tests.support.pooler import pooling
from tests.support.recorder import recorded
from tests.support.servers import listening
from tests.support.settings import data_settings, server_settings
from tests.support.waiting import wait_until

HOUR = 3600.0
MANY = 200_000
SMALL = ListSizes(whole=20_000, chunk=4_000, held=8_000, patience=HOUR)
NO_PATIENCE = ListSizes(whole=20_000, chunk=50_000, held=8_000, patience=-HOUR)
ALL = "{ tenant(order_by: {slug: asc}) { id slug name } }"
ROWS = """
INSERT INTO tenant (id, slug, name, settings)
SELECT md5(n::text)::uuid, lpad(n::text, 6, '0'), 'tenant é"\\' || n,
    CASE WHEN n % 3 = 0 THEN jsonb '{"a": [1, {"b": null}]}' ELSE '{}' END
FROM generate_series(1, $1::int) n
"""
WORKING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'prefect-server data' AND state <> 'idle'
"""

ANOTHER_PROCESS = """
import asyncio, sys
from tests.service.data.test_long_lists import NO_PATIENCE, ask, serving, whole

async def main():
    async with serving(sys.argv[1], NO_PATIENCE) as service:
        response = await ask(service, '{ tenant(where: {slug: {_lte: "002000"}}) { id slug } }')
        print(response.status if response.chunks is not None and await whole(response) else response.body)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
async def tenants_url(cluster: Cluster, pytestconfig: pytest.Config) -> AsyncIterator[str]:
    """A database with many tenants; tests only read it."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_tenants_{worker}"
    dsn = await cluster.create(name, template=cluster.template)
    async with connected(dsn) as connection:
        await connection.execute(ROWS.replace("$1", str(MANY)))
        await connection.execute("ANALYZE tenant")
    yield dsn
    await cluster.drop(name)


@asynccontextmanager
async def serving(dsn: str, sizes: ListSizes = SMALL, **settings: Any) -> AsyncIterator[DataService]:
    """Run the data API over a database."""
    service = DataService(server_settings(data=data_settings(**settings)), dsn, METADATA, sizes=sizes)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def ask(service: DataService, query: str, *, chunked: bool = True, **variables: Any) -> GraphQLResponse:
    """Ask as one who takes chunks, or not."""
    return await service.execute(GraphQLRequest(query=query, variables=variables, chunked=chunked))


async def begun(service: DataService, query: str = ALL) -> Spool:
    """Return the chunks of an answer that has begun."""
    response = await ask(service, query)
    assert response.chunks is not None
    assert (response.status, response.plain, response.body) == (200, True, b"")
    return response.chunks


async def whole(response: GraphQLResponse) -> bytes:
    """Return the bytes of an answer, however it comes."""
    return response.body if response.chunks is None else b"".join([chunk async for chunk in response.chunks])


async def is_free(dsn: str) -> bool:
    """Tell whether no connection of the data API does anything, nor is in a transaction."""
    async with connected(dsn) as connection:
        return not await connection.fetchval(WORKING)


def lists(count: int, seed: int) -> list[str]:
    """Return queries of lists, some of which are longer than SMALL.whole, and most about as long."""
    chance = random.Random(seed)
    fields = ["id", "slug", "name", "settings", "created", "__typename", "projects { id }", "x: slug"]

    def query() -> str:
        selected = " ".join(chance.sample(fields, chance.randint(1, 4)))
        rows = chance.choice([0, 1, FIRST_ROWS - 1, FIRST_ROWS, FIRST_ROWS + 1, chance.randint(0, 1500)])
        below = f'where: {{slug: {{_lte: "{rows:06}"}}}}'
        limited = chance.choice(["", ", limit: 12345", f", limit: 10000, offset: {chance.randint(0, rows)}"])
        order = chance.choice(["asc", "desc"])
        return f"{{ tenant({below}, order_by: {{slug: {order}}}{limited}) {{ {selected} }} }}"

    return [query() for _ in range(count)]


@pytest.mark.parametrize("seed", range(3))
async def test_the_bytes_are_those_of_a_list_that_is_not_long(tenants_url: str, seed: int) -> None:
    lengths = set()
    sizes = ListSizes(whole=SMALL.whole, chunk=4_000, held=8_000, patience=-HOUR)
    async with serving(tenants_url, sizes, pool_size=2) as service:
        for query in lists(40, seed):
            plain, response = await ask(service, query, chunked=False), await ask(service, query)
            assert plain.chunks is None
            rows = plain.body.removeprefix(b'{"data":{"tenant":[').removesuffix(b"]}}").split(b", \n ")
            assert (response.chunks is not None) == (sum(map(len, rows)) > SMALL.whole), (seed, query)
            assert await whole(response) == plain.body, (seed, query)
            json.loads(plain.body)
            lengths.add(len(plain.body) > SMALL.whole)
    assert lengths == {True, False}


async def test_a_short_list_is_one_statement(tenants_url: str) -> None:
    async with serving(tenants_url) as service:
        query = '{ tenant(where: {slug: {_lte: "000100"}}) { id slug } }'
        await ask(service, query)
        async with recorded(service.postgres.pool) as recorder:
            assert len(await whole(await ask(service, query))) < SMALL.whole
    assert len(recorder.sent) == 1
    assert "LIMIT" not in recorder.sent[0], "Postgres is to plan as if nobody asked how long it is"


async def test_a_long_list_is_asked_for_again_in_a_transaction(tenants_url: str) -> None:
    async with serving(tenants_url, NO_PATIENCE, pool_size=2) as service:
        query = '{ tenant(where: {slug: {_lte: "002000"}}) { id slug } }'
        async with recorded(service.postgres.pool) as recorder:
            assert len(await whole(await ask(service, query))) > SMALL.whole
            await wait_until(lambda: recorder.sent[-1] == "COMMIT", seconds=30, what="the transaction ended")
    first, *others = recorder.sent
    assert "row_to_json" in first
    assert [text.split()[0] for text in others] == ["BEGIN", "COMMIT"], "the driver does not tell of portals"


async def test_over_http(tenants_url: str) -> None:
    """Also to a client of HTTP/1.0, which knows of no chunks."""
    async with serving(tenants_url, NO_PATIENCE) as service, listening(create_app(service)) as url:
        parts = urlsplit(url)
        (request,) = framed(posted('{ tenant(where: {slug: {_lte: "002000"}}) { id slug } }', target="/v1/graphql"))
        replies = [
            read_reply(await spoken(parts.hostname or "", parts.port or 0, request.replace(b"HTTP/1.1", version, 1)))
            for version in (b"HTTP/1.1", b"HTTP/1.0")
        ]
    chunked, whole = replies
    assert (chunked.headers["transfer-encoding"], chunked.body) == ("chunked", whole.body)
    assert whole.headers["content-length"] == str(len(whole.body))
    assert len(whole.json()["data"]["tenant"]) == 2000


async def test_of_a_very_long_list_little_is_held(tenants_url: str) -> None:
    async with serving(tenants_url, ListSizes(held=100_000, chunk=50_000, whole=100_000, patience=HOUR)) as service:
        chunks = await begun(service)
        await wait_until(lambda: chunks.full, seconds=30, what="as much lies here as may")
        assert not await is_free(tenants_url), "it waits for its client"
        sizes = [len(chunk) async for chunk in chunks]
    assert sum(sizes) > 15_000_000
    assert max(sizes) < 150_000
    assert chunks.highest < 250_000


async def test_a_client_that_does_not_read_holds_a_connection_no_longer_than_patience(tenants_url: str) -> None:
    async with serving(tenants_url, NO_PATIENCE, pool_size=1) as service:
        chunks = await begun(service)
        over = asyncio.Event()
        chunks.when_over(over.set)
        await over.wait()
        await wait_until(partial(is_free, tenants_url), seconds=30, what="the connection is free")
        assert json.loads((await ask(service, "{ tenant(limit: 1) { __typename } }")).body)
        assert chunks.held == chunks.highest > 15_000_000
        assert b"".join([chunk async for chunk in chunks]) == (await ask(service, ALL, chunked=False)).body


async def test_who_leaves_gives_the_connection_back(tenants_url: str) -> None:
    async with serving(tenants_url, pool_size=1) as service:
        for _ in range(3):
            chunks = await begun(service)
            assert not await is_free(tenants_url), "it waits for its client"
            await anext(chunks)
            chunks.close()
            assert json.loads((await ask(service, "{ tenant(limit: 1) { __typename } }")).body)
            assert await is_free(tenants_url)


async def test_who_leaves_before_the_first_chunk_ends_the_statement(tenants_url: str) -> None:
    async with serving(tenants_url, pool_size=1) as service:
        portals = Portals(service.postgres, SMALL)
        asking = asyncio.create_task(portals.answer(by_hand("SELECT json '1', pg_sleep(3600)")))
        await wait_until(lambda: asking_now(tenants_url), seconds=30, what="Postgres is asked")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert json.loads((await ask(service, "{ tenant(limit: 1) { __typename } }")).body)
        assert await is_free(tenants_url)


async def asking_now(dsn: str) -> bool:
    """Tell whether a statement sleeps."""
    async with connected(dsn) as connection:
        return bool(
            await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
            )
        )


def by_hand(text: str) -> Prepared:
    """Return a request whose rows come of a statement of the test's own."""
    rendered = Rendered(pieces=(text,), ceilings=(), sources=())
    statement = Statement(rendered=rendered, aliases=("a",), many=True)
    return Prepared(Answer(order=("a",), constants={}, statement=statement), text, (), True)


@asynccontextmanager
async def portals_over(dsn: str, **options: Any) -> AsyncIterator[Portals]:
    """Have long answers of statements of the test's own."""
    postgres = Postgres(dsn, pool_size=1, **options)
    await postgres.start()
    try:
        yield Portals(postgres, SMALL)
    finally:
        await postgres.stop()


SLOW_END = f"SELECT json '1', CASE WHEN n > {FIRST_ROWS} THEN pg_sleep(3600) END FROM generate_series(1, 1000) n"


async def test_a_time_limit_before_the_first_chunk_is_an_ordinary_error(tenants_url: str) -> None:
    async with portals_over(tenants_url, statement_timeout=0.05) as portals:
        with pytest.raises(TimedOut) as stopped:
            await portals.answer(by_hand("SELECT json '1', pg_sleep(3600)"))
    assert stopped.value.message == "Operation timed out"


async def test_a_time_limit_midway_fails_the_rest(tenants_url: str) -> None:
    async with portals_over(tenants_url, statement_timeout=0.3) as portals:
        chunks = await portals.answer(by_hand(SLOW_END))
        with pytest.raises(TimedOut):
            await whole(GraphQLResponse(body=b"", chunks=chunks))
        assert chunks.failed
        assert await whole(GraphQLResponse(body=b"", chunks=await portals.answer(by_hand("SELECT json '1'")))) == (
            b'{"data":{"a":[1]}}'
        ), "the connection is as good as before"


async def test_a_time_limit_is_that_of_all_pieces_together(tenants_url: str) -> None:
    text = "SELECT json '1', pg_sleep(0.0005) FROM generate_series(1, 30000)"
    async with portals_over(tenants_url, statement_timeout=2.0) as portals:
        chunks = await portals.answer(by_hand(text))
        with pytest.raises(TimedOut):
            await whole(GraphQLResponse(body=b"", chunks=chunks))
        assert await whole(GraphQLResponse(body=b"", chunks=await portals.answer(by_hand("SELECT json '1'")))) == (
            b'{"data":{"a":[1]}}'
        ), "the connection is as good as before"


async def test_a_connection_lost_midway_fails_the_rest(tenants_url: str) -> None:
    async with serving(tenants_url, pool_size=1) as service:
        chunks = await begun(service)
        async with connected(tenants_url) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'prefect-server data'"
            )
        with pytest.raises(ConnectionFailed):
            await whole(GraphQLResponse(body=b"", chunks=chunks))
        assert json.loads((await ask(service, "{ tenant(limit: 1) { __typename } }")).body)


async def test_a_connection_that_was_dead_before_is_replaced(tenants_url: str) -> None:
    async with serving(tenants_url, pool_size=1) as service:
        await ask(service, "{ tenant(limit: 1) { __typename } }")
        async with connected(tenants_url) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'prefect-server data'"
            )
        portals = Portals(service.postgres, SMALL)
        chunks = await portals.answer(by_hand("SELECT to_json(n) FROM generate_series(1, 3) n"))
        assert await whole(GraphQLResponse(body=b"", chunks=chunks)) == b'{"data":{"a":[1, \n 2, \n 3]}}'


async def test_a_service_that_stops_ends_what_is_under_way(tenants_url: str) -> None:
    async with serving(tenants_url, pool_size=1) as service:
        chunks = await begun(service)
    assert chunks.failed
    assert await is_free(tenants_url)


async def test_a_value_that_cannot_be_used_is_told_as_ever(tenants_url: str) -> None:
    async with serving(tenants_url) as service:
        query = '{ tenant(where: {id: {_eq: "nonsense"}}) { id } }'
        plain, response = await ask(service, query, chunked=False), await ask(service, query)
        assert response == plain
        assert response.status == 400


async def test_through_a_pooler_in_transaction_mode(tenants_url: str) -> None:
    with pooling(tenants_url, size=1) as pooled:
        async with serving(pooled, NO_PATIENCE, pool_size=2) as service:
            query = '{ tenant(where: {slug: {_lte: "010000"}}) { id slug } }'
            expected = (await ask(service, query, chunked=False)).body
            chunks = [await begun(service, query) for _ in range(2)]
            assert await whole(GraphQLResponse(body=b"", chunks=chunks[0])) == expected
            chunks[1].close()
            assert await whole(await ask(service, "{ tenant(limit: 1, order_by: {slug: asc}) { slug } }")) == (
                b'{"data":{"tenant":[{"slug":"000001"}]}}'
            )


async def test_processes_that_share_a_pooler_do_not_meet(tenants_url: str) -> None:
    """A process counts its statements from one, as the one before it did, or the one beside it."""
    with pooling(tenants_url, size=1) as pooled:
        for _ in range(2):
            asked = await asyncio.create_subprocess_exec(
                sys.executable, "-c", ANOTHER_PROCESS, pooled, stdout=subprocess.PIPE
            )
            said, _ = await asked.communicate()
            assert said == b"200\n"
        connection = await asyncpg.connect(pooled, statement_cache_size=0)
        try:
            assert await connection.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
        finally:
            await connection.close()
