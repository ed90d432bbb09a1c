"""Which services an edit starts anew, and what a file with a mistake in it holds back."""

from pathlib import Path

import pytest

from server_core.cli.assemble import NEED_DATABASE, SERVICES
from server_core.cli.reload import Edits, Tree, source_tree

ROOT = Path("/clone")
TREE = Tree(services=ROOT / "services", core=ROOT / "src/server_core", migrations=ROOT / "migrations")
APP, SQL, CORE = ROOT / "services/data/app.py", ROOT / "services/data/sql/rows.py", ROOT / "src/server_core/states.py"


@pytest.mark.parametrize(
    ("path", "services"),
    [
        ("services/data/sql/select.py", ("data",)),
        ("services/gateway/playground.html", ("gateway",)),
        ("services/towel/loops/lazarus.py", ("towel",)),
        ("services/__init__.py", SERVICES),
        ("src/server_core/states.py", SERVICES),
        ("migrations/sql/functions/plan_flow_anew.sql", NEED_DATABASE),
        ("docs/cli.md", ()),
    ],
)
def test_a_file_belongs_to_the_services_that_run_it(path: str, services: tuple[str, ...]) -> None:
    assert tuple(TREE.services_of(ROOT / path)) == services


def test_the_migrations_of_a_wheel_lie_inside_the_core() -> None:
    tree = Tree(services=ROOT / "services", core=ROOT / "server_core", migrations=ROOT / "server_core/_migrations")
    assert tree.services_of(ROOT / "server_core/_migrations/env.py") == NEED_DATABASE


def test_the_tree_is_the_one_that_runs() -> None:
    tree = source_tree()
    assert (tree.services / "towel/app.py").is_file()
    assert (tree.core / "cli/dev.py").is_file()
    assert (tree.migrations / "env.py").is_file()


def test_only_the_service_whose_code_changed_starts_anew() -> None:
    change = Edits(TREE).judge({APP: "x = 1"})
    assert (change.services, change.cause, change.problems) == (["data"], "services/data/app.py was changed", [])


def test_a_deleted_file_counts_as_a_change() -> None:
    assert Edits(TREE).judge({APP: None}).services == ["data"]


def test_several_files_are_one_change() -> None:
    change = Edits(TREE).judge({APP: "", ROOT / "services/gateway/edge.py": ""})
    assert change.services == ["data", "gateway"]
    assert change.cause == "2 files were changed (services/data/app.py, …)"


def test_a_file_with_a_mistake_stops_nothing_until_it_is_whole_again() -> None:
    """Other edits of the same service wait with it; those of other services do not."""
    edits = Edits(TREE)
    broken = edits.judge({APP: "x = 1\ndef f(:\n"})
    assert broken.services == []
    assert broken.problems == ["services/data/app.py, line 2: invalid syntax"]
    assert edits.judge({SQL: "y = 2"}).services == []
    assert edits.judge({CORE: "z = 3"}).services == ["gateway", "graphql", "towel"]
    whole = edits.judge({APP: "x = 1"})
    assert (whole.services, whole.problems) == (["data"], [])


def test_what_only_the_compiler_sees_is_a_mistake_too() -> None:
    edits = Edits(TREE)
    assert edits.judge({APP: "return 1"}).problems == ["services/data/app.py, line 1: 'return' outside function"]
    assert edits.judge({APP: "x = '\0'"}).services == []


def test_a_doubtful_text_is_no_mistake() -> None:
    """Warnings of the compiler are for the one who runs it."""
    assert Edits(TREE).judge({APP: r"x = '\d'"}).services == ["data"]
