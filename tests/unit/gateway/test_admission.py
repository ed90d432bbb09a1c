"""Which operations go on to an upstream while its queries fill all places (demands.md row 16)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from server_core.config import GatewaySettings
from server_core.errors import Overloaded
from server_core.spool import Spool
from server_core.wire import GraphQLRequest, GraphQLResponse
from services.gateway.admission import Admission
from services.gateway.measured import UpstreamMetrics
from services.gateway.stitch import Owner
from tests.support.gateway import actions_service
from tests.support.upstreams import Overridden

QUERY = GraphQLRequest(query="{ hello }", read_only=True)
MUTATION = GraphQLRequest(query="mutation { hello }")


@dataclass(kw_only=True)
class Stuck(Overridden):
    """An upstream whose queries are answered when the test says so, and its mutations at once."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        super().__init__(actions_service(), lambda _: GraphQLResponse(body=b'{"data":{}}'))

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        """Answer, a query when it may go."""
        if request.read_only:
            self.asked.set()
            await self.go.wait()
        return await super().execute(request)


@pytest.mark.parametrize("owner", [Owner.DATA, Owner.ACTIONS])
async def test_mutations_never_wait_behind_queries_of_the_same_upstream(owner: Owner) -> None:
    settings = GatewaySettings(reads_at_once=1, reads_waiting=0)
    admission = Admission(settings, UpstreamMetrics(CollectorRegistry()))
    service = Stuck()
    reading = asyncio.create_task(admission.execute(service, owner, QUERY, headers={}))
    await service.asked.wait()
    with pytest.raises(Overloaded):
        await admission.execute(service, owner, QUERY, headers={})
    assert (await admission.execute(service, owner, MUTATION, headers={})).status == 200
    assert not reading.done()
    service.go.set()
    assert (await reading).status == 200


@pytest.mark.parametrize(
    ("ending", "outcome"), [(Spool.end, "ok"), (lambda chunks: chunks.fail(ZeroDivisionError()), "failed")]
)
async def test_a_long_answer_keeps_its_place_while_it_comes(ending: Callable[[Spool], None], outcome: str) -> None:
    """And not for as long as its client reads; how long it took is known when it is over."""
    registry = CollectorRegistry()
    admission = Admission(GatewaySettings(reads_at_once=1, reads_waiting=0), UpstreamMetrics(registry))
    chunks = Spool(stop=lambda: None)
    service = Overridden(actions_service(), lambda _: GraphQLResponse(body=b"", plain=True, chunks=chunks))
    response = await admission.execute(service, Owner.DATA, QUERY, headers={})
    assert response.chunks is chunks
    with pytest.raises(Overloaded):
        await admission.execute(service, Owner.DATA, QUERY, headers={})
    chunks.push(b"unread")
    counted = f'_count{{outcome="{outcome}",upstream="data"}} 1.0'
    assert counted not in generate_latest(registry).decode()
    ending(chunks)
    assert counted in generate_latest(registry).decode()
    assert (await admission.execute(service, Owner.DATA, QUERY, headers={})).chunks is chunks
