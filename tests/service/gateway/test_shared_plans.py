"""Documents that share a plan are planned and refused as if each were planned alone (data-api.md §3.2, §3.3).

No database is needed: it is here for its length, some seconds of invented documents.
"""

import json
from random import Random
from typing import Any

import pytest
from graphql import GraphQLError, parse, print_ast, validate

from server_core.documents.check import MOST_PROBLEMS
from services.gateway.document import Documents, _fragments, _selected, exceeding
from services.gateway.refusal import PARSE_FAILED, VALIDATION_FAILED, Refusal
from services.gateway.split import place, root_fields, split
from tests.support.documents import Sketch, sketch
from tests.support.upstreams import stitched

DATA = """
schema { query: query_root mutation: mutation_root }
scalar uuid
scalar timestamptz
scalar jsonb
enum order_by { asc desc }
input flow_order_by { name: order_by version: order_by }
input Int_comparison_exp { _eq: Int _in: [Int!] _is_null: Boolean }
input String_comparison_exp { _eq: String _in: [String!] _like: String }
input uuid_comparison_exp { _eq: uuid _in: [uuid!] }
input jsonb_comparison_exp { _contains: jsonb _has_keys_any: [String!] }
input flow_bool_exp {
  _and: [flow_bool_exp!] _not: flow_bool_exp id: uuid_comparison_exp name: String_comparison_exp
  version: Int_comparison_exp settings: jsonb_comparison_exp
}
type flow {
  id: uuid! name: String version: Int settings(path: String): jsonb
  runs(where: flow_bool_exp, limit: Int, order_by: [flow_order_by!]): [flow!]!
}
type changed { affected_rows: Int! }
type query_root {
  flow(where: flow_bool_exp, limit: Int, offset: Int, order_by: [flow_order_by!]): [flow!]!
  flow_by_pk(id: uuid!): flow
}
type mutation_root { insert_flow(name: String!, version: Int): changed delete_flow_by_pk(id: uuid!): flow }
"""
ACTIONS = """
scalar UUID
scalar JSON
scalar DateTime
enum Level { INFO DEBUG }
input state_input { id: UUID! version: Int message: String level: Level data: JSON at: DateTime tags: [String!] }
type payload { success: Boolean id: ID }
type Query {
  hello(name: String, loud: Boolean): String
  echo(value: JSON, id: ID, many: [Int], size: Float, at: DateTime): JSON
}
type Mutation { set_state(input: state_input!): payload set_states(input: [state_input!]!): payload }
"""
WHOLE = "the whole"
UNITED = stitched(DATA, ACTIONS)


def comparable(entries: Any) -> list[str]:
    """Return errors without their order; of too many, only that they are."""
    return sorted(json.dumps(entry) for entry in entries) if len(entries) <= MOST_PROBLEMS else ["too many"]


def alone(text: str) -> Any:
    """Plan a document by graphql-core and split alone: no shapes, no templates, no rule of ours."""
    try:
        document = parse(text, max_lexical_tokens=100_000)
    except GraphQLError as error:
        return "refused", comparable(Refusal.of([error], PARSE_FAILED).entries)
    found = validate(UNITED.schema, document, max_errors=MOST_PROBLEMS) or exceeding(document, 7)
    if found:
        return "refused", comparable(Refusal.of(found, VALIDATION_FAILED).entries)
    operation, fragments = _selected(document, None), _fragments(document)
    fields = root_fields(UNITED, operation, fragments)
    steps = [
        (each.owner, each.fields, laid_out(each.text), each.variables) for each in split(operation, fragments, fields)
    ]
    variables = [(each.variable.name.value, place(each)) for each in operation.variable_definitions or ()]
    return operation.operation, fields, steps, variables


def together(documents: Documents, text: str) -> Any:
    """Plan a document by a planner that has planned others before."""
    try:
        plan = documents.known(text, None) or documents.plan(text, None)
    except Refusal as refusal:
        return "refused", comparable(refusal.entries)
    steps: list[tuple[Any, ...]]
    steps = [(each.owner, tuple(each.fields), laid_out(each.text), each.variables) for each in plan.steps]
    if plan.whole is not None:
        assert plan.steps[0].text == text
        steps = [(owner, fields, WHOLE) for owner, fields, _, _ in steps]
    variables = [(each.name, (each.line, each.column)) for each in plan.variables]
    return plan.kind, tuple(plan.fields), steps, variables


def laid_out(text: str) -> str:
    return print_ast(parse(text))


def same(mine: Any, theirs: Any) -> bool:
    """Compare plans; one that is for the whole has the client's text and variables, not those of a step."""
    if mine[0] != "refused" and theirs[0] != "refused" and mine[2] and mine[2][0][2] == WHOLE:
        theirs = (*theirs[:2], [(owner, fields, WHOLE) for owner, fields, _, _ in theirs[2]], theirs[3])
    return bool(mine == theirs)


@pytest.mark.parametrize("seed", range(3))
def test_documents_of_one_shape_are_planned_as_if_alone(seed: int) -> None:
    random = Random(seed)
    documents = Documents(stitched=UNITED, depth_limit=7)
    refused = planned = 0
    for _ in range(30):
        drawn: Sketch = sketch(random, UNITED.schema, operations=("query", "query", "mutation"))
        for _ in range(3):
            text = drawn.variant(random)
            mine, theirs = together(documents, text), alone(text)
            assert same(mine, theirs), f"{text}\n{mine}\n{theirs}"
            refused += mine[0] == "refused"
            planned += mine[0] != "refused"
    assert documents.stats.hits > 8
    assert refused > 20
    assert planned > 30
