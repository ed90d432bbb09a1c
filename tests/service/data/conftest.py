"""The data API on a real Postgres that holds the rows of world.sql.

world_url   DSN of that database; tests only read it
service     the data API over it, started, as a client without HTTP sees it
writing     the data API with mutations over a clean database
generated   whether this Postgres has generated columns
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.data.app import METADATA, DataService
from tests.service.data.writing import Writing, writing_on
from tests.support.cluster import Cluster, connected
from tests.support.settings import server_settings

WORLD = Path(__file__).with_name("world.sql")


@pytest.fixture(scope="session")
async def world_url(cluster: Cluster, pytestconfig: pytest.Config) -> AsyncIterator[str]:
    """A database with the rows that the cases ask about."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_world_{worker}"
    dsn = await cluster.create(name, template=cluster.template)
    async with connected(dsn) as connection:
        await connection.execute(await asyncio.to_thread(WORLD.read_text))
        # Answers without an order are compared as the rows lie, whatever indexes there are.
        for access in ("indexscan", "indexonlyscan", "bitmapscan"):
            await connection.execute(f"ALTER DATABASE {name} SET enable_{access} = off")
    yield dsn
    await cluster.drop(name)


@pytest.fixture(scope="session")
async def service(world_url: str) -> AsyncIterator[DataService]:
    """The data API over the world."""
    service = DataService(server_settings(), world_url, METADATA)
    await service.start()
    yield service
    await service.stop()


@pytest.fixture(scope="session")
async def generated(cluster: Cluster) -> bool:
    """Whether this Postgres has generated columns, as it does from 12 on; see run_script."""
    async with connected(cluster.dsn) as connection:
        return connection.get_server_version().major >= 12


@pytest.fixture
async def writing(database_url: str) -> AsyncIterator[Writing]:
    """The data API with mutations over a clean database."""
    async with writing_on(database_url) as started:
        yield started
