"""tests/contract/rules.toml against the tests: every pinned rule has one, and it says which section it proves."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RULES: dict[str, Any] = tomllib.loads((ROOT / "tests/contract/rules.toml").read_text())
SECTIONS: dict[str, dict[str, dict[str, Any]]] = RULES["rules"]
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


def test_no_section_is_unknown_or_without_rules() -> None:
    """Each section has at least as many rules as it has pinned places."""
    assert set(SECTIONS) == set(RULES["marks"])
    assert {section: len(rules) for section, rules in SECTIONS.items() if len(rules) < RULES["marks"][section]} == {}
    assert sum(count for section, count in RULES["marks"].items() if section != "10") == PINNED


@pytest.mark.parametrize("section", SECTIONS)
def test_every_rule_has_tests_that_name_its_section(section: str) -> None:
    for key, rule in SECTIONS[section].items():
        rule_id = f"{section}-{key}"
        assert set(rule) == {"says", "tests"}, rule_id
        assert rule["says"], rule_id
        assert rule["tests"], rule_id
        for test in rule["tests"]:
            file, _, name = test.partition("::")
            found = docstrings(ROOT / RULES["files"][file])
            assert name in found, f"{rule_id}: there is no test {test}"
            assert names(found[name], section), f"{rule_id}: {test} does not name §{section}"


def test_no_file_is_named_in_vain() -> None:
    used = {test.partition("::")[0] for rules in SECTIONS.values() for rule in rules.values() for test in rule["tests"]}
    assert used == set(RULES["files"])
