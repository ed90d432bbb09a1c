"""Invented HTTP requests and GraphQL documents, sent to the real server with Postgres behind (data-api.md §3.1, §3.3;
actions.md §0.3): whatever comes in, the answer is one of the documented ones, nothing hangs, nothing grows.

`pytest --fuzz 10000` (`just fuzz`) sends that many of each; `--fuzz-seed` repeats a run. A case depends on the seed and
its number only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from uuid import uuid4

import pytest
from graphql import GraphQLSchema, build_client_schema, get_introspection_query

from tests.integration.conftest import StartServer
from tests.support.fuzzing.answers import Answer, Reader, wrong
from tests.support.fuzzing.documents import NOBODY, Author, Operation, mutated
from tests.support.fuzzing.hostile import HOSTILE
from tests.support.fuzzing.requests import Talk, talk
from tests.support.whole_server import Server

HUNG_SECONDS = 120.0
"""A case that takes longer hangs; the slowest take a few seconds on an idle machine."""
AT_ONCE = 4
MOST_GROWTH = 128 * 2**20
"""Bytes that the server may grow by from half-time to the end. Its caches are full by then, but the memory of the
largest requests is not always given back."""

Attempt = Callable[[int], Awaitable[str | None]]


@pytest.fixture
async def fuzzed(start_server: StartServer, topology: str) -> Server:
    """A server of its own: what is invented here changes and deletes whatever it meets."""
    return await start_server(topology, PREFECT_SERVER__DATA__MUTATIONS="true")


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    """What all cases of the run follow from; printed where a test fails."""
    given: str = request.config.option.fuzz_seed or uuid4().hex[:8]
    return given


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """How many cases to try."""
    given: int = request.config.option.fuzz
    return given


async def memory(server: Server) -> int:
    """Return the bytes that the processes of a server hold."""
    held = 0
    for process in server.processes.values():
        with open(f"/proc/{process.child.pid}/statm") as file:  # noqa: ASYNC230, PTH123 - no disk behind it
            held += int(file.read().split()[1]) * 4096
    return held


async def try_all(server: Server, count: int, attempt: Attempt) -> None:
    """Make `count` attempts, several at once; then the server must be as healthy as before.

    Args:
        attempt: makes the case of a number, and says what was wrong.
    """
    problems: list[str] = []
    slowest = (0.0, -1)
    loop = asyncio.get_running_loop()

    async def work(numbers: Iterator[int]) -> None:
        nonlocal slowest
        for number in numbers:
            begun = loop.time()
            try:
                async with asyncio.timeout(HUNG_SECONDS):
                    problem = await attempt(number)
            except TimeoutError:
                problem = "it hangs"
            slowest = max(slowest, (loop.time() - begun, number))
            if problem is not None:
                problems.append(f"case {number}: {problem}")
            assert len(problems) < 20, "\n".join(problems)

    async def run(numbers: range) -> None:
        turns = iter(numbers)
        await asyncio.gather(*(work(turns) for _ in range(AT_ONCE)))

    await run(range(count // 2))
    half = await memory(server)
    await run(range(count // 2, count))
    grown = await memory(server) - half
    print(f"{count} cases, slowest {slowest[0]:.1f} s (case {slowest[1]}), {half >> 20} MiB and {grown >> 20} more")

    assert not problems, "\n".join(problems)
    assert grown < MOST_GROWTH
    assert await server.query("{ hello tenant { id } }")
    for name, process in server.processes.items():
        assert process.child.returncode is None, name
        assert not process.errors, f"{name}: {process.errors[:5]}"


async def answers_to(server: Server, sent: Talk) -> list[Answer]:
    """Write to a connection of its own and return the complete answers that come before it is closed."""
    reader, writer = await asyncio.open_connection(server.http.base_url.host, server.http.base_url.port)
    found = Reader()

    async def write() -> None:
        try:
            writer.write(sent.payload)
            await writer.drain()
            if not sent.whole:
                writer.write_eof()
        except OSError:
            pass  # the server had enough and closed

    async def read() -> None:
        try:
            while piece := await reader.read(2**16):
                found.feed(piece)
        except ConnectionError:
            pass

    try:
        await asyncio.gather(write(), read())
    finally:
        writer.transport.abort()
    return found.answers


async def test_invented_requests(fuzzed: Server, count: int, seed: str) -> None:
    """HTTP, right and wrong: no answer but those that are documented, and one to each request that is right."""

    async def attempt(number: int) -> str | None:
        sent = talk(Random(f"{seed} request {number}"))
        answers = await answers_to(fuzzed, sent)
        problem = next(filter(None, map(wrong, answers)), None)
        if problem is None and sent.whole and len(answers) != sent.answers:
            problem = f"{len(answers)} answers, not {sent.answers}"
        return problem and f"{problem}, to {sent.payload[:300]!r}"

    print(f"--fuzz-seed {seed}")
    await try_all(fuzzed, count, attempt)


async def populate(server: Server) -> list[str]:
    """Make a flow that ran, and return the ids that name something."""
    tenant = await server.mutate("create_tenant", name="Invented", slug=f"invented-{uuid4().hex}")
    project = await server.mutate("create_project", tenant_id=tenant["id"], name=uuid4().hex)
    tasks = [{"slug": f"t-{n}", "name": f"t{n}", "type": "prefect.tasks.core.function.FunctionTask"} for n in range(3)]
    edges = [{"upstream_task": "t-0", "downstream_task": "t-1"}]
    flow = await server.mutate(
        "create_flow", project_id=project["id"], serialized_flow={"name": "f", "tasks": tasks, "edges": edges}
    )
    runs = [await server.mutate("create_flow_run", flow_id=flow["id"]) for _ in range(3)]
    for run in runs[1:]:
        for state in ("Submitted", "Running"):
            await server.mutate(
                "set_flow_run_states",
                states=[{"flow_run_id": run["id"], "state": {"type": state}}],
                select="states { id }",
            )
    await server.mutate(
        "write_run_logs", select="success", logs=[{"flow_run_id": runs[1]["id"], "message": "m", "level": "INFO"}]
    )
    task_runs = await server.rows("SELECT id::text FROM task_run LIMIT 5")
    made = [tenant, project, flow, *runs, *task_runs]
    return [*(each["id"] for each in made), NOBODY]


@pytest.fixture
async def schema(fuzzed: Server) -> GraphQLSchema:
    """The schema that the server shows."""
    return build_client_schema(await fuzzed.query(get_introspection_query()))


def invented(schema: GraphQLSchema, random: Random, ids: list[str]) -> Operation:
    """Write a document: valid, nearly valid, or hostile."""
    choice = random.random()
    if choice < 0.05:
        return random.choice(HOSTILE)(random)
    operation = Author(schema, random, ids).valid()
    return operation if choice < 0.6 else mutated(operation, random)


async def test_invented_documents(fuzzed: Server, schema: GraphQLSchema, count: int, seed: str) -> None:
    """Documents for the schema as it is shown: valid ones, nearly valid ones, hostile ones."""
    ids = await populate(fuzzed)

    async def attempt(number: int) -> str | None:
        operation = invented(schema, Random(f"{seed} document {number}"), ids)
        response = await fuzzed.http.post(
            "/", content=operation.body(), headers={"Content-Type": "application/json"}, timeout=None
        )
        problem = wrong(
            Answer(status=response.status_code, media=response.headers.get("content-type", ""), body=response.content)
        )
        return problem and f"{problem}, to {operation.query[:2000]!r} with {str(operation.variables)[:500]}"

    print(f"--fuzz-seed {seed}")
    await try_all(fuzzed, count, attempt)
