"""The literals are cut out of a document, whatever stands around them."""

from random import Random

import pytest

from server_core.shape import Shape, cut


def shape(text: str) -> Shape:
    """Return the shape of a text that has one."""
    found = cut(text)
    assert found is not None
    assert [
        text[start : start + len(literal)] for start, literal in zip(found.starts, found.literals, strict=True)
    ] == [*found.literals]
    return found


@pytest.mark.parametrize(
    ("text", "literals"),
    [
        ("{ f(a: 1, b: -2, c: 0) }", ["1", "-2", "0"]),
        ("{ f(a: 1.5, b: -1e5, c: 2E+3, d: 0.5e-1) }", ["1.5", "-1e5", "2E+3", "0.5e-1"]),
        ('{ f(a: "x", b: "", c: "\\"#\\u0041") }', ['"x"', '""', '"\\"#\\u0041"']),
        ('{ f(a: """x\n \\""" "y" #""", b: """""") }', ['"""x\n \\""" "y" #"""', '""""""']),
        ("query($x1: Int = 5, $y: [A2]) { a1: b2(c3: $x1) @d4(e5: 6) }", ["5", "6"]),
        ("{ f(a: true, b: null, c: ENUM, d: {e1: [A, B]}) }", []),
        ('{ f # "a" 1\n(a: "#1") # 2\r}', ['"#1"']),
        (
            '{ f(a: ["x", "y"\n"z"], b: [1,2 -3], c: ["x"], d: [1 2.5]) }',
            ['"x", "y"\n"z"', "1,2 -3", '"x"', "1", "2.5"],
        ),
        ('{ f(a: "é☃", b: "\U0001f600") }', ['"é☃"', '"\U0001f600"']),
    ],
)
def test_what_is_cut_out(text: str, literals: list[str]) -> None:
    assert list(shape(text).literals) == literals


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{ f(a: "x") }', '{ f(a: "longer # than") }'),
        ('{ f(a: "x") }', '{ f(a: """x""") }'),
        ("{ f(a: 1) }", "{ f(a: -2147483649) }"),
        ("{ f(a: 1.5) }", "{ f(a: 1e9) }"),
        ('{ f(a: ["x", "y"]) }', '{ f(a: ["x", "y","z" "a"]) }'),
        ("{ f(a: [1, 2]) }", "{ f(a: [3 4 5]) }"),
    ],
)
def test_other_literals_of_a_kind_have_one_shape(one: str, other: str) -> None:
    assert shape(one).key == shape(other).key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("{ f(a: 1) }", "{ f(a: 1.0) }"),
        ("{ f(a: 1) }", '{ f(a: "1") }'),
        ("{ f(a: 1.5) }", '{ f(a: "1") }'),
        ("{ f(a: true) }", "{ f(a: false) }"),
        ('{ f(a: ["x", "y"]) }', '{ f(a: ["x"]) }'),
        ('{ f(a: ["x"]) }', '{ f(a: "x") }'),
        ("{ f(a: [1, 2]) }", "{ f(a: [1]) }"),
        ('{ f(a: ["x", "y"]) }', "{ f(a: [1, 2]) }"),
        ("{ f(a: 1) } # a", "{ f(a: 1) } # b"),
        ("{ f(a: 1) }", "{ f(a: 01) }"),
        ('{ f(a: "a" "b") }', '{ f(a: "a") }'),
        ('{ f(a: ["a" "b"]) }', '{ f(a: ["""b"]) }'),
        ('{ f(a: "a") }', '{ f(a: "\\x") }'),
        ('{ f(a: "a") }', '{ f(a: "\n") }'),
        ("{ f(a: 1) }", "{ f(a: 1x) }"),
    ],
)
def test_what_is_not_of_one_shape(one: str, other: str) -> None:
    assert shape(one).key != shape(other).key


def test_half_a_surrogate_pair_has_no_shape() -> None:
    assert cut('{ f(a: "\ud800") }') is None


@pytest.mark.parametrize("seed", range(2))
def test_texts_without_a_backslash_are_cut_as_others(seed: int) -> None:
    """Strings are looked for in a simpler way there; a backslash in a comment before changes nothing else."""
    random = Random(seed)
    quotes, others = (
        ['"', '"', '""', '"""', '"a"', ', "b"'],
        ["[", "]", "#", "\n", "\r", "1", " -2", ".5", " ", ",", "x"],
    )
    for _ in range(3000):
        text = "".join(random.choices([*quotes, *others], k=random.randrange(3, 25)))
        mine, other = shape(text), shape(f"#\\\n{text}")
        assert mine.literals == other.literals, text
        assert (f"#\\\n{mine.key[0]}", *mine.key[1:]) == other.key, text


def test_places_move_with_the_literals_before_them() -> None:
    known, other = '{ f(a: "x", b: [1, 2]) g(c: 3) h }', '{ f(a: "a longer one", b: [1, 20, 300]) g(c: -3) h }'
    for name in "fgh":
        mark = shape(known).mark(known.index(name))
        assert shape(other).offset(mark) == other.index(f" {name}") + 1


def test_tokens_are_not_undercounted() -> None:
    assert shape("{f(a:[1 2 3],b:[4])}").most_tokens >= 16
    many = "{ f(a: [" + '"x" ' * 1000 + "]) }"
    assert 1000 < shape(many).most_tokens < 1100


def test_texts_of_any_kind_are_put_together_again() -> None:
    random = Random(1)
    for _ in range(2000):
        text = "".join(
            random.choices(['"', '""', "\\", "#", "\n", "1", "-", ".", "e", " ", "a", "[", "]", ",", "u00"], k=20)
        )
        found = shape(text)
        pieces = [piece for piece in found.key[::5] if piece is not None]
        assert (
            pieces[0] + "".join(literal + piece for literal, piece in zip(found.literals, pieces[1:], strict=True))
            == text
        )


@pytest.mark.parametrize(
    "unit", ['"', '"\\', '["', '["a",', '"a" ', "1 ", "-", "1.", "1e", "#", "#\n", "[1 ", '"""', '"""\\', "007", "1a"]
)
def test_absurd_texts_cost_no_more_than_their_length(unit: str) -> None:
    """Were the cost quadratic, a text of this length would take minutes; nothing is timed."""
    cut(unit * (300_000 // len(unit)))
