"""Which services `dev services` runs, and which loops of the towel."""

import pytest

from server_core.cli.assemble import loop_names
from server_core.cli.dev import Choice, choose
from server_core.errors import ConfigError

LOOPS = ["scheduler", "lazarus", "zombie_killer"]


@pytest.mark.parametrize(
    ("include", "exclude", "services", "loops"),
    [
        ([], [], ["gateway", "data", "graphql", "towel"], None),
        (["towel", "data"], [], ["data", "towel"], None),
        (["apollo,graphql"], [], ["gateway", "graphql"], []),
        ([], ["graphql", "hasura, towel"], ["gateway"], []),
        (["gateway,data"], ["data"], ["gateway"], []),
        (["lazarus"], [], ["towel"], ["lazarus"]),
        (["zombie_killer,gateway", "scheduler"], [], ["gateway", "towel"], ["scheduler", "zombie_killer"]),
        ([], ["lazarus"], ["gateway", "data", "graphql", "towel"], ["scheduler", "zombie_killer"]),
        (["towel"], ["scheduler"], ["towel"], ["lazarus", "zombie_killer"]),
        (["towel,lazarus"], [], ["towel"], None),
        ([], LOOPS, ["gateway", "data", "graphql"], []),
    ],
)
def test_services_are_chosen_by_name(
    include: list[str], exclude: list[str], services: list[str], loops: list[str] | None
) -> None:
    assert choose(include, exclude, LOOPS) == Choice(services=services, loops=loops)


def test_an_unknown_name_lists_the_known_ones() -> None:
    known = "gateway, data, graphql, towel, apollo, hasura, the loops scheduler, lazarus, zombie_killer"
    with pytest.raises(ConfigError, match=f"Unknown service ui; the services are {known}"):
        choose(["ui"], [], LOOPS)


def test_nothing_left_is_refused() -> None:
    with pytest.raises(ConfigError, match="No service is left"):
        choose(["data"], ["data"], LOOPS)


def test_the_loops_are_those_of_the_towel() -> None:
    assert set(LOOPS) <= set(loop_names())
