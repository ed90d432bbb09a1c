"""services.graphql.compiled: an operation answered by its plan is answered as graphql-core answers it, byte for byte.

The schema is the action service's own, but its resolvers only note what they were given; what they answer depends on
that: a payload, one that does not fit its type, nothing, or an error of any kind.
"""

import asyncio
import json
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from inspect import signature
from random import Random
from types import ModuleType
from typing import Any, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import pytest
import strawberry
from graphql import GraphQLError, GraphQLSchema
from prometheus_client import CollectorRegistry

from server_core.errors import InvalidInput, NotFound, OutcomeUnknown, Unavailable, VersionLocked
from server_core.wire import GraphQLRequest
from services.graphql.context import RequestContext
from services.graphql.measured import MutationFigures
from services.graphql.operations import Operations
from services.graphql.scalars import JSON
from services.graphql.schema import NOUNS, build_schema
from tests.support.fuzzing.documents import Author, Operation, mutated
from tests.support.fuzzing.spelling import respelled

CASES = int(os.environ.get("COMPILED_CASES", "80"))
SEED = int(os.environ.get("COMPILED_SEED", "20260101"))

ERRORS = (
    InvalidInput("A value is odd."),
    NotFound("It is not there."),
    VersionLocked("It has moved on."),
    Unavailable("Try again."),
    OutcomeUnknown(),
    RecursionError("deep"),
    ValueError("a defect"),
    GraphQLError("graphql"),
    GraphQLError("wrapped", original_error=NotFound("It is not there.")),
)


@dataclass
class Recorder:
    """Stands for the request's context; notes what resolvers are given."""

    calls: list[str] = field(default_factory=list)


def recording_schema() -> GraphQLSchema:
    """Return the schema of the action service with resolvers that note and invent."""
    nouns = []
    for noun in NOUNS:
        made = ModuleType(noun.__name__)
        made.TYPES = getattr(noun, "TYPES", ())  # type: ignore[attr-defined]
        for root in ("Query", "Mutation"):
            if hasattr(noun, root):
                setattr(made, root, _recording(getattr(noun, root)))
        nouns.append(made)
    return build_schema(tuple(nouns))._schema


def _recording(root: type) -> type:
    namespace: dict[str, Any] = {}
    for each in cast(Any, root).__strawberry_definition__.fields:
        namespace[each.python_name] = strawberry.field(_resolver(each.base_resolver.wrapped_func))
    return strawberry.type(type(root.__name__, (), namespace))


def _resolver(real: Any) -> Any:
    payload = get_type_hints(real)["return"]

    async def resolve(self: None, *given: Any, **arguments: Any) -> Any:
        assert self is None
        assert not given
        info = arguments.pop("info", None)
        call = f"{real.__name__} {arguments!r}"
        if info is not None:
            info.context.calls.append(call)
        return _invented(payload, Random(zlib.crc32(call.encode("utf-8", "surrogatepass"))))

    resolve.__name__ = real.__name__
    resolve.__annotations__ = get_type_hints(real)
    resolve.__signature__ = signature(real)  # type: ignore[attr-defined]
    return resolve


def _invented(type_: Any, random: Random) -> Any:
    luck = random.random()
    if luck < 0.1:
        raise random.choice(ERRORS)
    if luck < 0.15:
        return None
    if luck < 0.17:
        return random.choice([ERRORS[0], 1.5, "odd", []])
    return _value(next(each for each in get_args(type_) if each is not type(None)), random)


def _value(type_: Any, random: Random) -> Any:
    """Return a value for a type; now and then one that does not fit."""
    if get_origin(type_) is list:
        return [_value(get_args(type_)[0], random) for _ in range(random.choice([0, 1, 3]))]
    if len(get_args(type_)) == 2 and type(None) in get_args(type_):
        return None if random.random() < 0.1 else _value(get_args(type_)[0], random)
    if random.random() < 0.02:
        return random.choice([Random, 2**40, [], {}, "\ud800", float("nan"), 2**70, ERRORS[0]][type_ is JSON :])
    if hasattr(type_, "__strawberry_definition__"):
        hints = get_type_hints(type_)
        return type_(**{each.name: _value(hints[each.name], random) for each in fields(type_)})
    known = {
        UUID: UUID(int=random.getrandbits(128)),
        str: random.choice(["", "é", "a\nb", "\u2028"]),
        int: random.choice([0, -1, 2**31 - 1]),
        bool: random.random() < 0.5,
        datetime: datetime(2026, 1, 2, microsecond=random.choice([0, 1]), tzinfo=UTC),
    }
    return known.get(type_, {"json": [1, 2.5, None, {"a": "b"}]})


SCHEMA = recording_schema()


