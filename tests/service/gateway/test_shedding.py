"""With the read side saturated, what runs and agents write still goes through (demands.md row 16).

Nothing is timed: queries wait for a table that a test has locked, and stay there until it lets go.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import httpx
import pytest

from server_core.db.session import Database
from services.data.app import create_app as create_data_app
from services.data.app import create_service as create_data
from services.gateway.app import create_app
from services.gateway.upstream import HttpUpstream
from services.graphql.app import create_app as create_actions_app
from services.graphql.app import create_service as create_actions
from tests.support.cluster import connected
from tests.support.factories import Flow
from tests.support.rows import make_flow, make_flow_run, task_runs_of
from tests.support.servers import listening
from tests.support.settings import server_settings
from tests.support.waiting import wait_until

PLACES = 4
WAITING = 3
DASHBOARD = "{ flow_run_aggregate { aggregate { count } } message { id } }"
FROM_A_RUN = {"x-prefect-core-version": "1.4.1"}


@dataclass(frozen=True, kw_only=True)
class World:
    """A server whose reads are easily saturated, and a run.

    Attributes:
        http: a client of the gateway, over a socket.
        lock: on its connection a test holds tables.
        eyes: on this one it looks around; inside a transaction what others do is seen only once.
    """

    http: httpx.AsyncClient
    lock: "asyncpg.Connection[asyncpg.Record]"
    eyes: "asyncpg.Connection[asyncpg.Record]"
    flow: Flow
    run: str
    task_run: str

    async def post(self, query: str, **headers: str) -> httpx.Response:
        return await self.http.post("/", json={"query": query}, headers=headers)

    async def mutate(self, query: str) -> Any:
        response = await self.post(f"mutation {{ {query} }}", **FROM_A_RUN)
        assert response.status_code == 200
        assert list(response.json()) == ["data"], response.text
        return response.json()["data"]

    async def blocked(self) -> int:
        """Return how many statements of the data API wait for a lock."""
        count: int = await self.eyes.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND application_name = 'prefect-server data'"
        )
        return count


@pytest.fixture(params=["one process", "over HTTP"])
async def world(request: pytest.FixtureRequest, database_url: str, database: Database) -> AsyncIterator[World]:
    """The gateway before the real services, called as objects and over HTTP."""
    async with serving(database_url, database, over_http=request.param == "over HTTP") as running:
        yield running


@asynccontextmanager
async def serving(database_url: str, database: Database, *, over_http: bool) -> AsyncIterator[World]:
    settings = server_settings()
    settings = replace(
        settings,
        gateway=replace(settings.gateway, reads_at_once=PLACES, reads_waiting=WAITING, reads_wait_seconds=3600.0),
    )
    flow = await make_flow(database, tasks=1)
    run = await make_flow_run(database, flow)
    task_run = (await task_runs_of(database, run))[0]
    async with AsyncExitStack() as stack:
        data_service, actions = create_data(settings, database_url), create_actions(settings, database_url)
        if over_http:
            urls = [
                await stack.enter_async_context(listening(create_data_app(data_service))),
                await stack.enter_async_context(listening(create_actions_app(actions))),
            ]
            app = create_app(
                settings,
                data=HttpUpstream(f"{urls[0]}/v1alpha1/graphql", name="data"),
                actions=HttpUpstream(f"{urls[1]}/graphql/", name="actions"),
                patience_seconds=60,
            )
        else:
            app = create_app(settings, data=data_service, actions=actions, patience_seconds=60)
        url = await stack.enter_async_context(listening(app))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=60))
        lock = await stack.enter_async_context(connected(database_url))
        eyes = await stack.enter_async_context(connected(database_url))
        world = World(http=http, lock=lock, eyes=eyes, flow=flow, run=str(run), task_run=str(task_run))
        assert (await world.post("{ tenant { id } hello }")).status_code == 200
        yield world
        await lock.execute("ROLLBACK")


async def test_writes_and_polls_pass_while_reads_wait_and_more_are_shed(world: World) -> None:
    """503 with `Retry-After`: never executed, and the 1.x client sends it again (client-operations.md §1.2)."""
    await world.lock.execute("BEGIN; LOCK TABLE message IN ACCESS EXCLUSIVE MODE")
    kept = PLACES // 4
    reads = [asyncio.create_task(world.post(DASHBOARD)) for _ in range(PLACES - kept)]
    await wait_until(lambda: all_blocked(world, PLACES - kept), seconds=30, what="reads that hold all places")
    reads += [asyncio.create_task(world.post(DASHBOARD)) for _ in range(WAITING + 3)]
    shed, reads = await first(reads, 3)
    for task in shed:
        response = task.result()
        assert response.status_code == 503
        assert response.headers["retry-after"] == "2"
        assert [error["extensions"] for error in response.json()["errors"]] == [{"code": "API_ERROR"}]

    await world.mutate(
        f'set_flow_run_states(input: {{states: [{{flow_run_id: "{world.run}", state: "{running()}"}}]}})'
        " { states { id } }"
    )
    await world.mutate(
        f'set_task_run_states(input: {{states: [{{task_run_id: "{world.task_run}", state: "{running()}"}}]}})'
        " { states { id } }"
    )
    await world.mutate(f'update_flow_run_heartbeat(input: {{flow_run_id: "{world.run}"}}) {{ success }}')
    await world.mutate(f'update_task_run_heartbeat(input: {{task_run_id: "{world.task_run}"}}) {{ success }}')
    await world.mutate(
        f'write_run_logs(input: {{logs: [{{flow_run_id: "{world.run}", timestamp: "2022-03-04T05:06:07Z",'
        ' message: "still here"}]}) { success }'
    )
    await world.mutate(f'get_runs_in_queue(input: {{tenant_id: "{world.flow.tenant_id}"}}) {{ flow_run_ids }}')
    run = await world.post(f'{{ flow_run_by_pk(id: "{world.run}") {{ state }} }}', **FROM_A_RUN)
    assert run.json() == {"data": {"flow_run_by_pk": {"state": "Running"}}}

    assert not any(task.done() for task in reads)
    assert await world.blocked() == PLACES - kept
    await world.lock.execute("ROLLBACK")
    for response in await asyncio.gather(*reads):
        assert response.json()["data"]["flow_run_aggregate"] == {"aggregate": {"count": 1}}


async def test_a_client_that_hangs_up_frees_the_database(world: World) -> None:
    await world.lock.execute("BEGIN; LOCK TABLE message IN ACCESS EXCLUSIVE MODE")
    read = asyncio.create_task(world.post(DASHBOARD))
    await wait_until(lambda: all_blocked(world, 1), seconds=30, what="a read that waits in Postgres")
    read.cancel()
    await asyncio.wait([read])
    await wait_until(lambda: all_blocked(world, 0), seconds=30, what="the end of a read that nobody waits for")


async def test_a_mutation_goes_on_when_its_client_hangs_up(world: World) -> None:
    await world.lock.execute("BEGIN; LOCK TABLE flow_run IN ACCESS EXCLUSIVE MODE")
    query = f'mutation {{ set_flow_run_name(input: {{flow_run_id: "{world.run}", name: "x"}}) {{ success }} }}'
    mutation = asyncio.create_task(world.post(query))

    async def waits() -> bool:
        found = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await world.eyes.fetchval(found))

    await wait_until(waits, seconds=30, what="a mutation that waits in Postgres")
    mutation.cancel()
    await asyncio.wait([mutation])
    read = asyncio.create_task(world.post(DASHBOARD))
    await wait_until(lambda: all_blocked(world, 1), seconds=30, what="a read behind it")
    read.cancel()
    await wait_until(lambda: all_blocked(world, 0), seconds=30, what="the end of that read, which began later")
    await world.lock.execute("ROLLBACK")

    async def named() -> bool:
        name: str = await world.eyes.fetchval("SELECT name FROM flow_run WHERE id = $1::text::uuid", world.run)
        return name == "x"

    await wait_until(named, seconds=30, what="the change that nobody waits for")


async def first(tasks: list["asyncio.Task[httpx.Response]"], number: int) -> tuple[Any, Any]:
    """Return the first tasks that are done, and the others."""
    async with asyncio.timeout(30):
        for done in asyncio.as_completed(tasks):
            await done
            finished = [task for task in tasks if task.done()]
            if len(finished) >= number:
                break
    return finished, [task for task in tasks if not task.done()]


async def all_blocked(world: World, number: int) -> bool:
    return await world.blocked() == number


def running() -> str:
    """Return a state as a literal of the JSON scalar."""
    return '{\\"type\\": \\"Running\\"}'
