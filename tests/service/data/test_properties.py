"""What the engine answers is what a plain evaluation of the same document over the same rows gives.

The examples are the same in every run. A failure prints the document, the variables and the rows. It is not shrunk, for
that takes minutes: add Phase.shrink to see a smaller one.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from server_core.wire import GraphQLRequest
from services.data.app import DataService
from tests.service.data.properties.documents import Writer, roots
from tests.service.data.properties.evaluate import answer
from tests.service.data.properties.world import make_world, metadata, statements
from tests.support.cluster import Cluster, connected
from tests.support.settings import server_settings

WORLDS = [make_world(seed) for seed in range(16)]


@pytest.fixture(scope="session")
async def worlds(
    cluster: Cluster, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[DataService]:
    """The data API over all worlds, each in a schema of its own."""
    worker = getattr(pytestconfig, "workerinput", {}).get("workerid", "main")
    name = f"{cluster.run}_worlds_{worker}"
    dsn = await cluster.create(name)
    async with connected(dsn) as connection:
        for world in WORLDS:
            for text, rows in statements(world):
                await (connection.executemany(text, rows) if rows else connection.execute(text))
    file: Path = tmp_path_factory.mktemp("worlds") / "metadata.yaml"
    tables = [entry for world in WORLDS for entry in metadata(world)]
    shown = yaml.safe_dump({"version": 3, "sources": [{"name": "default", "tables": tables}]})
    await asyncio.to_thread(file.write_text, shown)
    service = DataService(server_settings(), dsn, file)
    await service.start()
    yield service
    await service.stop()
    await cluster.drop(name)


def ordered(body: str | bytes) -> str:
    """Return an answer so that the order of its keys counts, but not whether Postgres writes 1 or 1.0."""
    return json.dumps(json.loads(body, parse_int=float))


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data(), world=st.sampled_from(WORLDS))
async def test_answers_are_those_of_a_plain_evaluation(worlds: DataService, data: Any, world: Any) -> None:
    def draw(strategy: st.SearchStrategy[Any]) -> Any:
        return data.conjecture_data.draw(strategy)

    asked = roots(draw, world)
    writer = Writer(draw, world)
    query = writer.document(asked)
    note(query)
    note(str(writer.variables))
    note(str({name: table.rows for name, table in world.tables.items()}))
    response = await worlds.execute(GraphQLRequest(query=query, variables=writer.variables))
    assert json.loads(response.body) == {"data": answer(world, asked)}
    assert ordered(response.body) == ordered(json.dumps({"data": answer(world, asked)}))
