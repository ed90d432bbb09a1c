"""Whether fields can be merged: the verdict is that of graphql-core's rule, which compares them pair by pair."""

from random import Random

import pytest
from graphql import OverlappingFieldsCanBeMergedRule, build_schema, parse, validate

from server_core.documents.check import MOST_PROBLEMS, judged
from server_core.documents.overlap import overlaps

SCHEMA = build_schema(
    """
    interface Named { name(short: Boolean): String! other: Named size: Int }
    type Dog implements Named {
      name(short: Boolean): String! other: Named size: Int! bark: Int friends(n: Int): [Named]
    }
    type Cat implements Named { name(short: Boolean): String! other: Cat size: Int bark: String friends(n: Int): Named }
    union Pet = Dog | Cat
    type Query { pet: Pet named(id: Int, o: In): Named dog: Dog cat: Cat pets: [Pet!] }
    input In { a: Int b: String }
    """
)
FIELDS = {
    "Query": [
        "pet",
        "named",
        "named(id: 1)",
        'named(o: {a: 1, b: "x"})',
        'named(o: {b: "x", a: 1})',
        "dog",
        "cat",
        "pets",
    ],
    "Named": ["name", "name(short: true)", "other", "size"],
    "Dog": ["name", "name(short: true)", "other", "size", "bark", "friends(n: 1)", "friends"],
    "Cat": ["name", "other", "size", "bark", "friends(n: 1)"],
    "Pet": ["__typename"],
}
TYPES = {"pet": "Pet", "named": "Named", "dog": "Dog", "cat": "Cat", "pets": "Pet", "friends": "Named"}


def selection(random: Random, type: str, depth: int, fragments: dict[str, str]) -> str:
    """Write a selection in which fields meet often."""
    written = []
    for _ in range(random.randint(1, 3 - depth)):
        odd = random.random()
        if odd < 0.25:
            on = random.choice(["Named", "Dog", "Cat"] if type != "Query" else ["Query"])
            written.append(f"... on {on} {selection(random, on, depth, fragments)}")
        elif odd < 0.35 and len(fragments) < 4:
            name, on = f"F{len(fragments)}", random.choice(["Named", "Dog"]) if type != "Query" else "Query"
            fragments[name] = ""
            fragments[name] = f"fragment {name} on {on} {selection(random, on, depth, fragments)}"
            written.append(f"...{name}")
        elif odd < 0.45 and fragments:
            usable = [name for name, text in fragments.items() if text and ("on Query" in text) == (type == "Query")]
            written += [f"...{random.choice(usable)}"] if usable else []
        else:
            field = random.choice(FIELDS[type])
            name = field.split("(")[0]
            to = "Cat" if (type, name) == ("Cat", "other") else "Named" if name == "other" else TYPES.get(name)
            below = ""
            if to is not None:
                below = selection(random, to, depth + 1, fragments) if depth < 2 else "{ __typename }"
            written.append(random.choice(["", "", "x: "]) + field + below)
    return "{ " + " ".join(written or ["__typename"]) + " }"


@pytest.mark.parametrize("seed", range(2))
def test_verdicts_are_those_of_graphql_core(seed: int) -> None:
    random = Random(seed)
    verdicts = []
    for _ in range(80):
        fragments: dict[str, str] = {}
        text = selection(random, "Query", 0, fragments) + "\n".join(fragments.values())
        document = parse(text)
        theirs = bool(validate(SCHEMA, document, [OverlappingFieldsCanBeMergedRule]))
        assert bool(overlaps(SCHEMA, document).conflicts) == theirs, text
        verdicts.append(theirs)
    assert 8 < sum(verdicts) < 72


def test_repeated_fields_are_looked_at_once_each() -> None:
    document = parse("{ " + "dog { name friends(n: 1) { name } } " * 1_000 + "}")
    found = overlaps(SCHEMA, document)
    assert (found.fields, found.exhausted, found.conflicts) == (4_000, False, [])


def test_fragments_that_open_without_end_are_given_up() -> None:
    levels = [
        f"fragment F{n} on Dog {{ a{n}: other {{ ...F{n + 1} }} b{n}: other {{ ...F{n + 1} }} }}" for n in range(40)
    ]
    document = parse("{ dog { ...F0 } }" + " ".join(levels) + " fragment F40 on Dog { name }")
    found = overlaps(SCHEMA, document)
    assert found.exhausted
    assert found.fields < 100_000
    assert any("too many fields" in error.message for error in judged(SCHEMA, document).problems)


def test_the_fields_whose_arguments_were_compared_are_told() -> None:
    document = parse("{ named(id: 1) { name } named(id: 1) { size } dog { friends(n: 2) { name } } }")
    assert [node.name.value for node in overlaps(SCHEMA, document).compared] == ["named", "named"]


def test_ordinary_conflicts_are_explained_as_graphql_core_does() -> None:
    document = parse("{ dog { other { x: name } } dog { other { x: size } } }")
    assert judged(SCHEMA, document).problems == validate(SCHEMA, document)


def test_many_conflicts_are_told_up_to_a_number() -> None:
    document = parse("{ " + " ".join(f"a{n}: dog {{ name }} a{n}: cat {{ name }}" for n in range(300)) + " }")
    found = judged(SCHEMA, document).problems
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1].message.startswith("Too many validation errors")


def test_fragments_that_spread_each_other_are_left_to_the_rule_for_that() -> None:
    document = parse("{ dog { ...A } } fragment A on Dog { other { ...B } } fragment B on Dog { other { ...A } }")
    assert any("Cannot spread fragment" in error.message for error in judged(SCHEMA, document).problems)
