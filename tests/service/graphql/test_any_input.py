"""Whatever a client sends, it is told what is wrong with it: never a masked error, never one that makes it send again,
never a 5xx (actions.md §0.3). Inputs that work, each broken at one place.
"""

import json
import random
from collections.abc import Iterator
from typing import Any

import httpx

from server_core.db.session import Database
from tests.service.graphql.conftest import PATH
from tests.service.graphql.mutations import CASES, document_of, named, one_of_each

ODD: list[Any] = [
    None,
    "",
    "\0",
    "\ud800",
    "x" * 300_000,
    "é" * 300,
    "NaN",
    "{}",
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "00000000-0000-0000-0000-000000000000",
    0,
    -1,
    2**31 - 1,
    2**31,
    2**63,
    10**400,
    1e308,
    -0.5,
    True,
    [],
    [[]],
    [None],
    ["\0"],
    [1, "x"],
    {},
    {"": None},
    {"a": "\0"},
    {"\ud800": 1},
    {"a": {"b": [1, None, {"c": "\ud800"}]}},
    json.loads("[" * 300 + "]" * 300),
]
CLOCK = {"type": "IntervalClock", "interval": 3_600_000_000, "start_date": {"dt": "2020-01-01T00:00:00", "tz": "UTC"}}
RULE = {"type": "rrule", "rr": "RRULE:FREQ=DAILY;COUNT=3", "_dtstart": "2020-01-01T00:00:00", "_until": None}
FULL_FLOW = {
    "name": "f",
    "__version__": "1.4.1",
    "tasks": [
        {
            "slug": "a",
            "id": "9f2c7c1e-54b4-4c4b-8a55-8c0a7d5a0b2f",
            "tags": ["x"],
            "retry_delay": "0:01",
            "max_retries": 1,
        },
        {"slug": "b"},
    ],
    "edges": [{"upstream_task": {"slug": "a"}, "downstream_task": {"slug": "b"}, "key": "k", "mapped": False}],
    "parameters": [{"name": "p", "slug": "p", "required": False, "default": 1}],
    "run_config": {"type": "LocalRun", "labels": ["x"]},
    "environment": {"labels": ["x"]},
    "storage": {"type": "Local"},
    "reference_tasks": ["a"],
    "schedule": {
        "clocks": [
            {**CLOCK, "parameter_defaults": {"p": 1}, "labels": ["x"]},
            {"type": "CronClock", "cron": "0 * * * *", "start_date": None, "day_or": True},
            {"type": "DatesClock", "dates": [{"dt": "2099-01-01T00:00:00", "tz": "Europe/Berlin"}]},
            {"type": "RRuleClock", "rrule_obj": RULE},
        ],
        "filters": [
            {
                "fn": "prefect.schedules.filters.between_times",
                "kwargs": {"start": "//time:09:00", "end": "//time:17:00"},
            }
        ],
        "adjustments": [{"fn": "prefect.schedules.adjustments.add", "kwargs": {"interval": "//timedelta:60"}}],
    },
}
FULL_STATE = {
    "type": "Retrying",
    "message": "m",
    "start_time": "2022-01-01T00:00:00+00:00",
    "run_count": 2,
    "context": {"tags": ["x"]},
    "cached_inputs": {"x": {"type": "LocalResult", "location": "/x", "dir": "/"}},
    "_result": {"type": "S3Result", "location": "x", "bucket": "b"},
}
META_STATE = {"type": "Queued", "start_time": "2022-01-01T00:00:00", "state": FULL_STATE}
CACHED = {
    "type": "Cached",
    "cached_parameters": {},
    "cached_result_expiration": "2022-01-01T00:00:00",
    "hashed_inputs": {"x": "y"},
}
FULL: list[tuple[str, dict[str, Any]]] = [
    (
        "create_flow",
        {
            "project_id": "PROJECT",
            "serialized_flow": FULL_FLOW,
            "idempotency_key": "k",
            "version_group_id": "v",
            "description": "d",
        },
    ),
    ("register_tasks", {"flow_id": "FLOW", "serialized_tasks": FULL_FLOW["tasks"]}),
    ("set_flow_run_states", {"states": [{"flow_run_id": "RUN", "version": 1, "state": META_STATE}]}),
    (
        "set_task_run_states",
        {"states": [{"task_run_id": "TASK RUN", "version": 1, "flow_run_version": 1, "state": FULL_STATE}]},
    ),
    ("set_task_run_states", {"states": [{"task_run_id": "TASK RUN", "state": CACHED}]}),
    (
        "write_run_logs",
        {
            "logs": [
                {
                    "flow_run_id": "RUN",
                    "task_run_id": "TASK RUN",
                    "message": "m",
                    "name": "n",
                    "level": "INFO",
                    "info": {"a": 1},
                    "timestamp": "2022-01-01T00:00:00",
                }
            ]
        },
    ),
    (
        "set_flow_group_schedule",
        {
            "flow_group_id": "GROUP",
            "timezone": "Europe/Berlin",
            "cron_clocks": [{"cron": "0 * * * *", "parameter_defaults": {"a": 1}}],
            "interval_clocks": [{"interval": 60, "parameter_defaults": {"a": 1}}],
        },
    ),
    (
        "create_cloud_hook",
        {
            "tenant_id": "TENANT",
            "type": "WEBHOOK",
            "states": ["Failed"],
            "name": "n",
            "version_group_id": "v",
            "config": {"url": "http://x.example"},
        },
    ),
    (
        "create_cloud_hook",
        {
            "tenant_id": "TENANT",
            "type": "TWILIO",
            "states": ["Failed"],
            "config": {"account_sid": "a", "auth_token": "b", "messaging_service_sid": "c", "to": ["1"]},
        },
    ),
    ("test_cloud_hook", {"cloud_hook_id": "HOOK", "flow_run_id": "RUN", "state_type": "FAILED"}),
    (
        "create_flow_run",
        {
            "flow_id": "FLOW",
            "parameters": {"p": 1},
            "labels": ["x"],
            "run_config": {"labels": ["x"]},
            "context": {"a": 1},
            "scheduled_start_time": "2022-01-01T00:00:00",
            "idempotency_key": "k",
            "flow_run_name": "n",
        },
    ),
    (
        "register_agent",
        {"tenant_id": "TENANT", "type": "LocalAgent", "labels": ["x"], "name": "n", "agent_config_id": "CONFIG"},
    ),
    ("create_agent_config", {"tenant_id": "TENANT", "name": "n", "settings": {"a": 1}}),
    (
        "create_task_run_artifact",
        {"task_run_id": "TASK RUN", "kind": "link", "data": {"link": "x"}, "tenant_id": "TENANT"},
    ),
    ("update_tenant_settings", {"tenant_id": "TENANT", "settings": {"a": {"b": 1}}}),
]

