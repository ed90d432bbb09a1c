"""Settings for tests: the defaults, but for what an option of the run turns off (`--plan-cache off`)."""

import os
from typing import Any, Final

from server_core.config import DataSettings, GatewaySettings, GraphQLSettings, Settings

PLAN_CACHE: Final = "TEST_PLAN_CACHE"
"""What the option becomes in the environment, so that workers and processes know."""


def remembers() -> bool:
    """Tell whether services remember plans in this run."""
    return os.environ.get(PLAN_CACHE) != "off"


def data_settings(**given: Any) -> DataSettings:
    """Return settings of the data API."""
    return DataSettings(**{"plan_cache": remembers(), **given})


def gateway_settings(**given: Any) -> GatewaySettings:
    """Return settings of the gateway."""
    return GatewaySettings(**{"plan_cache": remembers(), **given})


def server_settings(**given: Any) -> Settings:
    """Return settings of the server."""
    graphql = GraphQLSettings(plan_cache=remembers())
    return Settings(**{"data": data_settings(), "gateway": gateway_settings(), "graphql": graphql, **given})


def settings_of_processes() -> dict[str, str]:
    """Return the environment by which processes are told the same."""
    names = () if remembers() else ("DATA", "GATEWAY", "GRAPHQL")
    return {f"PREFECT_SERVER__{name}__PLAN_CACHE": "false" for name in names}
