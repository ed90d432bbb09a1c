"""Which tables the answer to a subscription depends on."""

import pytest

from server_core.wire import GraphQLRequest
from tests.unit.data.golden import requests

FUNCTION = 'utility_downstream_tasks(args: {start_task_ids: "{}"}'


@pytest.mark.parametrize(
    ("field", "tables"),
    [
        ("flow { id }", "flow"),
        ('flow_by_pk(id: "x") { project { tenant { id } } }', "flow project tenant"),
        ("flow_aggregate { aggregate { count } }", "flow"),
        ("flow_aggregate { nodes { tasks { id } } }", "flow task"),
        ("flow { tasks_aggregate { nodes { flow { project { id } } } } }", "flow project task"),
        ("flow(where: {project: {tenant: {}}}) { id }", "flow project tenant"),
        ("flow(where: {_or: [{_not: {edges: {}}}, {_and: [{tasks: {task_runs: {}}}]}]}) { id }",
         "edge flow task task_run"),
        ("flow(order_by: {project: {tenant: {name: asc}}}) { id }", "flow project tenant"),
        ("flow(order_by: {tasks_aggregate: {count: asc}}) { id }", "flow task"),
        ("flow { edges(where: {flow: {}}, order_by: {upstream_task: {name: asc}}) { id } }", "edge flow task"),
        (f"{FUNCTION}) {{ task {{ id }} }}", "task ?"),
        (f"f: {FUNCTION}, where: {{task: {{}}}}) {{ depth }}", "task ?"),
    ],
)  # fmt: skip
def test_what_an_answer_depends_on(field: str, tables: str) -> None:
    reads = requests().prepare(GraphQLRequest(query=f"subscription {{ {field} }}")).answer.reads
    assert reads is not None
    names = sorted(table.name for table in reads.tables) + (["?"] if reads.unknown else [])
    assert names == tables.split()


def test_a_query_needs_not_to_know() -> None:
    assert requests().prepare(GraphQLRequest(query="{ flow { id } }")).answer.reads is None
