"""What a proxy tells, and who is believed (demand 13)."""

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from server_core.errors import ConfigError
from services.gateway.proxy import BehindProxy, Trusted, read_base_path


async def seen(
    path: str, headers: dict[str, str], *, base_path: str = "", trusted: str = "127.0.0.1", peer: str = "127.0.0.1"
) -> dict[str, Any]:
    """Return the scope that the app sees."""
    found: dict[str, Any] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.update(scope)

    async def never() -> Any:
        raise AssertionError

    async def nowhere(message: Any) -> None:
        raise AssertionError

    raw = [(name.lower().encode(), value.encode()) for name, value in {"Host": "inner:4200", **headers}.items()]
    scope = {"type": "http", "path": path, "root_path": "", "scheme": "http", "client": (peer, 5), "headers": raw}
    await BehindProxy(app, base_path=base_path, trusted=trusted)(scope, never, nowhere)
    return found


@pytest.mark.parametrize(
    ("path", "told", "base", "root", "whole"),
    [
        ("/", "", "", "", "/"),
        ("/prefect/graphql", "", "", "", "/prefect/graphql"),
        # the proxy leaves the prefix
        ("/prefect", "", "/prefect", "/prefect", "/prefect/"),
        ("/prefect/", "", "/prefect", "/prefect", "/prefect/"),
        ("/prefect/graphql", "", "prefect/", "/prefect", "/prefect/graphql"),
        ("/prefect/health", "/prefect", "", "/prefect", "/prefect/health"),
        # it takes it off
        ("/", "", "/prefect", "/prefect", "/prefect/"),
        ("/health", "", "/a/b", "/a/b", "/a/b/health"),
        ("/health", "/prefect", "", "/prefect", "/prefect/health"),
        ("/health", "/prefect/", "/prefect", "/prefect", "/prefect/health"),
        # a name that only begins like it
        ("/prefectural", "", "/prefect", "/prefect", "/prefect/prefectural"),
        # one proxy behind the other
        ("/prefect/health", "/outer", "/prefect", "/outer/prefect", "/outer/prefect/health"),
        ("/health", "/outer, /inner", "", "/outer/inner", "/outer/inner/health"),
        # what is no path is not believed
        ("/health", "//evil.example", "", "", "/health"),
        ("/health", '/"><script>', "", "", "/health"),
        ("/health", "prefect", "", "", "/health"),
    ],
)
async def test_a_prefix(path: str, told: str, base: str, root: str, whole: str) -> None:
    scope = await seen(path, {"X-Forwarded-Prefix": told} if told else {}, base_path=base)
    assert (scope["root_path"], scope["path"]) == (root, whole)


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, "127.0.0.1"),
        ({"X-Forwarded-For": "192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "203.0.113.9, 192.0.2.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "192.0.2.1, 127.0.0.1"}, "192.0.2.1"),
        ({"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1"),
        ({"X-Forwarded-For": "[2001:db8::1]:443"}, "2001:db8::1"),
        ({"X-Forwarded-For": "2001:db8::1"}, "2001:db8::1"),
        ({"X-Forwarded-For": "192.0.2.1:1234"}, "192.0.2.1"),
        ({"X-Forwarded-For": ""}, "127.0.0.1"),
        ({"Forwarded": 'for=203.0.113.9;proto=http, For="[2001:db8::1]:4711"; proto=https'}, "2001:db8::1"),
        ({"Forwarded": "nonsense"}, "127.0.0.1"),
    ],
)
async def test_the_client(headers: dict[str, str], client: str) -> None:
    """The address nearest to us that is no proxy of ours: what stands before it anybody can write."""
    assert (await seen("/", headers))["client"][0] == client


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        ({"X-Forwarded-Proto": "https"}, "https", "inner:4200"),
        ({"X-Forwarded-Proto": "http, HTTPS", "X-Forwarded-Host": "prefect.example"}, "https", "prefect.example"),
        ({"X-Forwarded-Proto": "gopher"}, "http", "inner:4200"),
        ({"Forwarded": 'proto=https;host="prefect.example:8443"'}, "https", "prefect.example:8443"),
    ],
)
async def test_the_scheme_and_the_name(headers: dict[str, str], scheme: str, host: str) -> None:
    scope = await seen("/", headers)
    assert scope["scheme"] == scheme
    assert [value.decode() for name, value in scope["headers"] if name == b"host"] == [host]


TOLD = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/p", "Forwarded": "host=h"}


async def test_strangers_are_not_believed() -> None:
    scope = await seen("/health", TOLD, peer="198.51.100.7")
    assert (scope["client"][0], scope["scheme"], scope["path"]) == ("198.51.100.7", "http", "/health")
    assert (await seen("/", TOLD, trusted=""))["scheme"] == "http"


@pytest.mark.parametrize("trusted", ["*", "198.51.100.7", "10.0.0.1, 198.51.100.0/24", "::1,198.51.0.0/16"])
async def test_those_who_are_named_are_believed(trusted: str) -> None:
    scope = await seen("/health", TOLD, peer="198.51.100.7", trusted=trusted)
    assert (scope["client"][0], scope["scheme"], scope["path"]) == ("192.0.2.1", "https", "/p/health")


def test_addresses() -> None:
    assert "::ffff:127.0.0.1" in Trusted("127.0.0.1")
    assert "unix:" not in Trusted("127.0.0.1")
    assert Trusted("*").outermost(["192.0.2.1", "127.0.0.1"]) == "192.0.2.1"
    with pytest.raises(ConfigError, match=r"gateway\.trusted_proxies: 'proxy' is not"):
        Trusted("127.0.0.1, proxy")


@pytest.mark.parametrize(("text", "path"), [("", ""), ("/", ""), ("prefect", "/prefect"), (" /a/b/ ", "/a/b")])
def test_a_base_path(text: str, path: str) -> None:
    assert read_base_path(text) == path


@pytest.mark.parametrize("text", ["/a b", "/a?b", "http://host/prefect", "/../a", "/a//b", '/"'])
def test_what_is_no_base_path(text: str) -> None:
    with pytest.raises(ConfigError, match=r"gateway\.base_path"):
        read_base_path(text)
