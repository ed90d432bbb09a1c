"""Long lists on their whole way: in chunks from Postgres to the client, through a gateway in the same process and
through one that asks over HTTP. How an answer comes changes none of its bytes (data-api.md §3.1).

Nothing is timed: patience is none or an hour, and more comes than all buffers on the way take.
"""

import asyncio
import gzip
import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from server_core.access import observe_requests
from server_core.wire import LiveService
from services.data.app import METADATA, DataService
from services.data.app import create_app as data_app
from services.data.portal import ListSizes
from services.gateway.app import create_app as gateway_app
from services.gateway.upstream import HttpUpstream
from tests.support.cluster import Cluster, connected
from tests.support.exchange import JSON, Reply, Sent, framed, over_socket, posted, read_reply, spoken
from tests.support.gateway import actions_service
from tests.support.live_client import TRANSPORT, talking
from tests.support.servers import listening
from tests.support.settings import data_settings, gateway_settings, server_settings
from tests.support.waiting import wait_until

HOUR = 3600.0
HELD = 200_000
ROWS = """
INSERT INTO tenant (id, slug, name, settings)
SELECT md5(n::text)::uuid, lpad(n::text, 6, '0'), repeat(md5(n::text), 7), '{"é": "\\"\\\\"}'
FROM generate_series(1, 3000) n
"""
LIST = '{ tenant(where: {slug: {_lte: "000500"}}, order_by: {slug: asc}) { id name settings } }'
LONG = "{ tenant(order_by: {slug: asc}) { " + " ".join(f"f{number}: name" for number in range(30)) + " } }"
"""21 MB."""
SHORT = '{ tenant(where: {slug: {_eq: "000001"}}) { slug } }'
WORKING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'prefect-server data' AND state <> 'idle'
"""
REFUSED = (
    '{ tenant(where: {id: {_eq: "nonsense"}}) { id } }',
    "{ tenant(limit: -1) { id } }",
    "{ tenant { nope } }",
    "query ($n: Int = 99999999999) { tenant(limit: $n) { id } }",
)
GZIP = {"Accept-Encoding": "gzip"}
END = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, kw_only=True)
class World:
    """A whole server for reads, of whose long lists little is held, and which has one connection and one place.

    Attributes:
        url: the gateway.
        dsn: its database.
        registry: the gateway's figures.
    """

    url: str
    dsn: str
    registry: CollectorRegistry

    async def ask(self, query: str, **headers: str) -> Reply:
        """Ask as clients do."""
        return await over_socket(self.url)(posted(query, headers=(JSON, *headers.items())))

    async def is_working(self) -> bool:
        """Tell whether a connection of the data API is in a statement or transaction."""
        async with connected(self.dsn) as connection:
            return bool(await connection.fetchval(WORKING))

    async def is_free(self) -> bool:
        """Tell whether none is, and the gateway answers nobody."""
        idle = 'prefect_server_http_requests_in_progress{service="gateway"} 0.0'
        return not await self.is_working() and idle in generate_latest(self.registry).decode()

    async def cut_connections(self) -> None:
        """Let Postgres cut off the data API."""
        async with connected(self.dsn) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'prefect-server data'"
            )

    def count(self, status: str) -> float:
        """Return how many POSTs ended so."""
        value = self.registry.get_sample_value(
            "prefect_server_http_request_duration_seconds_count",
            {"service": "gateway", "method": "POST", "status": status},
        )
        return value or 0.0


@asynccontextmanager
async def serving(dsn: str, *, over_http: bool, patience: float = HOUR) -> AsyncIterator[World]:
    """Run gateway and data API over a database with many rows."""
    settings = server_settings(
        data=data_settings(pool_size=1), gateway=gateway_settings(reads_at_once=1, reads_wait_seconds=30.0)
    )
    sizes = ListSizes(whole=100_000, chunk=100_000, held=HELD, patience=patience)
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        service = DataService(settings, dsn, METADATA, sizes=sizes)
        data: LiveService = service
        if over_http:
            app = data_app(service)
            observed = observe_requests(app, service="data", settings=settings, registry=CollectorRegistry())
            data_url = await stack.enter_async_context(listening(observed))
            data = HttpUpstream(
                f"{data_url}/v1alpha1/graphql", name="data", connections=1, held=HELD, patience=patience
            )
        gateway = gateway_app(
            settings, data=data, actions=actions_service(), registry=registry, retry_seconds=0.05, patience_seconds=60
        )
        url = await stack.enter_async_context(
            listening(observe_requests(gateway, service="gateway", settings=settings, registry=registry))
        )
        world = World(url=url, dsn=dsn, registry=registry)
        assert (await world.ask(SHORT)).status == 200
        yield world


@pytest.fixture(scope="module")
async def tenants_url(cluster: Cluster, pytestconfig: pytest.Config) -> AsyncIterator[str]:
    """A database with many rows; tests only read it."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_long_{worker}"
    dsn = await cluster.create(name, template=cluster.template)
    async with connected(dsn) as connection:
        await connection.execute(ROWS)
    yield dsn
    await cluster.drop(name)


@pytest.fixture(scope="module", params=["one process", "over HTTP"])
async def world(request: pytest.FixtureRequest, tenants_url: str) -> AsyncIterator[World]:
    """A server that waits for its clients for as long as they like."""
    async with serving(tenants_url, over_http=request.param == "over HTTP") as running:
        yield running


