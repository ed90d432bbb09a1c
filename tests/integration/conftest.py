"""The real client and the real server, for black-box tests.

server            `prefect-server start`, one per worker, on a database of its own
four_processes    the same as four processes, one per worker
client            a user's machine with prefect 1.4.1, pointed at `server`; a fresh home per test
project           a project of that server with a name of its own
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support import whole_server
from tests.support.client_environment import client_environment
from tests.support.cluster import Cluster
from tests.support.prefect_client import PrefectClient
from tests.support.whole_server import Server

NewClient = Callable[..., PrefectClient]


@pytest.fixture(scope="session")
def prefect_environment() -> Path:
    """Virtual environment with prefect 1.4.1."""
    return client_environment()


@pytest.fixture(scope="session")
async def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """The whole server in one process, started with `prefect-server start`."""
    database_url = await cluster.create(f"{cluster.run}_{uuid4().hex[:12]}", template=cluster.template)
    async with whole_server.one_process(database_url, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="session")
async def four_processes(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """The server as four processes, started with `prefect-server services …`."""
    database_url = await cluster.create(f"{cluster.run}_{uuid4().hex[:12]}", template=cluster.template)
    async with whole_server.four_processes(database_url, tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture(params=["server", "four_processes"])
def served(request: pytest.FixtureRequest) -> Server:
    """The server, run both ways."""
    running: Server = request.getfixturevalue(request.param)
    return running


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
