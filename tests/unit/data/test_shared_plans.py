"""Documents that differ only in literals share a plan, within the rules of data-api.md §2; others are planned alone."""

from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
from graphql import parse

from server_core.shape import cut
from server_core.wire import GraphQLRequest, Parsed
from services.data.answer import Answer
from services.data.errors import DataError
from services.data.limits import Limits
from services.data.request import DOCUMENT_CHARACTERS, LONGEST_KEPT, Requests
from tests.unit.data.golden import schema


def asked(requests: Requests, text: str, **variables: Any) -> list[Any]:
    """Return the parameters of a document's statement."""
    return list(requests.prepare(GraphQLRequest(query=text, variables=variables)).parameters)


def recalled(requests: Requests, text: str, **variables: Any) -> list[Any]:
    """Return the same of a document for which nothing must be planned."""
    prepared = requests.recall(GraphQLRequest(query=text, variables=variables))
    assert prepared is not None
    return list(prepared.parameters)


def refused(requests: Requests, text: str, **variables: Any) -> tuple[str, str, str]:
    """Return what a document is refused with."""
    with pytest.raises(DataError) as caught:
        requests.prepare(GraphQLRequest(query=text, variables=variables))
    return caught.value.code, caught.value.path, caught.value.message


@pytest.mark.parametrize(
    ("template", "first", "other", "expected"),
    [
        ("{{ flow(limit: {}) {{ id }} }}", "1", "-0", ["0"]),
        ("{{ flow(where: {{name: {{_eq: {}}}}}) {{ id }} }}", '"a"', '"\\u0041\\n\\""', ['A\n"']),
        ("{{ flow(where: {{name: {{_eq: {}}}}}) {{ id }} }}", '"a"', '"""\n  a\n    b \\"""\n"""', ['a\n  b """']),
        ("{{ flow(where: {{name: {{_in: [{}]}}}}) {{ id }} }}", '"a" "b"', '"c",\n"\\t","☃"', [["c", "\t", "☃"]]),
        ("{{ flow(where: {{name: {{_in: [{}, null]}}}}) {{ id }} }}", '"a"', '"b"', None),
        ("{{ flow(where: {{name: {{_in: {}}}}}) {{ id }} }}", '"a"', '"b"', [["b"]]),
        ("{{ flow(where: {{version: {{_in: [{}]}}}}) {{ id }} }}", "1 2", "3,-4\n5", ["3\x1f-4\x1f5"]),
        ("{{ flow(where: {{id: {{_in: [{}]}}}}) {{ id }} }}", '"a" "b"', '"c", "d"', ["c\x1fd"]),
        ("{{ flow(where: {{id: {{_in: [{}]}}}}) {{ id }} }}", '"a" "b"', '"c", "\\u001f"', [["c", "\x1f"]]),
        ("{{ flow(where: {{settings: {{_contains: {}}}}}) {{ id }} }}", "1.5", "2.50E-1", ["2.50E-1"]),
        (
            "{{ flow(where: {{settings: {{_contains: {{a: [{}] b: TRUE}}}}}}) {{ id }} }}",
            '"x" "y"',
            '"\\"", "z" "é"',
            ['{"a":["\\"","z","\\u00e9"],"b":"TRUE"}'],
        ),
        ("{{ flow(where: {{settings: {{_contains: [[{}] 1]}}}}) {{ id }} }}", "1 2", "-3 -0", ["[[-3,-0],1]"]),
        ("{{ flow {{ settings(path: {}) }} }}", '"a"', "\"$.b['c']\"", [["b", "c"]]),
        ('{{ flow(where: {{name: {{_eq: {}}}}}) {{ id }} }} # "x"', '"a"', '"# b"', ["# b"]),
    ],
)
def test_literals_are_read_as_they_are_written(
    template: str, first: str, other: str, expected: list[Any] | None
) -> None:
    requests = Requests(schema())
    if expected is None:
        assert refused(requests, template.format(first)) == refused(requests, template.format(other))
        return
    asked(requests, template.format(first))
    assert recalled(requests, template.format(other)) == expected
    assert expected == asked(Requests(schema(), remember=False), template.format(other))


