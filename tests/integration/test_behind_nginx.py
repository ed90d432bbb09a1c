"""The server behind the nginx of examples/nginx: below a path that is taken off or left, and with TLS (demand 13)."""

import gzip
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.certificates import make_certificate
from tests.support.exchange import JSON, Exchange, Sent, over_socket, posted
from tests.support.live_client import BOTH, talking
from tests.support.nginx import nginx
from tests.support.prefect_client import PrefectClient
from tests.support.runs import wait_for_state
from tests.support.whole_server import Server

PAGE = ("Accept", "text/html,*/*;q=0.8")
WAYS = ("stripped", "kept", "tls")


@pytest.fixture(scope="module")
async def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
async def hidden(start_server: Callable[..., Any]) -> Server:
    """A server that is shown below /prefect."""
    server: Server = await start_server("one", PREFECT_SERVER__GATEWAY__BASE_PATH="/prefect")
    return server


@pytest.fixture(scope="module")
async def shown(
    hidden: Server, certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, str]]:
    """The URL that clients are told, by the way nginx is set up."""
    cert, key = certificate
    files = {"/etc/nginx/tls/prefect-server.crt": cert, "/etc/nginx/tls/prefect-server.key": key}
    base = hidden.url.removesuffix("/prefect")
    async with nginx(tmp_path_factory.mktemp("nginx"), base, *WAYS, files=files) as urls:
        yield {name: url if name == "tls" else f"{url}/prefect" for name, url in urls.items()}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """How nginx is set up."""
    name: str = request.param
    return name


@pytest.fixture
def ask(way: str, shown: dict[str, str], certificate: tuple[Path, Path]) -> Exchange:
    """Speaks to the server through nginx."""
    context = ssl.create_default_context(cafile=str(certificate[0])) if way == "tls" else None
    return over_socket(shown[way], context=context)


async def test_every_endpoint(way: str, ask: Exchange) -> None:
    """No redirects; a client posts to the prefix itself (client-operations.md §1.1)."""
    prefix = "" if way == "tls" else "/prefect"
    for target in (prefix or "/", f"{prefix}/", f"{prefix}/graphql", f"{prefix}/graphql/alpha"):
        assert (await ask(posted("{ hello }", target=target))).json() == {"data": {"hello": "👋"}}
        page = (await ask(Sent(method="GET", target=target, headers=(PAGE,)))).body.decode()
        links = re.findall(r'src="([^"]*)"', page)
        assert links
        for link in links:
            file = await ask(Sent(method="GET", target=link, headers=(("Accept-Encoding", "gzip"),)))
            assert file.headers["content-type"].startswith("text/javascript")
            assert gzip.decompress(file.body) if "content-encoding" in file.headers else file.body
    for name in ("health", "ready", ".well-known/apollo/server-health", "metrics", "towel/health"):
        assert (await ask(Sent(method="GET", target=f"{prefix}/{name}", headers=()))).status == 200, name
    preflight = Sent(
        method="OPTIONS", target=f"{prefix}/graphql", headers=(("Access-Control-Request-Headers", "x-backend"),)
    )
    assert (await ask(preflight)).headers["access-control-allow-headers"] == "x-backend"


async def test_bodies_and_batches(way: str, ask: Exchange) -> None:
    prefix = "" if way == "tls" else "/prefect"
    batch = Sent(target=f"{prefix}/graphql", body=json.dumps([{"query": "{ hello }"}] * 25).encode())
    assert (await ask(batch)).json() == [{"data": {"hello": "👋"}}] * 25
    large = posted("{ hello }", target=f"{prefix}/", padding="x" * 4_000_000)
    assert (await ask(large)).json() == {"data": {"hello": "👋"}}
    too_large = await ask(replace(large, body=json.dumps({"query": "{ hello }", "x": "x" * 6_000_000}).encode()))
    assert too_large.status == 413
    assert too_large.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"
    document = "mutation($input: write_run_logs_input!) { write_run_logs(input: $input) { success } }"
    lines = [{"flow_run_id": str(uuid4()), "message": "x" * 10_000_000}]
    logs = await ask(posted(document, json.dumps({"input": {"logs": lines}}), target=f"{prefix}/", headers=(JSON,)))
    assert logs.json() == {"data": {"write_run_logs": {"success": True}}}


@pytest.mark.parametrize("protocol", BOTH)
async def test_live_queries(
    way: str, protocol: str, shown: dict[str, str], hidden: Server, certificate: tuple[Path, Path]
) -> None:
    """WebSockets go through, at the URL that clients are told."""
    options = {"ssl": ssl.create_default_context(cafile=str(certificate[0]))} if way == "tls" else {}
    name = f"watched-{uuid4().hex[:8]}"
    query = f'subscription {{ project(where: {{ name: {{ _eq: "{name}" }} }}) {{ name }} }}'
    async with talking(shown[way], protocol, path="", **options) as client:
        assert await client.answer("{ hello }") == {"data": {"hello": "👋"}}
        await client.begin("1", query)
        assert await client.data() == {"project": []}
        tenant_id = await hidden.value("SELECT id::text FROM tenant ORDER BY created LIMIT 1")
        await hidden.mutate("create_project", tenant_id=tenant_id, name=name)
        assert await client.data() == {"project": [{"name": name}]}


@pytest.mark.parametrize("way", ["stripped", "kept"], indirect=True)
async def test_the_client_registers_and_runs(
    way: str, shown: dict[str, str], hidden: Server, new_client: Callable[..., PrefectClient]
) -> None:
    """PREFECT__SERVER__ENDPOINT with a path: register, agent, a run with its logs."""
    client = new_client(replace(hidden, url=shown[way]))
    project = f"proxied-{uuid4().hex[:8]}"
    assert f"{project} created" in await client.prefect("create", "project", project)
    flow_id = (await client.script("cached.py", project, str(client.home / "results"))).split()[-1]
    run_id = (await client.prefect("run", "--id", flow_id, "--quiet", "--param", "number=1")).strip()
    async with client.agent(name=project) as agent:
        await agent.poke()
        await wait_for_state(hidden, run_id, "Success")
    assert await hidden.value("SELECT count(*) > 0 FROM log WHERE flow_run_id = $1", UUID(run_id))
