"""Queries that name no run: hello, reference_data, api (actions.md §2.1). Env is read per request."""

import os

import strawberry

from server_core import states
from server_core.observe import server_version
from services.graphql.scalars import JSON


@strawberry.type(name="reference_data")
class ReferenceData:
    """The vocabulary of states."""

    state_hierarchy: JSON
    state_info: JSON


@strawberry.type(name="api_info")
class ApiInfo:
    """What answers, and in which version."""

    backend: str | None
    mode: str | None
    version: str | None
    core_version: str | None
    release_timestamp: str | None


@strawberry.type
class Query:
    """Queries that name no run."""

    @strawberry.field
    async def hello(self) -> str | None:
        """Answer; agents probe the connection with it."""
        return "👋"

    @strawberry.field
    async def reference_data(self) -> ReferenceData | None:
        """Return the classes of states, what descends from each, and their colours."""
        return ReferenceData(
            state_hierarchy=JSON({name: list(family) for name, family in states.HIERARCHY.items()}),
            state_info=JSON({name: {"color": color} for name, color in states.COLORS.items()}),
        )

    @strawberry.field
    async def api(self) -> ApiInfo | None:
        """Return what answers, and in which version."""
        return ApiInfo(
            backend="SERVER",
            mode="normal",
            version=server_version(),
            core_version=os.environ.get("PREFECT_CORE_VERSION") or states.LIBRARY_VERSION,
            release_timestamp=os.environ.get("RELEASE_TIMESTAMP") or None,
        )
