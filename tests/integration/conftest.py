"""The real client and the real server, for black-box tests.

server            the whole server on a database of its own, one per worker
start_server      makes one with further settings
client            a user's machine with prefect 1.4.1, pointed at `server`; a fresh home per test
project           a project of that server with a name of its own

The server is one process, unless `--topology` says otherwise. Tests marked `every_topology` meet it in each.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.client_environment import client_environment
from tests.support.cluster import Cluster
from tests.support.prefect_client import PrefectClient
from tests.support.whole_server import TOPOLOGIES, Server, running

NewClient = Callable[..., PrefectClient]
StartServer = Callable[..., Awaitable[Server]]


@pytest.fixture(scope="session")
def prefect_environment() -> Path:
    """Virtual environment with prefect 1.4.1."""
    return client_environment()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat a test marked `every_topology` in each of them, unless the run is for one only."""
    if metafunc.definition.get_closest_marker("every_topology") and metafunc.config.option.topology is None:
        metafunc.parametrize("topology", TOPOLOGIES, indirect=True)


@pytest.fixture
def topology(request: pytest.FixtureRequest) -> str:
    """How the server of the test is run, one of TOPOLOGIES."""
    given: str = getattr(request, "param", None) or request.config.option.topology or TOPOLOGIES[0]
    return given


@pytest.fixture(scope="session")
async def start_server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StartServer]:
    """Start servers on databases of their own by `await start_server(topology, **environ)`; once for each ask."""
    started: dict[tuple[str, ...], Server] = {}
    async with AsyncExitStack() as stack:

        async def start(topology: str, **environ: str) -> Server:
            key = (topology, *(f"{name}={environ[name]}" for name in sorted(environ)))
            if key not in started:
                url = await cluster.create(f"{cluster.run}_{uuid4().hex[:12]}", template=cluster.template)
                home = tmp_path_factory.mktemp(topology)
                started[key] = await stack.enter_async_context(running(topology, url, home, **environ))
            return started[key]

        yield start


@pytest.fixture
async def server(start_server: StartServer, topology: str) -> Server:
    """The server with its usual settings, one per worker and topology."""
    return await start_server(topology)


@pytest.fixture
def new_client(prefect_environment: Path, tmp_path_factory: pytest.TempPathFactory) -> NewClient:
    """Make a user's machine with a home of its own, pointed at a server: `new_client(server, backend=…)`."""

    def make(server: Server, **options: str | None) -> PrefectClient:
        home = tmp_path_factory.mktemp("home")
        return PrefectClient(environment=prefect_environment, home=home, endpoint=server.url, **options)

    return make


@pytest.fixture
async def client(server: Server, new_client: NewClient) -> PrefectClient:
    """A user's machine whose backend is `server`."""
    return new_client(server)


@pytest.fixture
async def project(server: Server) -> AsyncIterator[str]:
    """Name of a project of its own; deleted after the test, for the agents of other tests not to run what it left."""
    name = f"project-{uuid4().hex[:8]}"
    tenant_id = await server.value("SELECT id FROM tenant ORDER BY created LIMIT 1")
    made = await server.mutate("create_project", tenant_id=str(tenant_id), name=name)
    yield name
    await server.mutate("delete_project", project_id=made["id"], select="success")
