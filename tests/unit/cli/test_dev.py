"""Which services `dev services` runs, and which loops of the towel."""

import pytest

from server_core.cli.assemble import loop_names
from server_core.cli.dev import choose
from server_core.errors import ConfigError

LOOPS = ["scheduler", "lazarus", "zombie_killer"]


ALL = {name: f"services {name}" for name in ("gateway", "data", "graphql", "towel")}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], ALL),
        (["towel", "data"], [], {name: ALL[name] for name in ("data", "towel")}),
        (["apollo,graphql"], [], {name: ALL[name] for name in ("gateway", "graphql")}),
        ([], ["graphql"], {name: ALL[name] for name in ("gateway", "data", "towel")}),
        ([], ["graphql", "hasura, towel"], {"gateway": ALL["gateway"]}),
        (["gateway,data"], ["data"], {"gateway": ALL["gateway"]}),
        (["lazarus"], [], {"lazarus": "services towel --loops lazarus"}),
        (
            ["zombie_killer,gateway", "scheduler"],
            [],
            {
                "gateway": ALL["gateway"],
                "scheduler": "services towel --loops scheduler --port 0",
                "zombie_killer": "services towel --loops zombie_killer --port 0",
            },
        ),
        ([], ["lazarus"], {**ALL, "towel": "services towel --loops scheduler,zombie_killer"}),
        (["towel"], ["scheduler"], {"towel": "services towel --loops lazarus,zombie_killer"}),
        (["towel,lazarus"], [], {"towel": ALL["towel"]}),
        (["gateway,lazarus"], ["towel"], {"gateway": ALL["gateway"]}),
        ([], LOOPS, {name: ALL[name] for name in ("gateway", "data", "graphql")}),
    ],
)
def test_services_are_chosen_by_name(include: list[str], exclude: list[str], expected: dict[str, str]) -> None:
    """A loop asked for by its name is a process of its own; several of them cannot have the port of the towel."""
    assert {run.name: " ".join(run.arguments) for run in choose(include, exclude, LOOPS)} == expected


def test_a_loop_runs_the_code_of_the_towel() -> None:
    assert [run.service for run in choose(["data,lazarus"], [], LOOPS)] == ["data", "towel"]


def test_an_unknown_name_lists_the_known_ones() -> None:
    known = "gateway, data, graphql, towel, apollo, hasura, the loops scheduler, lazarus, zombie_killer"
    with pytest.raises(ConfigError, match=f"Unknown service ui; the services are {known}"):
        choose(["ui"], [], LOOPS)


def test_nothing_left_is_refused() -> None:
    with pytest.raises(ConfigError, match="No service is left"):
        choose(["data"], ["data"], LOOPS)


def test_the_loops_are_those_of_the_towel() -> None:
    assert set(LOOPS) <= set(loop_names())


def test_an_inclusion_without_names_is_not_all() -> None:
    """`-i "$SERVICES"` with a variable that is not set."""
    with pytest.raises(ConfigError, match="--include names no service"):
        choose(["", " , "], [], LOOPS)