def answers(operations: Operations, operation: Operation) -> tuple[int, str, list[str]]:
    """Return status, body and calls; the ids of masked errors are taken out."""
    recorder = Recorder()
    request = GraphQLRequest(
        query=operation.query, variables=operation.variables, operation_name=operation.name or None
    )
    answer = asyncio.run(operations.answer(request, cast(RequestContext, recorder)))
    text = answer.body.decode("utf-8", "surrogatepass")
    return answer.status, re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)\.", "ID).", text), recorder.calls


def cases(number: int) -> Iterator[Operation]:
    """Invent operations, each followed by others of its shape, and by a damaged one."""
    for at in range(number):
        random = Random(f"{SEED} {at}")
        operation = Author(
            SCHEMA, random, [str(UUID(int=random.getrandbits(128))) for _ in range(2)], mutations=85
        ).valid()
        yield operation
        yield operation
        for _ in range(2):
            yield Operation(
                query=respelled(operation.query, random), variables=operation.variables, name=operation.name
            )
        if random.random() < 0.5:
            yield mutated(operation, random)


def test_a_plan_answers_as_graphql_core_does() -> None:
    """Cached equals uncached: what resolvers are given, what is answered, and errors (actions.md §0.2, §0.3)."""
    planning, plain = Operations(SCHEMA), Operations(SCHEMA, plan_cache=False)
    ran = 0
    for operation in cases(CASES):
        planned = planning.documents.planned(operation.query)
        ran += planned is not None
        assert answers(planning, operation) == answers(plain, operation), f"seed {SEED}: {operation}"
    assert ran > CASES, "hardly anything was answered by a plan"
    assert planning.documents.stats.hits > CASES
    assert plain.documents.stats.hits == len(plain.documents) == 0


STATE = {"type": "Running", "message": None, "context": {"a": [1]}}
U = "11111111-1111-4111-8111-111111111111"
CLIENT = [
    ('mutation { update_flow_run_heartbeat(input: { flow_run_id: "%s" }) { success } }', None),
    ('mutation { update_task_run_heartbeat(input: { task_run_id: "%s" }) { success } }', None),
    (
        'mutation { get_or_create_task_run_info(input: { flow_run_id: "%s", task_id: "%s", map_index: -1 })'
        " { id version serialized_state } }",
        None,
    ),
    (
        "mutation($input: set_task_run_states_input!) { set_task_run_states(input: $input)"
        " { states { id status message } } }",
        {"input": {"states": [{"task_run_id": U, "version": None, "state": STATE}] * 3}},
    ),
    (
        "mutation($input: set_flow_run_states_input!) { set_flow_run_states(input: $input)"
        " { states { id status message } } }",
        {"input": {"states": [{"flow_run_id": U, "version": 3, "state": STATE}]}},
    ),
    (
        "mutation($input: write_run_logs_input!) { write_run_logs(input: $input) { success } }",
        {
            "input": {
                "logs": [
                    {"flow_run_id": U, "timestamp": "2026-01-02T03:04:05Z", "level": "INFO", "info": {"a": 1}},
                    {"flow_run_id": U, "task_run_id": U, "message": "x", "name": "n"},
                ]
            }
        },
    ),
    (
        "mutation($input: get_runs_in_queue_input!) { get_runs_in_queue(input: $input) { flow_run_ids } }",
        {"input": {"tenant_id": U, "before": "2026-01-02T03:04:05+01:00", "labels": ["a"]}},
    ),
    (
        "mutation($input: create_flow_run_input!) { create_flow_run(input: $input) { id } }",
        {"input": {"flow_id": U, "idempotency_key": "k", "labels": None, "parameters": {"x": 1}}},
    ),
    ('query { get_task_run_info(task_run_id: "%s") { serialized_state } }', None),
    (
        'mutation($l: [String!]) { a: set_flow_group_labels(input: { flow_group_id: "%s", labels: $l }) { success } }',
        {},
    ),
    (
        'mutation { a: archive_flow(input: {flow_id: "%s"}) { success } b: archive_flow(input: {flow_id: "%s"})'
        " { __typename success } }",
        None,
    ),
]
"""What the 1.x client and the UI send most (client-operations.md §2, §4), with `%s` for ids."""


@pytest.mark.parametrize(("text", "variables"), CLIENT, ids=[text.split("(")[0][:40] for text, _ in CLIENT])
def test_what_clients_send_most_is_answered_by_plans(text: str, variables: dict[str, Any] | None) -> None:
    """The plan is made once, for every id, and resolvers are given the same."""
    planning, plain = Operations(SCHEMA), Operations(SCHEMA, plan_cache=False)
    for at in range(20):
        ids = (str(UUID(int=at << 64 | each)) for each in range(text.count("%s")))
        operation = Operation(query=text % tuple(ids), variables=variables or {})
        assert answers(planning, operation) == answers(plain, operation)
        assert planning.documents.planned(operation.query) is not None
    assert len(planning.documents) == 1


