"""What the data API remembers of documents is shown in its metrics, and a setting turns it off."""

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from server_core.wire import GraphQLRequest
from services.data.app import METADATA, DataService
from tests.support.settings import data_settings, server_settings


@pytest.mark.parametrize(
    ("plan_cache", "figures"),
    [
        (True, {"hit": 2, "miss": 3, "unfit": 1, "kept": 2}),
        (False, {"hit": 0, "miss": 6, "unfit": 0, "kept": 0}),
    ],
)
async def test_look_ups_are_counted(world_url: str, plan_cache: bool, figures: dict[str, int]) -> None:
    registry = CollectorRegistry()
    settings = server_settings(data=data_settings(plan_cache=plan_cache, pool_size=1))
    service = DataService(settings, world_url, METADATA, registry=registry)
    await service.start()
    answers = [
        json.loads((await service.execute(GraphQLRequest(query=query, variables={"n": 0}))).body)
        for query in (
            "{ flow(limit: 0) { id } }",
            "{ flow(limit: 00) { id } }",
            "query ($n: Int) { flow(limit: $n) { id } }",
            "query ($n: Int) { flow(limit: $n) { id } }",
            "{ flow(limit: -0) { id } }",
            "{ flow(limit: 2147483648) { id } }",
        )
    ]
    shown = generate_latest(registry).decode()
    await service.stop()
    assert [answer == {"data": {"flow": []}} for answer in answers] == [True, False, True, True, True, False]
    for outcome in ("hit", "miss", "unfit"):
        assert f'prefect_server_data_plans_total{{outcome="{outcome}"}} {figures[outcome]}.0' in shown
    assert f"prefect_server_data_plans_kept {figures['kept']}.0" in shown
