"""tests/contract/*.toml against the tests: every pinned rule has one, and it says which section it proves."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS: dict[str, dict[str, Any]] = {
    name: tomllib.loads((ROOT / f"tests/contract/{name}.toml").read_text()) for name in ("rules", "gateway")
}
PINNED = 246
"""How many places of actions.md are marked as pinned by a legacy test, besides the lines of its section 10."""

_SECTION = re.compile(r"§(\d+(?:\.\d+)*)(?:\s*[-–]\s*§?(\d+(?:\.\d+)*))?")


@cache
def docstrings(path: Path) -> dict[str, str]:
    """Return what each test of a module says of itself, together with what the module says."""
    module = ast.parse(path.read_text())
    said = ast.get_docstring(module) or ""
    return {
        node.name: f"{said}\n{ast.get_docstring(node) or ''}"
        for node in module.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def names(text: str, section: str) -> bool:
    """Say whether a text names a section: `§2.4`, a part of it like `§2.4.3`, or a range like `§7.1-7.4`."""
    wanted = parts(section)
    for first, last in _SECTION.findall(text):
        low = parts(first)
        if low[: len(wanted)] == wanted or (last and low <= wanted <= parts(last)):
            return True
    return False


def parts(section: str) -> tuple[int, ...]:
    return tuple(int(part) for part in section.split("."))


@pytest.mark.parametrize(
    ("text", "section", "expected"),
    [
        ("actions.md §2.4", "2.4", True),
        ("(§2.6.3)", "2.6", True),
        ("§7.1-7.4", "7.3", True),
        ("§3.3–3.7", "3.5", True),
        ("§2.10", "2.1", False),
        ("§2.1", "2.10", False),
        ("2.4", "2.4", False),
        ("§2.4, §10", "10", True),
    ],
)
def test_naming_a_section(text: str, section: str, expected: bool) -> None:
    assert names(text, section) is expected


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_no_section_is_unknown_or_without_rules(document: dict[str, Any]) -> None:
    """Each section has at least as many rules as it has pinned places."""
    assert set(document["rules"]) == set(document["marks"])
    assert [name for name, rules in document["rules"].items() if len(rules) < document["marks"][name]] == []


def test_every_pinned_place_is_counted() -> None:
    assert sum(count for section, count in DOCUMENTS["rules"]["marks"].items() if section != "10") == PINNED


@pytest.mark.parametrize(
    ("name", "section"), [(name, section) for name, document in DOCUMENTS.items() for section in document["rules"]]
)
def test_every_rule_has_tests_that_name_its_section(name: str, section: str) -> None:
    document = DOCUMENTS[name]
    for key, rule in document["rules"][section].items():
        rule_id = f"{section}-{key}"
        assert set(rule) == {"says", "tests"}, rule_id
        assert rule["says"], rule_id
        assert rule["tests"], rule_id
        for test in rule["tests"]:
            file, _, function = test.partition("::")
            function, _, row = function.partition("[")
            path = ROOT / document["files"][file]
            found = docstrings(path)
            assert function in found, f"{rule_id}: there is no test {test}"
            assert names(found[function], section), f"{rule_id}: {test} does not name §{section}"
            assert not row or f'    "{row.removesuffix("]")}": ' in path.read_text(), (
                f"{rule_id}: there is no row {test}"
            )


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_no_file_is_named_in_vain(document: dict[str, Any]) -> None:
    rules = [rule for section in document["rules"].values() for rule in section.values()]
    assert {test.partition("::")[0] for rule in rules for test in rule["tests"]} == set(document["files"])
