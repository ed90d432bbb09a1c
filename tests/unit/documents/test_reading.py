"""A document is read as graphql-core's parser reads it: the same nodes in the same places, the same complaints."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from graphql import DocumentNode, GraphQLError, Node, build_schema, get_introspection_query, parse, print_ast

from server_core.documents.reading import alike, read
from tests.support.documents import sketch

SCHEMA = build_schema(
    """
    scalar JSON
    enum Order { ASC DESC }
    input Where { id: ID _and: [Where!] n: Int f: Float order: Order data: JSON }
    type Run { name: String id: ID! runs(where: Where, limit: Int, order: [Order!], some: [Boolean]): [Run!]! }
    type Query { run(id: ID!): Run runs(where: Where, limit: Int = 3): [Run!]! }
    type Mutation { set(input: Where!, ids: [[ID!]]): Run }
    """
)
PLAIN = [
    "{a}",
    "{ a b(c: {}, d: []) }",
    "\ufeff{,a,,b\r\nc\rd }\n\n",
    'query ($a: [[Int!]]! = [[1]] @x(y: "z"), $b: T) @d { f(a: $a, b: -0, c: 1.5e+3, d: [true, false, null, E]) }',
    'subscription s @a @b(c: {d: "e", f: $g}) { x: y @c { ...f ... @include(if: $i) { on } ... on T { z } } }',
    "fragment f on on @x { fragment } query { query(query: query) mutation }",
    'mutation m { a(b: "\\"\\\\\\u00e9\\n", c: "", d: "é\U0001f600\x07#", e: "it\'s") } # end',
    '# one\n{ a # "two" {\n  (b: "x" # three\n, d: 1) }',
    '{ a(b: "\\u{1F600}") }',
    "{ a(b: [-1, -2 3]) }",
    "{ _(_: __) a1(a: 1 b:2.0,c:-3) }",
    get_introspection_query(),
]
LEFT = [
    "{ a { } }",
    '{ a(b: """c\n  d""", e: """""") }',
    '"described" query q { a }',
    "{ " + "a { " * 60 + "b" + " }" * 60 + " }",
    "{ a(b: " + "[" * 60 + "1" + "]" * 60 + ") }",
    "query ($a: " + "[" * 60 + "Int" + "]" * 60 + ") { a }",
    "type T { a: Int } { a }",
    "{ a(b: [1-1]) }",
    "extend type T { a: Int }",
]
BROKEN = [
    "",
    " # nothing\n",
    "{",
    "}",
    "{ a",
    "{ a } }",
    "{ a() }",
    "{ a(b) }",
    "{ a(b: ) }",
    "{ a(",
    "{ a(b",
    "{ a(b:",
    "{ a(b: $",
    "{ a(b: [",
    "{ a(b: {c",
    "{ a(b: 1",
    "{ a @b(",
    "{ ...",
    "{ ... on",
    "query (",
    "query ($a: Int =",
    "fragment",
    "fragment f on",
    "{ a(b: [1) }",
    "{ a(b: {c}) }",
    "{ a(b: 1x) }",
    "{ a(b: 01) }",
    "{ a(b: 1.) }",
    "{ a(b: -) }",
    "{ a(b: .5) }",
    "{ a(b: 1.2.3) }",
    '{ a(b: "c) }',
    '{ a(b: "c\n") }',
    '{ a(b: """c) }',
    '{ a(b: "\\x") }',
    '{ a(b: "\\ud800") }',
    '{ a(b: "\ud800") }',
    "{ a # \ud800\n }",
    '{ a(b: "c""") }',
    "{ a(b: 'c') }",
    "{ a ? }",
    "{ a .. b }",
    "{ .... b }",
    "{ ...on }",
    "{ ...on { a } x }",
    "{ a: }",
    "{ a: b: c }",
    "{ é }",
    "{ a @ }",
    "{ 1 }",
    '{ "a" }',
    "query",
    "query q",
    "query () { a }",
    "query ($a) { a }",
    "query ($a: ) { a }",
    "query ($a: [Int) { a }",
    "query ($a: Int!!) { a }",
    "query ($a: Int = $b) { a }",
    "query ($a: Int = [{b: $c}]) { a }",
    "query ($a: Int @x(y: $z)) { a }",
    "query (a: Int) { a }",
    "fragment on on T { a }",
    "fragment f T { a }",
    "fragment f on { a }",
    "fragment f on T",
    "query { a } b",
    "Query { a }",
]


