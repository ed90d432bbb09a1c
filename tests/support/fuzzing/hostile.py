"""Documents that were written to hurt: deep, wide, endless, huge, contradictory. Pure.

Each function takes a `Random` for the sizes and returns one operation; HOSTILE lists them all.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.support.fuzzing.documents import DOCUMENTS, ODD_NUMBERS, TEXTS, Operation

Attack = Callable[[Random], Operation]


def deep_selections(random: Random) -> Operation:
    levels = random.choice([5, 8, 50, 500, 5_000, 20_000])
    return Operation(query="query " + "{ flow " * levels + "{ id }" + "}" * levels)


def deep_inline_fragments(random: Random) -> Operation:
    levels = random.choice([10, 100, 1_000, 10_000])
    return Operation(query="{ " + "... { " * levels + "hello" + " }" * levels + " }")


def deep_filter(random: Random) -> Operation:
    levels = random.choice([10, 90, 300, 1_000, 10_000])
    inner = random.choice(["_and: [", "_or: ["])
    text = f"{{ {inner}" * levels + "{ id: { _is_null: false } }" + "] }" * levels
    return Operation(query=f"{{ flow(where: {text}) {{ id }} }}")


def deep_not(random: Random) -> Operation:
    levels = random.choice([10, 90, 300, 1_000, 10_000])
    value: Any = {"id": {"_is_null": False}}
    for _ in range(min(levels, 900)):
        value = {"_not": value}
    return Operation(query="query($w: flow_bool_exp) { flow(where: $w) { id } }", variables={"w": value})


def deep_document(random: Random) -> Operation:
    levels = random.choice([10, 100, 900])
    value: Any = 1
    for _ in range(levels):
        value = random.choice([[value], {"a": value}])
    return Operation(query="query($v: jsonb) { flow_run(where: {context: {_eq: $v}}) { id } }", variables={"v": value})


def deep_list(random: Random) -> Operation:
    levels = random.choice([10, 200, 1_000, 20_000])
    return Operation(query=f"{{ flow(where: {{ name: {{ _in: {'[' * levels}{']' * levels} }} }}) {{ id }} }}")


def deep_type(random: Random) -> Operation:
    levels = random.choice([10, 200, 1_000, 20_000])
    return Operation(query=f"query($a: {'[' * levels}Int{']' * levels}) {{ flow(limit: $a) {{ id }} }}")


def wide_aliases(random: Random) -> Operation:
    count = random.choice([50, 300, 1_000, 5_000])
    field = random.choice(["hello", "flow(limit: 1) { id }", "__typename", "api { version }"])
    return Operation(query="{ " + " ".join(f"a{number}: {field}" for number in range(count)) + " }")


def one_field_again_and_again(random: Random) -> Operation:
    count = random.choice([50, 300, 1_000, 3_000])
    field = random.choice(["hello", "flow { id }", 'flow(where: { name: { _eq: "a" } }) { id name }', "__typename"])
    return Operation(query="{ " + f"{field} " * count + " }")


def one_leaf_again_and_again(random: Random) -> Operation:
    count = random.choice([50, 300, 1_000, 5_000])
    return Operation(query="{ flow { " + random.choice(["id ", "x: name "]) * count + "} }")


def conflicting_aliases(random: Random) -> Operation:
    count = random.choice([2, 50, 300])
    return Operation(query="{ " + " ".join(f"x: flow(limit: {number}) {{ id }}" for number in range(count)) + " }")


def schema_flood(random: Random) -> Operation:
    count = random.choice([2, 20, 60])
    inner = random.choice(
        ["types { name fields { name args { name } } }", "directives { name }", "types { description }"]
    )
    return Operation(query="{ " + " ".join(f"s{number}: __schema {{ {inner} }}" for number in range(count)) + " }")


def schema_depth(random: Random) -> Operation:
    levels = random.choice([2, 3, 5, 10, 100])
    inner = "fields { type { ofType " + "{ fields { type { ofType " * levels + "{ name }" + "} } }" * levels + "} }"
    return Operation(query=f"{{ __schema {{ types {{ {inner} }} }} }}")


def many_types(random: Random) -> Operation:
    count = random.choice([10, 300])
    names = ["flow", "Query", "nothing", "", "flow_bool_exp"]
    asked = (f't{number}: __type(name: "{random.choice(names)}") {{ name }}' for number in range(count))
    return Operation(query=f"{{ {' '.join(asked)} }}")


def fragment_cycle(random: Random) -> Operation:
    count = random.choice([1, 2, 10, 300])
    ring = " ".join(f"fragment F{n} on flow {{ id ...F{(n + 1) % count} }}" for n in range(count))
    return Operation(query=f"{{ flow {{ ...F0 }} }} {ring}")


def fragment_bomb(random: Random) -> Operation:
    levels = random.choice([3, 10, 30, 100])
    parts = " ".join(f"fragment F{n} on flow {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    return Operation(query=f"{{ flow {{ ...F0 }} }} {parts} fragment F{levels} on flow {{ id }}")


def fragment_bomb_of_roots(random: Random) -> Operation:
    levels = random.choice([3, 10, 30, 100])
    parts = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    leaf = random.choice(["hello", "a: flow { id } b: flow { name }"])
    return Operation(query=f"{{ ...F0 }} {parts} fragment F{levels} on Query {{ {leaf} }}")


def fragment_chain(random: Random) -> Operation:
    count = random.choice([10, 300, 2_000])
    parts = " ".join(f"fragment F{n} on flow {{ ...F{n + 1} }}" for n in range(count))
    return Operation(query=f"{{ flow {{ ...F0 }} }} {parts} fragment F{count} on flow {{ id }}")


def unused_fragments(random: Random) -> Operation:
    count = random.choice([1, 100, 2_000])
    return Operation(query="{ hello } " + " ".join(f"fragment F{n} on flow {{ id }}" for n in range(count)))


def one_fragment_often(random: Random) -> Operation:
    count = random.choice([10, 300, 3_000])
    return Operation(query="{ flow { " + "...F " * count + "} } fragment F on flow { id name project { id } }")


def many_operations(random: Random) -> Operation:
    count = random.choice([2, 100, 1_000])
    name = random.choice([None, "Q0", "nobody", f"Q{count - 1}"])
    return Operation(query=" ".join(f"query Q{n} {{ hello }}" for n in range(count)), name=name)


def many_variables(random: Random) -> Operation:
    count = random.choice([2, 100, 2_000])
    declared = ", ".join(f"$v{n}: Int = {n}" for n in range(count))
    used = random.choice(["hello", " ".join(f"a{n}: flow(limit: $v{n}) {{ id }}" for n in range(min(count, 300)))])
    return Operation(query=f"query({declared}) {{ {used} }}")


def undeclared_variables(random: Random) -> Operation:
    count = random.choice([1, 100, 1_000])
    return Operation(query="{ " + " ".join(f"a{n}: flow(limit: $v{n}) {{ id }}" for n in range(count)) + " }")


def many_arguments(random: Random) -> Operation:
    count = random.choice([2, 100, 2_000])
    return Operation(query="{ flow(" + "limit: 1 " * count + ") { id } }")


def many_members(random: Random) -> Operation:
    count = random.choice([2, 100, 2_000])
    return Operation(query="{ flow(where: {" + 'name: { _eq: "a" } ' * count + "}) { id } }")


def many_alternatives(random: Random) -> Operation:
    count = random.choice([10, 1_000, 10_000, 40_000])
    alternatives = [{"name": {"_eq": f"n{number}"}} for number in range(count)]
    if random.random() < 0.5:
        return Operation(
            query="query($o: [flow_bool_exp!]) { flow(where: { _or: $o }) { id } }", variables={"o": alternatives}
        )
    text = " ".join(f'{{ name: {{ _eq: "n{number}" }} }}' for number in range(count))
    return Operation(query=f"{{ flow(where: {{ _or: [{text}] }}) {{ id }} }}")


def many_values(random: Random) -> Operation:
    count = random.choice([10, 1_000, 40_000])
    values = [f"n{number}" for number in range(count)]
    if random.random() < 0.5:
        return Operation(
            query="query($v: [String!]) { flow(where: { name: { _in: $v } }) { id } }", variables={"v": values}
        )
    text = ", ".join(f'"{value}"' for value in values)
    return Operation(query=f"{{ flow(where: {{ name: {{ _in: [{text}] }} }}) {{ id }} }}")


def many_orders(random: Random) -> Operation:
    count = random.choice([2, 100, 2_000])
    return Operation(query="{ flow(order_by: [" + "{ name: asc } " * count + "]) { id } }")


def huge_text(random: Random) -> Operation:
    size = random.choice([1_000, 100_000, 3_000_000])
    text = random.choice(["x", "é", "\\u0041", "\\\\"]) * (size // 6)
    return Operation(query=f'{{ flow(where: {{ name: {{ _eq: "{text}" }} }}) {{ id }} }}')


def huge_block(random: Random) -> Operation:
    size = random.choice([1_000, 100_000, 1_000_000])
    return Operation(query='{ flow(where: { name: { _eq: """' + "  x\n" * (size // 4) + '""" } }) { id } }')


def huge_number(random: Random) -> Operation:
    number = random.choice([*ODD_NUMBERS, "9" * 100_000, "1." + "0" * 100_000, "1e" + "9" * 1_000])
    where = random.choice(
        ["limit: %s", "offset: %s", "where: { version: { _eq: %s } }", "where: { parameters: { _eq: %s } }"]
    )
    return Operation(query="{ flow(" + where % number + ") { id } }")


def huge_name(random: Random) -> Operation:
    name = "n" * random.choice([100, 10_000, 1_000_000])
    spot = random.choice(
        ["{ %s }", "{ %s: hello }", "query %s { hello }", "{ hello @%s }", "query($%s: Int) { hello }"]
    )
    return Operation(query=spot % name, name=random.choice([None, name]))


def huge_comments(random: Random) -> Operation:
    count = random.choice([100, 50_000, 150_000])
    return Operation(query="{ hello }" + "#\n" * count)


def huge_space(random: Random) -> Operation:
    return Operation(query="{ hello" + random.choice([" ", "\n", ",", "\t", "\r\n"]) * 1_000_000 + "}")


def directive_abuse(random: Random) -> Operation:
    count = random.choice([1, 50, 2_000])
    one = random.choice(
        ["@include(if: true) ", "@skip(if: false) ", "@include ", "@nothing ", "@deprecated ", '@include(if: "yes") ']
    )
    spot = random.choice(["{ hello %s }", "query %s { hello }", "{ flow %s { id } }", "{ ... %s { hello } }"])
    return Operation(query=spot % (one * count))


def directive_of_variable(random: Random) -> Operation:
    value: Any = random.choice([None, "true", 1, [], True])
    declared = random.choice(["Boolean", "Boolean!", "Boolean = false", "String", "[Boolean!]"])
    return Operation(
        query=f"query($b: {declared}) {{ hello @include(if: $b) flow @skip(if: $b) {{ id }} }}", variables={"b": value}
    )


def values_of_wrong_types(random: Random) -> Operation:
    type_, field = random.choice(_VARIABLES)
    value = random.choice(
        [*DOCUMENTS, *TEXTS, 2**31, 2**63, 1e300, [[1]], [None], {"_eq": None}, {"name": 1}, "\ud800"]
    )
    return Operation(query=f"query($v: {type_}) {{ {field} }}", variables={"v": value})


_VARIABLES: Sequence[tuple[str, str]] = [
    ("Int", "flow(limit: $v) { id }"),
    ("Int", "flow(offset: $v) { id }"),
    ("uuid!", "flow_by_pk(id: $v) { id }"),
    ("UUID!", "mapped_children(task_run_id: $v) { min_start_time }"),
    ("timestamptz", "flow_run(where: { created: { _gt: $v } }) { id }"),
    ("jsonb", "flow_run(where: { context: { _contains: $v } }) { id }"),
    ("[String!]", "flow(where: { name: { _in: $v } }) { id }"),
    ("flow_bool_exp", "flow(where: $v) { id }"),
    ("[flow_order_by!]", "flow(order_by: $v) { id }"),
    ("[flow_select_column!]", "flow(distinct_on: $v) { id }"),
    ("order_by", "flow(order_by: { name: $v }) { id }"),
    ("String", "flow(where: { name: { _like: $v } }) { id }"),
    ("String", "flow(where: { name: { _similar: $v } }) { id }"),
    ("Boolean", "flow(where: { archived: { _eq: $v } }) { id }"),
    ("Float", "flow(limit: $v) { id }"),
    ("nothing", "hello"),
    ("flow", "hello"),
]


def both_families(random: Random) -> Operation:
    """Scalars of one upstream given to the other, which names them differently."""
    type_ = random.choice(["uuid", "UUID", "timestamptz", "DateTime", "jsonb", "JSON", "String"])
    field = random.choice(
        [
            "flow_by_pk(id: $v) { id }",
            "mapped_children(task_run_id: $v) { min_start_time }",
            "get_task_run_info(task_run_id: $v) { id }",
        ]
    )
    return Operation(
        query=f"query($v: {type_}!) {{ hello {field} a: flow_by_pk(id: $v) {{ id }} }}",
        variables={"v": random.choice(TEXTS)},
    )


def many_mutations(random: Random) -> Operation:
    count = random.choice([2, 20, 150])
    field = random.choice(
        [
            'delete_flow_by_pk(id: "00000000-0000-4000-8000-000000000000") { id }',
            'delete_flow(input: { flow_id: "00000000-0000-4000-8000-000000000000" }) { success }',
            'create_project(input: { tenant_id: "x", name: "x" }) { id }',
            "write_run_logs(input: { logs: [] }) { success }",
        ]
    )
    return Operation(query="mutation { " + " ".join(f"m{number}: {field}" for number in range(count)) + " }")


def odd_text(random: Random) -> Operation:
    return Operation(query=random.choice(_ODD_TEXTS))


_ODD_TEXTS = [
    "",
    " ",
    "\ufeff{ hello }",
    "{ hello }\x00",
    "{ h\xe9llo }",
    "{ hello \ud800 }",
    '{ a: hello"" }',
    "{",
    "}",
    "{}",
    "{ hello }}",
    "query",
    "fragment",
    "schema { query: Query }",
    "type Query { a: Int }",
    "extend type Query { a: Int }",
    "subscription { flow { id } hello }",
    "subscription { flow { id } project { id } }",
    "subscription { __typename }",
    '{ flow(where: {name: {_eq: "\\ud800"}}) { id } }',
    '{ flow(where: {name: {_eq: "\\u{1F600}\\u{D800}"}}) { id } }',
    '{ flow(where: {name: {_eq: "\\u0000"}}) { id } }',
    "{ __proto__ }",
    "{ a: __schema { __typename } }",
    "mutation { __schema { types { name } } }",
    "mutation { __typename }",
    "{ flow { __schema { types { name } } } }",
    "{ flow { } }",
    "{ flow }",
    "{ hello { x } }",
]


HOSTILE: Sequence[Attack] = [
    deep_selections, deep_inline_fragments, deep_filter, deep_not, deep_document, deep_list, deep_type, wide_aliases,
    one_field_again_and_again, one_leaf_again_and_again, conflicting_aliases, schema_flood, schema_depth, many_types,
    fragment_cycle, fragment_bomb, fragment_bomb_of_roots, fragment_chain, unused_fragments, one_fragment_often,
    many_operations, many_variables, undeclared_variables, many_arguments, many_members, many_alternatives, many_values,
    many_orders, huge_text, huge_block, huge_number, huge_name, huge_comments, huge_space, directive_abuse,
    directive_of_variable, values_of_wrong_types, both_families, many_mutations, odd_text,
]  # fmt: skip
