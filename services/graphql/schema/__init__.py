"""The schema of the action service: every noun's fields merged into one (actions.md §1). Built once, by app.

A noun module exports `Mutation` and/or `Query`, and in `TYPES` what no field refers to.
"""

from types import ModuleType
from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types

from services.graphql.scalars import SCALARS
from services.graphql.schema import (
    agents,
    artifacts,
    cloud_hooks,
    flow_groups,
    flows,
    logs,
    messages,
    projects,
    queries,
    runs,
    states,
    tenants,
)

NOUNS: tuple[ModuleType, ...] = (
    queries,
    tenants,
    projects,
    flows,
    flow_groups,
    runs,
    states,
    logs,
    messages,
    agents,
    artifacts,
    cloud_hooks,
)
"""In the order in which their fields stand in the contract."""


def build_schema(nouns: tuple[ModuleType, ...] = NOUNS) -> strawberry.Schema:
    """Return the schema of these nouns."""
    return strawberry.Schema(
        query=merge_types("Query", _exported(nouns, "Query")),
        mutation=merge_types("Mutation", _exported(nouns, "Mutation")),
        types=[type_ for noun in nouns for type_ in getattr(noun, "TYPES", ())],
        config=StrawberryConfig(auto_camel_case=False, scalar_map=SCALARS),
    )


def sdl() -> str:
    """Return the schema as text; `services/graphql/schema.graphql` is this, and a test says so."""
    return f"{build_schema().as_str()}\n"


def _exported(nouns: tuple[ModuleType, ...], name: str) -> tuple[Any, ...]:
    return tuple(getattr(noun, name) for noun in nouns if hasattr(noun, name))
