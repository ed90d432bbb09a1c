"""Subscriptions at the one address that clients know, in every way of running the server."""

from uuid import uuid4

import pytest

from tests.support.live_client import BOTH, connected_to
from tests.support.whole_server import Server

PROJECTS = "subscription ($name: String) { project(where: {name: {_eq: $name}}) { name description } }"


@pytest.mark.every_topology
@pytest.mark.parametrize("protocol", BOTH)
async def test_a_mutation_is_seen_by_who_subscribed(server: Server, protocol: str) -> None:
    """The result comes at once and after the change; requests may be sent over the same socket (data-api.md §3.2)."""
    name = f"live-{uuid4().hex[:8]}"
    tenant_id = str(await server.value("SELECT id FROM tenant ORDER BY created LIMIT 1"))
    async with connected_to(server.url, protocol, path="/graphql") as client:
        await client.init()
        await client.begin("live", PROJECTS, {"name": name})
        assert await client.data("live") == {"project": []}
        await client.begin("refused", "subscription { project { nope } }")
        assert (await client.error("refused"))["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        await client.begin("hello", "{ hello }")
        assert await client.data("hello") == {"hello": "👋"}
        assert await client.message() == {"type": "complete", "id": "hello"}
        made = await server.mutate("create_project", tenant_id=tenant_id, name=name)
        assert await client.data("live") == {"project": [{"name": name, "description": None}]}
        await server.mutate("set_project_description", project_id=made["id"], description="d", select="id")
        assert await client.data("live") == {"project": [{"name": name, "description": "d"}]}
        await server.mutate("delete_project", project_id=made["id"], select="success")
        assert await client.data("live") == {"project": []}