SHARE = 400
MASKED_OR_REPEATED = {"INTERNAL_SERVER_ERROR", "API_ERROR", "OUTCOME_UNKNOWN"}


def broken(value: Any, odd: Any) -> Iterator[Any]:
    """Yield the value with one place after the other replaced by the odd one."""
    yield odd
    if isinstance(value, dict):
        for key, member in value.items():
            yield from ({**value, key: each} for each in broken(member, odd))
        yield {**value, "odd": odd}
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from ([*value[:number], each, *value[number + 1 :]] for each in broken(member, odd))
        yield [*value, odd]


def all_broken() -> list[tuple[str, Any]]:
    return [
        (field, each)
        for field, input in [*((field, input) for field, input, _ in CASES), *FULL]
        for odd in ODD
        for each in broken(input, odd)
    ]


async def test_one_odd_value(http: httpx.AsyncClient, database: Database) -> None:
    """A random share of some 20 000 inputs, each with one odd value in it."""
    seed = random.randrange(10**6)
    print("seed:", seed)
    for number, (field, input) in enumerate(random.Random(seed).sample(all_broken(), SHARE)):
        if number % 100 == 0:  # what worked may have deleted them
            ids = await one_of_each(database)
        body = json.dumps({"query": document_of(field), "variables": {"input": named(input, ids)}})
        response = await http.post(PATH, content=body, headers={"x-prefect-agent-id": str(ids["AGENT"])})
        case = f"{field}({json.dumps(input)[:300]}) -> {response.text[:500]}"
        assert response.status_code in (200, 400), case
        for entry in response.json().get("errors", []):
            assert entry.get("extensions", {}).get("code") not in MASKED_OR_REPEATED, case