WRONG: list[Any] = [
    {},
    {"input": None},
    {"input": []},
    {"input": {}},
    {"input": {"states": None}},
    {"input": {"states": [None]}},
    {"input": {"states": "x"}},
    {"input": {"states": []}},
    {"input": {"states": {"task_run_id": U, "state": None}}},
    {"input": {"states": {"task_run_id": U, "state": 1}}},
    {"input": {"states": [{"task_run_id": U}]}},
    {"input": {"states": [{"task_run_id": "x", "state": {}}]}},
    {"input": {"states": [{"task_run_id": 1, "state": {}}]}},
    {"input": {"states": [{"task_run_id": U, "state": {}, "version": 2**31}]}},
    {"input": {"states": [{"task_run_id": U, "state": {}, "version": 1.0}]}},
    {"input": {"states": [{"task_run_id": U, "state": {}, "version": True}]}},
    {"input": {"states": [{"task_run_id": U, "state": {}, "more": 1}]}},
    {"input": {"states": [{"task_run_id": U.replace("-", ""), "state": {}}]}, "more": 1},
]


@pytest.mark.parametrize("variables", WRONG, ids=json.dumps)
def test_wrong_values_of_a_planned_operation(variables: dict[str, Any]) -> None:
    """Refused, or read, as without a plan (actions.md §0.2, §0.3)."""
    planning, plain = Operations(SCHEMA), Operations(SCHEMA, plan_cache=False)
    text, right = CLIENT[3]
    answers(planning, Operation(query=text, variables=right or {}))
    assert planning.documents.planned(text) is not None
    operation = Operation(query=text, variables=variables)
    assert answers(planning, operation) == answers(plain, operation)


HOOK = 'create_cloud_hook(input: {tenant_id: "%s", type: WEBHOOK, states: [%s], name: %s}) { id }'
VARIABLES = [
    ("mutation($n: String) { " + HOOK % (U, "", "$n") + " }", "n", "text"),
    ('mutation($n: String = "preset") { ' + HOOK % (U, "", "$n") + " }", "n", "text"),
    ("mutation($s: String!) { " + HOOK % (U, '"a", $s', "null") + " }", "s", "RUNNING"),
    ('mutation($s: String! = "preset") { ' + HOOK % (U, "$s", '"""block"""') + " }", "s", "RUNNING"),
    (f'mutation($id: UUID = "{U}") {{ archive_flow(input: {{flow_id: $id}}) {{ success }} }}', "id", U.upper()),
    (f'mutation($in: archive_flow_input = {{flow_id: "{U}"}}) {{ archive_flow(input: $in) {{ success }} }}', "in", U),
    ("mutation($in: archive_flow_input!) { archive_flow(input: $in) { success } }", "in", {"flow_id": U}),
    (
        "mutation($c: cloud_hook_type!) { create_cloud_hook(input:"
        f' {{tenant_id: "{U}", type: $c, states: []}}) {{ id }} }}',
        "c",
        "TWILIO",
    ),
]


@pytest.mark.parametrize(("text", "name", "value"), VARIABLES, ids=[text[:40] for text, _, _ in VARIABLES])
def test_variables_that_are_given_or_null_or_left_out(text: str, name: str, value: object) -> None:
    """A default, a null and nothing are three things, wherever in an argument the variable stands."""
    planning, plain = Operations(SCHEMA), Operations(SCHEMA, plan_cache=False)
    cases: list[dict[str, object]] = [{name: value}, {name: None}, {}, {name: [value]}, {name: 1.5}, {name: {}}]
    for variables in cases:
        operation = Operation(query=text, variables=variables)
        assert answers(planning, operation) == answers(plain, operation), variables
    assert planning.documents.planned(text) is not None


@pytest.mark.parametrize("plan_cache", [True, False])
def test_mutations_are_measured_once(plan_cache: bool) -> None:
    """By field and outcome, whichever way they are answered."""
    registry = CollectorRegistry()
    operations = Operations(recording_schema(), plan_cache=plan_cache, figures=MutationFigures(registry))
    outcomes = 0
    for at in range(60):
        operation = Operation(query=CLIENT[0][0] % UUID(int=at))
        _, body, _ = answers(operations, operation)
        outcomes += '"code":"NOT_FOUND"' in body
    name = "prefect_server_mutation_duration_seconds_count"
    figures = {
        sample.labels["outcome"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == name
    }
    assert sum(figures.values()) == 60
    assert figures.get("NOT_FOUND", 0) == outcomes > 0
