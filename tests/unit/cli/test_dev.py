"""Which services `dev services` runs."""

import pytest

from server_core.cli.dev import chosen
from server_core.errors import ConfigError


@pytest.mark.parametrize(
    ("include", "exclude", "names"),
    [
        ([], [], ["gateway", "data", "graphql", "towel"]),
        (["towel", "data"], [], ["data", "towel"]),
        (["apollo,graphql"], [], ["gateway", "graphql"]),
        ([], ["graphql", "hasura, towel"], ["gateway"]),
        (["gateway,data"], ["data"], ["gateway"]),
    ],
)
def test_services_are_chosen_by_name(include: list[str], exclude: list[str], names: list[str]) -> None:
    assert chosen(include, exclude) == names


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="Unknown service ui; the services are gateway, data, graphql, towel, apollo"):
        chosen(["ui"], [])


def test_nothing_left_is_refused() -> None:
    with pytest.raises(ConfigError, match="No service is left"):
        chosen(["data"], ["data"])