def same(one: Any, other: Any) -> None:
    """See to it that two syntax trees differ in nothing, places and tokens included."""
    assert type(one) is type(other)
    if isinstance(one, tuple):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            same(first, second)
    elif not isinstance(one, Node):
        assert one == other
    else:
        assert vars(one).keys() == vars(other).keys()
        for name, value in vars(one).items():
            if name != "loc":
                same(value, getattr(other, name))
        assert one.loc is not None
        assert other.loc is not None
        assert one.loc == other.loc
        assert one.loc.source == other.loc.source
        assert one.loc.start_token == other.loc.start_token
        assert one.loc.end_token == other.loc.end_token


def plainly(document: DocumentNode) -> bool:
    """Tell whether it was not graphql-core that read a document: that links tokens."""
    assert document.loc is not None
    return document.loc.start_token.next is None


def outcome(read: Callable[[], DocumentNode]) -> Any:
    """Return the document, or what is complained of."""
    try:
        return read()
    except GraphQLError as error:
        return error.formatted


def compared(text: str, *, tokens: int | None = None, comments: int | None = None) -> Any:
    """Return what reading a text comes to, after a look at what graphql-core makes of it."""
    found = outcome(lambda: read(text, tokens=tokens, comments=comments))
    same(found, outcome(lambda: parse(text, max_lexical_tokens=tokens, max_comments=comments)))
    return found


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_written_plainly_is_read_at_once(text: str) -> None:
    document = compared(text)
    assert plainly(document)
    assert print_ast(document) == print_ast(parse(text))


@pytest.mark.parametrize("text", LEFT)
def test_what_is_seldom_written_is_left_to_graphql_core(text: str) -> None:
    assert not plainly(compared(text))


@pytest.mark.parametrize("text", BROKEN)
def test_complaints_are_those_of_graphql_core(text: str) -> None:
    assert "message" in compared(text)


@pytest.mark.parametrize(
    "text",
    [
        "{ a(b: " + '"' + '\\"' * 100_000,
        "{ a(b: " + '"""' * 100_001,
        "{ a(b: " + "1" * 200_000 + "x",
        "{ a(b: " + "-" * 200_000,
        "{ a(b: " + "1." * 100_000,
        "{ a(b: " + "." * 200_000,
        "{ a(b: " + "[" * 200_000,
        "{ " + "a " * 100_000 + "}",
        "{ a" + "\n#" * 100_000 + " }",
    ],
)
def test_long_documents_take_no_longer_than_their_length(text: str) -> None:
    """None of these is read plainly, and it does not take long to know that."""
    found = compared(text, tokens=1_000, comments=1_000)
    assert "message" in found


@pytest.mark.parametrize("text", PLAIN[:-1])
def test_a_document_may_end_anywhere(text: str) -> None:
    for end in range(len(text)):
        compared(text[:end])


@pytest.mark.parametrize(
    ("tokens", "comments", "refused"),
    [(8, None, False), (7, None, True), (None, 2, False), (None, 1, True), (8, 2, False), (8, 0, True), (7, 2, True)],
)
def test_tokens_and_comments_are_counted_as_graphql_core_does(
    tokens: int | None, comments: int | None, refused: bool
) -> None:
    found = compared('{ a # "x"\n b: c # )\n @d }', tokens=tokens, comments=comments)
    if refused:
        assert "Parsing aborted" in found["message"]
    else:
        assert plainly(found)
        assert found.token_count == 10


def test_a_graphql_core_that_makes_other_nodes_would_be_noticed() -> None:
    text = "{ a(b: [{c: 1}]) @d }"
    assert alike(read(text), parse(text))
    for other in ("{ a(b: [{c: 1}]) }", "{ a(b: [{c: E}]) @d }", "{ a(b: [{c: 2}]) @d }", "{ a(b: [[1]]) @d }"):
        assert not alike(read(text), parse(other))
    newer = parse(text)
    vars(newer.definitions[0])["more"] = None
    assert not alike(read(text), newer)


@pytest.mark.parametrize("seed", range(3))
def test_invented_documents_are_read_as_graphql_core_reads_them(seed: int) -> None:
    random = Random(seed)
    found = []
    for _ in range(40):
        drawn = sketch(random, SCHEMA, operations=("query", "mutation"))
        found += [compared(drawn.variant(random)) for _ in range(3)]
    assert sum(isinstance(each, DocumentNode) and plainly(each) for each in found) > 50
    assert sum(not isinstance(each, DocumentNode) for each in found) > 1
