"""The gateway's figures: how calls of upstreams end, what waits, which plans are recalled."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from server_core.config import GatewaySettings
from server_core.documents.measured import PlanCollector
from server_core.documents.memory import Stats
from server_core.errors import Overloaded, ServerError, Unavailable
from server_core.wire import GraphQLRequest, GraphQLResponse
from services.gateway.admission import Admission
from services.gateway.measured import UpstreamMetrics, WaitingCollector
from services.gateway.stitch import Owner
from services.gateway.upstream import AnswerLost
from tests.support.gateway import data_service
from tests.support.upstreams import Overridden


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (GraphQLResponse(body=b'{"data":{}}'), "ok"),
        (GraphQLResponse(body=b'{"errors":[],"data":null}'), "errors"),
        (GraphQLResponse(body=b'{"errors":[]}', status=400), "refused"),
        (GraphQLResponse(body=b'{"errors":[{"extensions":{"code":"API_ERROR"}}]}', status=503), "turned away"),
        (Unavailable("gone"), "away"),
        (Overloaded("busy"), "turned away"),
        (AnswerLost("lost"), "failed"),
        (RuntimeError("defect"), "failed"),
    ],
)
async def test_how_a_call_ends(answer: GraphQLResponse | Exception, outcome: str) -> None:
    def respond(_: GraphQLRequest) -> GraphQLResponse:
        if isinstance(answer, Exception):
            raise answer
        return answer

    registry = CollectorRegistry()
    admission = Admission(GatewaySettings(), UpstreamMetrics(registry))
    request = GraphQLRequest(query="{ flow { id } }", read_only=True)
    try:
        await admission.execute(Overridden(data_service(), respond), Owner.DATA, request, headers={})
    except (ServerError, RuntimeError):
        pass
    name = "prefect_server_upstream_duration_seconds_count"
    assert f'{name}{{outcome="{outcome}",upstream="data"}} 1.0' in generate_latest(registry).decode()


def test_what_waits_and_what_is_remembered() -> None:
    registry = CollectorRegistry()
    WaitingCollector(registry, waiting=lambda owner: 3 if owner is Owner.DATA else 0)
    PlanCollector(registry, service="gateway", plans=lambda: (Stats(hits=5, misses=2, unfit=1), 7))
    PlanCollector(registry, service="data", plans=lambda: None)
    shown = generate_latest(registry).decode()
    assert 'prefect_server_waiting_queries{upstream="data"} 3.0' in shown
    assert 'prefect_server_gateway_plans_total{outcome="hit"} 5.0' in shown
    assert 'prefect_server_gateway_plans_total{outcome="unfit"} 1.0' in shown
    assert "prefect_server_gateway_plans_kept 7.0" in shown
    assert 'prefect_server_data_plans_total{outcome="miss"} 0.0' in shown