@asynccontextmanager
async def unread(world: World, query: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Ask without reading the answer, over a connection that takes little by itself."""
    parts = urlsplit(world.url)
    asking = socket.create_connection((parts.hostname, parts.port))
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262_144)
    reader, writer = await asyncio.open_connection(sock=asking)
    try:
        writer.writelines(framed(posted(query)))
        yield reader, writer
    finally:
        writer.close()


async def old(world: World, query: str) -> Reply:
    """Ask as a client of HTTP/1.0, which knows of no chunks."""
    (request,) = framed(posted(query))
    parts = urlsplit(world.url)
    return read_reply(await spoken(parts.hostname or "", parts.port or 0, request.replace(b"HTTP/1.1", b"HTTP/1.0", 1)))


async def test_the_same_bytes_however_they_come(world: World) -> None:
    whole, chunked, compressed = await old(world, LIST), await world.ask(LIST), await world.ask(LIST, **GZIP)
    got = await over_socket(world.url)(Sent(method="GET", target=f"/?query={quote(LIST)}", headers=()))
    assert len(whole.json()["data"]["tenant"]) == 500
    assert whole.headers["content-length"] == str(len(whole.body))
    assert chunked.headers["transfer-encoding"] == compressed.headers["transfer-encoding"] == "chunked"
    assert compressed.headers["content-encoding"] == "gzip"
    assert chunked.body == gzip.decompress(compressed.body) == got.body == whole.body
    for header in ("content-type", "access-control-allow-origin", "vary"):
        assert chunked.headers.get(header) == compressed.headers.get(header) == whole.headers.get(header), header
    assert "x-request-id" in chunked.headers


async def test_what_is_put_together_comes_whole(world: World) -> None:
    """Batches, several fields, operations over WebSockets."""
    expected = (await world.ask(LIST)).json()
    batch = Sent(body=json.dumps([{"query": LIST}, {"query": "{ hello }"}]).encode())
    assert (await over_socket(world.url)(batch)).json() == [expected, {"data": {"hello": "👋"}}]
    both = await world.ask(LIST.replace("{ tenant", "{ hello tenant", 1))
    assert both.json() == {"data": {"hello": "👋", **expected["data"]}}
    async with talking(world.url.replace("http", "ws"), TRANSPORT) as client:
        await client.begin("1", LIST)
        assert await client.data() == expected["data"]


async def test_errors_are_those_of_short_answers(world: World) -> None:
    for query in REFUSED:
        whole, reply = await old(world, query), await world.ask(query)
        assert (reply.status, reply.body) == (whole.status, whole.body)
        assert reply.headers["content-length"] == str(len(reply.body))
        assert reply.json()["errors"]


async def test_the_connection_takes_the_next_request(world: World) -> None:
    parts = urlsplit(world.url)
    requests = [*framed(posted(LIST), last=False), *framed(posted(SHORT))]
    said = await spoken(parts.hostname or "", parts.port or 0, *requests)
    long, mark, short = said.partition(END)
    assert mark
    assert len(read_reply(long + mark).json()["data"]["tenant"]) == 500
    assert read_reply(short).json() == {"data": {"tenant": [{"slug": "000001"}]}}


async def test_a_connection_lost_midway_cuts_the_answer_off(world: World, caplog: pytest.LogCaptureFixture) -> None:
    before = world.count("cut off")
    async with unread(world, LONG) as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        assert await world.is_working()
        await world.cut_connections()
        said = b""
        try:
            while piece := await reader.read(1_000_000):
                said += piece
        except ConnectionResetError:
            pass
    assert len(said) < 15_000_000
    assert not said.endswith(END)
    await wait_until(world.is_free, seconds=30, what="nothing is held for it any more")
    assert world.count("cut off") == before + 1
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert {record.name for record in records} == {"server_core.answering"}
    assert all(len(record.error_id) == 32 for record in records)  # type: ignore[attr-defined]
    assert (await world.ask(SHORT)).json() == {"data": {"tenant": [{"slug": "000001"}]}}


async def test_who_leaves_midway_holds_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with unread(world, LONG) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        assert await world.is_working()
        writer.transport.abort()
    await wait_until(world.is_free, seconds=30, what="nothing is held for it any more")
    assert (await world.ask(SHORT)).json() == {"data": {"tenant": [{"slug": "000001"}]}}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("over_http", [False, True])
@pytest.mark.parametrize("patience", [-HOUR, HOUR])
async def test_who_does_not_read_is_not_waited_for(tenants_url: str, over_http: bool, patience: float) -> None:
    """Neither the one connection nor the one place is held for as long as a client reads, if others want them."""
    async with serving(tenants_url, over_http=over_http, patience=patience) as world:
        async with unread(world, LONG) as (reader, _):
            assert (await world.ask(SHORT)).json() == {"data": {"tenant": [{"slug": "000001"}]}}
            assert not await world.is_working()
            said = await reader.read(-1)
        assert said.endswith(END)
        rows = read_reply(said).json()["data"]["tenant"]
        assert len(rows) == 3000
        assert len(rows[2999]["f29"]) == 224