ITEMS = {
    "strings": ['"a"', '"00000000-0000-4000-8000-000000000001"', '""', '","', '"☃"', '"it\'s {}"'],
    "odd strings": [
        *('"\\n"', '"\\u001f"', '"\\"\\\\"', '"""block\n "\\""" """', '"""x"""', '"#"', '"\t"', '"\x01"'),
        *('"\\ud800"', '"\n"', '"\\x"', '"'),
    ],
    "numbers": ["0", "-0", "1", "-5", "2147483648", "123456789012345678901", "01"],
    "others": ["1.5", "null", "true", "RED", "$v", "[]", '["a", "b"]', "[1 2]", '{a: "b"}', '"a"', "1"],
}
BETWEEN = [", "] * 6 + [",", " ", "\n", ",,", "\t", "\ufeff", ' # a comment, "b"\n', " , "]
PLACES = {
    "id: {{_in: [{}]}}": "uuid",
    "id: {{_nin: [{}]}}": "uuid",
    "name: {{_in: [{}]}}": "String",
    "version: {{_in: [{}]}}": "Int",
    "created: {{_in: [{}]}}": "timestamptz",
    "settings: {{_contains: [{}]}}": "jsonb",
    "settings: {{_has_keys_any: [{}]}}": "String",
}


@pytest.mark.parametrize("seed", range(2))
def test_lists_are_read_as_if_their_document_was_planned_alone(seed: int) -> None:
    """Whatever stands in them, and between it (data-api.md §2.1)."""
    random = Random(seed)
    together, alone = Requests(schema()), Requests(schema(), remember=False)

    def outcome(requests: Requests, request: GraphQLRequest) -> Any:
        try:
            prepared = requests.prepare(request)
        except DataError as error:
            return error.code, error.path, error.message
        return prepared.text, list(prepared.parameters)

    refused = 0
    for number in range(150):
        kinds = random.choice([["strings"], ["strings"], ["numbers"], ["strings", "odd strings"], list(ITEMS)])
        count = random.choice([0, 1, 2, 2, 3, 5])
        between = [random.choice(BETWEEN) if random.random() < 0.3 else ", " for _ in range(count)]
        items = "".join(
            separator * (at > 0) + random.choice(ITEMS[random.choice(kinds)]) for at, separator in enumerate(between)
        )
        place, type = random.choice(list(PLACES.items()))
        declared = f"query ($v: {type}) " if "$v" in items else ""
        text = f"{declared}{{ flow(where: {{{place.format(items)}}}) {{ id }} }}"
        request = GraphQLRequest(query=text, variables={"v": 7 if type == "Int" else "v"})
        found = outcome(alone, request)
        for _ in range(4):
            assert outcome(together, request) == found, f"seed {seed}, document {number}: {text}"
        refused += len(found) == 3
    assert together.stats.hits > 200
    assert 25 < refused < 100


@pytest.mark.parametrize(
    ("ids", "sent"),
    [
        (["a", "b"], "a\x1fb"),
        ([], ""),
        ("a", "a"),
        (["a", ""], "a\x1f"),
        ([""], [""]),
        (["a\x1fb"], ["a\x1fb"]),
    ],
)
def test_lists_that_cannot_be_one_text_are_arrays(ids: Any, sent: Any) -> None:
    """A list that travels as one text comes out with the same items."""
    requests = Requests(schema())
    text = "query ($ids: [uuid!]!) { flow(where: {id: {_in: $ids}, flow_group_id: {_nin: $ids}}) { id } }"
    for variables in ({"ids": ["x"]}, {"ids": ids}, {"ids": ["x"]}):
        prepared = requests.prepare(GraphQLRequest(query=text, variables=variables))
        expected = variables["ids"] if variables["ids"] == ["x"] else sent
        assert prepared.parameters == ["x" if expected == ["x"] else expected]
        assert ("$1::text[]" in prepared.text) == isinstance(prepared.parameters[0], list)
        assert prepared.text.count("$1") == 2


def test_variables_and_literals_stand_beside_each_other() -> None:
    text = "query ($n: Int!, $m: Int) {{ flow(where: {{version: {{_in: [{}, $n]}}}}, limit: {}, offset: $m) {{ id }} }}"
    requests = Requests(schema())
    assert asked(requests, text.format(1, 2), n=3) == ["1\x1f3", "2"]
    assert recalled(requests, text.format(4, 5), n=6) == ["4\x1f6", "5"]
    assert requests.recall(GraphQLRequest(query=text.format(4, 5), variables={"n": 6, "m": None})) is None
    assert recalled(requests, text.format(1, 2), n=9) == ["1\x1f9", "2"]
    assert (requests.stats.hits, requests.stats.misses, len(requests)) == (2, 1, 1)


def test_equal_literals_are_two_parameters_like_others() -> None:
    text = (
        '{{ flow(where: {{name: {{_eq: "{}"}}, core_version: {{_eq: "{}"}}}}) {{ ...f }} }} fragment f on flow {{ id }}'
    )
    requests = Requests(schema())
    assert asked(requests, text.format("a", "a")) == ["a", "a"]
    assert recalled(requests, text.format("a", "b")) == ["a", "b"]


