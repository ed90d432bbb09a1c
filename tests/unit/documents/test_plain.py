"""What is plainly valid is valid: graphql-core never complains of it, but of fields that overlap."""

from random import Random

import pytest
from graphql import GraphQLError, OverlappingFieldsCanBeMergedRule, build_schema, parse, specified_rules, validate

from server_core.documents.check import judged
from server_core.documents.plain import plainly_valid
from tests.support.documents import sketch

SCHEMA = build_schema(
    """
    scalar JSON
    enum Order { ASC DESC }
    input Where { id: ID _and: [Where!] n: Int f: Float order: Order data: JSON }
    input Set { id: ID! n: Int! = 1 tags: [String!] }
    input One @oneOf { a: Int b: Int }
    interface Named { name: String }
    type Run implements Named {
      name: String id: ID! flow: Flow runs(where: Where, limit: Int, order: [Order!]): [Run!]!
    }
    type Flow implements Named { name: String runs(first: Int! = 10): [Run!]! }
    union Any = Run | Flow
    type Query { run(id: ID!): Run runs(where: Where, limit: Int): [Run!]! named: Named any: Any one(of: One): Int }
    type Mutation { set(input: Set!, many: [Set!]): Run }
    type Subscription { run(id: ID!): Run }
    """
)
RULES = [rule for rule in specified_rules if rule is not OverlappingFieldsCanBeMergedRule]
VALID = [
    '{ run(id: 5) { id name x: __typename flow { runs(first: 3) { id } } } named { name } }',
    'query q($id: ID!, $n: Int = 3, $w: Where) { run(id: $id) { runs(limit: $n, where: $w) { ...r } } ...q } '
    'fragment r on Run { id ... @include(if: true) { name } } fragment q on Query { runs(where: {n: $n}) { id } }',
    'query a($yes: Boolean!) { runs(where: {_and: [{id: "x"}, {order: ASC}], f: 1, data: {a: [1, {b: null}]}}) '
    "@skip(if: $yes) { id } } query b { runs(where: {_and: {n: -1}}) { id } }",
    'mutation { set(input: {id: "a", tags: ["x"]}, many: {id: 1, n: 2}) { id } }',
]  # fmt: skip
INVALID = [
    "{ run { id } }",
    "{ run(id: null) { id } }",
    "{ run(id: 1.5) { id } }",
    "{ run(id: 1, id: 1) { id } }",
    "{ run(id: 1, x: 1) { id } }",
    "{ run(id: 1) }",
    "{ run(id: 1) { id { x } } }",
    "{ run(id: 1) { nope } }",
    "{ runs(limit: 2147483648) { id } }",
    "{ runs(where: {n: 1, n: 2}) { id } }",
    "{ runs(where: {x: 1}) { id } }",
    "{ runs(where: {order: UP}) { id } }",
    '{ runs(where: {order: "ASC"}) { id } }',
    "{ runs(where: {data: {a: 1, a: 2}}) { id } }",
    "{ runs(where: {data: {a: $x}}) { id } }",
    "{ runs(where: [{n: 1}]) { id } }",
    "{ runs(limit: $n) { id } }",
    "query ($n: Int) { runs { id } }",
    "query ($n: Int, $n: Int) { runs(limit: $n) { id } }",
    "query ($n: String) { runs(limit: $n) { id } }",
    "query ($n: Nope) { runs(limit: $n) { id } }",
    "query ($n: Run) { runs(limit: $n) { id } }",
    'query ($n: Int = "x") { runs(limit: $n) { id } }',
    "query ($id: ID) { run(id: $id) { id } }",
    "query ($yes: Boolean) { runs @include(if: $yes) { id } }",
    "{ runs @include { id } }",
    "{ runs @nope { id } }",
    "{ runs @skip(if: true) @skip(if: true) { id } }",
    "query @include(if: true) { runs { id } }",
    "{ runs { ...f } }",
    "{ runs { id } } fragment f on Run { id }",
    "{ runs { ...f } } fragment f on Run { id } fragment f on Run { name }",
    "{ runs { ...f } } fragment f on Run { id flow { runs { ...f } } }",
    "{ runs { ...f } } fragment f on Flow { name }",
    "{ runs { ...f } } fragment f on Nope { name }",
    "{ runs { ... on Flow { name } } }",
    "{ runs { id } } { runs { id } }",
    "query a { runs { id } } query a { runs { id } }",
    "query a { runs { id } } { runs { id } }",
    "query a($n: Int) { ...f } query b { ...f } fragment f on Query { runs(limit: $n) { id } }",
    "{ one(of: {a: 1, b: 2}) }",
    "{ one(of: {a: null}) }",
    "{ __typename { x } }",
    "{ named { id } }",
    "{ any { name } }",
    "mutation { set(input: {n: 1}) { id } }",
    "mutation { set(input: {id: 1, tags: [null]}) { id } }",
    "subscription { run(id: 1) { id } x: run(id: 1) { id } }",
    "type A { b: Int } { runs { id } }",
    "fragment f on Run { id }",
]


@pytest.mark.parametrize("text", VALID)
def test_what_is_valid_is_known_to_be(text: str) -> None:
    document = parse(text)
    assert validate(SCHEMA, document) == []
    assert plainly_valid(SCHEMA, document)


@pytest.mark.parametrize("text", INVALID)
def test_what_is_not_is_left_to_graphql_core(text: str) -> None:
    document = parse(text)
    assert not plainly_valid(SCHEMA, document)
    assert judged(SCHEMA, document).problems == validate(SCHEMA, document, RULES) != []


@pytest.mark.parametrize(
    "text",
    [
        "{ run(id: 1) " + "{ flow { runs " * 50 + "{ id }" + " } }" * 50 + " }",
        "{ runs(where: " + "{_and: " * 50 + "{n: 1}" + "}" * 50 + ") { id } }",
        "{ __schema { queryType { name } } }",
        "subscription { run(id: 1) { id } }",
        "{ ...f runs { flow { runs { ...g } } } } fragment f on Query { runs { ...g } } fragment g on Run { id }",
        "{ one(of: {a: 1}) }",
        "{ any { ... on Run { id } } }",
    ],
)
def test_what_is_seldom_written_is_left_to_graphql_core(text: str) -> None:
    document = parse(text)
    assert not plainly_valid(SCHEMA, document)
    assert judged(SCHEMA, document).problems == []


def test_introspection_is_still_refused_where_it_is_forbidden() -> None:
    assert judged(SCHEMA, parse("{ __schema { queryType { name } } }"), introspection=False).problems


@pytest.mark.parametrize("seed", range(2))
def test_graphql_core_never_complains_of_what_is_plainly_valid(seed: int) -> None:
    random = Random(seed)
    plain = complained = 0
    for _ in range(25):
        drawn = sketch(random, SCHEMA, operations=("query", "mutation"))
        for _ in range(3):
            try:
                document = parse(drawn.variant(random))
            except GraphQLError:
                continue
            valid = not validate(SCHEMA, document, RULES)
            assert valid or not plainly_valid(SCHEMA, document)
            plain += plainly_valid(SCHEMA, document)
            complained += not valid
    assert plain > 20
    assert complained > 10