@pytest.mark.parametrize(
    ("template", "first", "other", "code"),
    [
        ("{{ flow(limit: {}) {{ id }} }}", "2147483647", "2147483648", "parse-failed"),
        ("{{ flow(limit: {}) {{ id }} }}", "1", "-1", "validation-failed"),
        ("{{ flow(limit: {}) {{ id }} }}", "1", "1.0", "validation-failed"),
        ("{{ flow {{ settings(path: {}) }} }}", '"a"', '"a["', "validation-failed"),
        ("{{ a: flow(limit: 1) {{ id }} a: flow(limit: {}) {{ name }} }}", "1", "2", "validation-failed"),
        ("query ($n: Int = {}) {{ flow(limit: $n) {{ id }} }}", "1", "-1", "validation-failed"),
    ],
)
def test_what_a_literal_is_refused_for_is_the_same_whatever_is_known(
    template: str, first: str, other: str, code: str
) -> None:
    first, other = template.format(first), template.format(other)
    requests = Requests(schema())
    asked(requests, first)
    for _ in range(2):
        assert refused(requests, other) == refused(Requests(schema(), remember=False), other)
    assert refused(requests, other)[0] == code


def test_defaults_of_variables_are_those_of_the_document() -> None:
    text = "query ($n: Int = {}) {{ flow(limit: $n) {{ id }} }}"
    requests = Requests(schema())
    for number in (1, 2, 1, 2):
        assert asked(requests, text.format(number)) == [str(number)]
    assert requests.stats.hits == 2


@pytest.mark.parametrize(
    ("type", "default", "field", "given"),
    [
        ("Int", "null", "flow(limit: $v) { id }", 7),
        ("Int", "7", "flow(limit: $v) { id }", None),
        ("Boolean!", "true", "flow { id name @include(if: $v) }", False),
        ("[flow_order_by!]", "{name: asc}", "flow(order_by: $v) { id }", {"name": "desc"}),
        ("flow_bool_exp", '{name: {_eq: "a"}}', "flow(where: $v) { id }", {"name": {"_neq": "a"}}),
    ],
)
def test_what_is_given_is_not_taken_for_the_default(type: str, default: str, field: str, given: Any) -> None:
    text = f"query ($v: {type} = {default}) {{ {field} }}"
    requests, alone = Requests(schema()), Requests(schema(), remember=False)
    for variables in ({}, {"v": given}, {}):
        request = GraphQLRequest(query=text, variables=variables)
        mine, theirs = requests.prepare(request), alone.prepare(request)
        assert mine.answer.statement == theirs.answer.statement
        assert mine.parameters == theirs.parameters


def test_lists_that_are_arrays_are_planned_by_their_text() -> None:
    text = "{{ utility_upstream_tasks(args: {{start_task_ids: [{}]}}) {{ depth }} }}"
    requests = Requests(schema())
    for items, array in (('"a" "b"', '{"a","b"}'), ('"c" "d" "e"', '{"c","d","e"}'), ('"f"', '{"f"}')):
        assert asked(requests, text.format(items)) == [array]
        assert recalled(requests, text.format(items)) == [array]


def test_mutations_are_planned_by_their_text() -> None:
    """Objects with equal conditions of `on_conflict` are one statement: there, values decide the plan."""
    text = 'mutation {{ insert_log(objects: [{{message: "{}"}}]) {{ affected_rows }} }}'
    requests = Requests(schema(mutations=True))
    asked(requests, text.format("a"))
    assert requests.recall(GraphQLRequest(query=text.format("b"))) is None
    assert requests.recall(GraphQLRequest(query=text.format("a"))) is not None


def test_introspection_is_answered_by_its_text() -> None:
    text = '{{ __type(name: "{}") {{ name }} }}'
    requests = Requests(schema())
    bodies = [requests.prepare(GraphQLRequest(query=text.format(name))).answer.body(()) for name in ("flow", "project")]
    assert bodies == [b'{"data":{"__type":{"name": "%s"}}}' % name for name in (b"flow", b"project")]
    assert requests.recall(GraphQLRequest(query=text.format("flow"))) is not None


def test_limits_hold_for_documents_of_a_known_shape() -> None:
    text = "{{ flow(where: {{name: {{_in: [{}]}}}}) {{ id }} }}"
    short = text.format('"a" "b"')
    long = text.format(" ".join(['"a"'] * 100))
    for limits in (Limits(tokens=50), Limits(document=100)):
        requests = Requests(schema(), limits=limits)
        asked(requests, short)
        assert refused(requests, long) == refused(Requests(schema(), limits=limits, remember=False), long)
    requests = Requests(schema(), limits=Limits(tokens=150))
    asked(requests, short)
    assert len(recalled(requests, long)[0]) == 100


def test_what_is_remembered_is_bounded() -> None:
    requests = Requests(schema())
    for number in range(25):
        asked(requests, f"{{ a{number}: flow {{ id }} }}" + " " * 60_000)
        asked(requests, f"{{ a{number}: flow(limit: 1) {{ id }} }}" + " " * 60_000)
    assert len(requests) == 2 * (DOCUMENT_CHARACTERS // 60_000)
    asked(requests, "{ flow(limit: 1) { id } }" + " " * LONGEST_KEPT)
    assert len(requests) == 2 * (DOCUMENT_CHARACTERS // 60_000)


def test_the_shape_of_another_text_does_not_count() -> None:
    text = '{{ flow(where: {{name: {{_eq: "{}"}}}}) {{ id }} }}'
    requests = Requests(schema())
    for mine, other in (("a", "b"), ("c", "d"), ("e", "e")):
        request = GraphQLRequest(query=text.format(mine), shape=cut(text.format(other)))
        assert requests.prepare(request).parameters == [mine]


def test_a_tree_that_is_handed_on_is_read_instead_of_the_text() -> None:
    text, other = '{ flow(where: {name: {_eq: "a"}}) { id } }', '{ flow(where: {name: {_eq: "b"}}) { n: name } }'
    parsed = Parsed(text, parse(text))
    assert list(Requests(schema()).prepare(GraphQLRequest(query=text, parsed=parsed)).parameters) == ["a"]
    assert parsed.take(text, tokens=100) is None
    parsed = Parsed(other, parse(other))
    prepared = Requests(schema()).prepare(GraphQLRequest(query=text, parsed=parsed))
    assert prepared.answer == Requests(schema()).prepare(GraphQLRequest(query=text)).answer


def test_a_tree_that_is_handed_on_may_be_no_larger_than_others() -> None:
    text = "{ flow { id id id id } }"
    requests = Requests(schema(), limits=Limits(tokens=5))
    with pytest.raises(DataError, match="more than 5 tokens"):
        requests.prepare(GraphQLRequest(query=text, parsed=Parsed(text, parse(text))))


def test_long_documents_are_recalled_without_a_thread_up_to_a_length() -> None:
    text = "{{ flow(where: {{name: {{_in: [{}]}}}}) {{ id }} }}"
    requests = Requests(schema())
    asked(requests, text.format('"a" "b"'))
    assert len(recalled(requests, text.format(" ".join(['"abcdef"'] * 5_000)))[0]) == 5_000
    long = text.format(" ".join(['"abcdef"'] * 10_000))
    assert requests.recall(GraphQLRequest(query=long)) is None
    assert len(asked(requests, long)[0]) == 10_000
    assert (requests.stats.hits, requests.stats.misses) == (2, 1)


def test_threads_share_plans() -> None:
    """Each is given the values of its own document."""
    requests = Requests(schema())
    text = 'query ($n: Int) {{ f{}: flow(where: {{name: {{_eq: "{}"}}}}, limit: $n) {{ id }} }}'

    def use(seed: int) -> bool:
        random = Random(seed)
        return all(
            asked(requests, text.format(random.randrange(5), name), n=count) == [name, str(count)]
            for name, count in ((str(random.random()), random.randrange(9)) for _ in range(200))
        )

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(4)))
    assert len(requests) == 5


def test_nothing_is_remembered_if_so_told() -> None:
    requests = Requests(schema(), remember=False)
    for _ in range(2):
        request = GraphQLRequest(query="{ flow(limit: 1) { id } }")
        assert requests.recall(request) is None
        assert requests.prepare(request).parameters == ["1"]
    assert (requests.stats.hits, requests.stats.misses, len(requests)) == (0, 2, 0)


def test_answers_are_put_together_in_the_order_of_the_document() -> None:
    def answer(text: str) -> Answer:
        return Requests(schema()).prepare(GraphQLRequest(query=text)).answer

    both = answer("{ a: flow { id } t: __typename b: project { id } }")
    assert both.body([b"[1]", None]) == b'{"data":{"a":[1],"t":"query_root","b":null}}'
    assert both.body(()) == b'{"data":{"a":null,"t":"query_root","b":null}}'
    assert answer("{ t: __typename }").body(()) == b'{"data":{"t":"query_root"}}'
    assert answer("{ flow @skip(if: true) { id } }").body(()) == b'{"data":{}}'
    one = answer('{ flow_by_pk(id: "x") { id } }')
    assert [one.body([b"{}"]), one.body([None]), one.body(())] == [
        b'{"data":{"flow_by_pk":{}}}',
        b'{"data":{"flow_by_pk":null}}',
        b'{"data":{"flow_by_pk":null}}',
    ]
