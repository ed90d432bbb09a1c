"""Turns a request that came through a proxy into the one that its client sent. The outer layer of app.

    prefix       every endpoint is there below `gateway.base_path` too, whether the proxy takes it off the path or not;
                 a proxy may also tell in `X-Forwarded-Prefix` what it took off
    client       `X-Forwarded-For` and `-Proto`, or `Forwarded`: the address and scheme that the proxy saw
    host         `X-Forwarded-Host`: the name by which the client called

What proxies tell counts only if it comes from `gateway.trusted_proxies`. The scope is changed in place: the layers
around this one see the result, and write it to the log.
"""

import re
from collections.abc import Awaitable, Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from server_core.errors import ConfigError

_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)+")
_PAIR = re.compile(r'\s*([A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*')
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_LONGEST_ADDRESS = 64
"""Characters; what is longer is no address, and not worth remembering."""
_TOLD = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-prefix", b"x-forwarded-proto"})


class BehindProxy:
    """An ASGI app as its clients see it.

    Args:
        app: answers.
        base_path: prefix of every path, such as `/prefect`; empty for none.
        trusted: addresses and networks of proxies, comma-separated; `*` for any.

    Raises:
        ConfigError: one of them makes no sense; the message names the setting.
    """

    def __init__(self, app: ASGIApp, *, base_path: str, trusted: str) -> None:
        self._app = app
        self._base = read_base_path(base_path)
        self._trusted = Trusted(trusted)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer as the app does."""
        if scope["type"] in ("http", "websocket"):
            told = {} if _TOLD.isdisjoint(dict(scope["headers"])) else self._told(scope)
            if self._base or told:
                _place(scope, told.get("x-forwarded-prefix", ""), self._base)
        return self._app(scope, receive, send)

    def _told(self, scope: Scope) -> dict[str, str]:
        """Take in what a trusted proxy says; return its headers, none if it is not one."""
        peer = scope.get("client")
        if peer is None or peer[0] not in self._trusted:
            return {}
        told: dict[str, str] = {}
        for raw, value in scope["headers"]:
            if raw in _TOLD:
                name, text = raw.decode("latin-1"), value.decode("latin-1")
                told[name] = f"{told[name]}, {text}" if name in told else text
        hops = _forwarded(told.get("forwarded", ""))
        clients = _listed(told.get("x-forwarded-for", "")) or [hop["for"] for hop in hops if "for" in hop]
        if clients:
            scope["client"] = (self._trusted.outermost(clients), 0)
        scheme = _last(told.get("x-forwarded-proto", "")) or next((hop["proto"] for hop in hops if "proto" in hop), "")
        if scheme.lower() in _SCHEMES:
            secure = scheme.lower() in ("https", "wss")
            scope["scheme"] = ("ws" if scope["type"] == "websocket" else "http") + ("s" if secure else "")
        host = _last(told.get("x-forwarded-host", "")) or next((hop["host"] for hop in hops if "host" in hop), "")
        if host:
            kept = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [(b"host", host.encode("latin-1")), *kept]
        return told


class Trusted:
    """A set of addresses: single ones, networks, or all.

    Args:
        text: comma-separated; `*` is any.
    """

    def __init__(self, text: str) -> None:
        members = _listed(text)
        self._all = "*" in members
        self._networks: list[IPv4Network | IPv6Network] = []
        for member in members:
            if member != "*":
                try:
                    self._networks.append(ip_network(member, strict=False))
                except ValueError:
                    raise ConfigError(f"gateway.trusted_proxies: {member!r} is not an address or a network") from None
        self._known = lru_cache(maxsize=1024)(self._find)

    def __contains__(self, host: str) -> bool:
        return self._all or (len(host) <= _LONGEST_ADDRESS and self._known(host))

    def outermost(self, clients: list[str]) -> str:
        """Return the last of a chain of addresses that is no proxy of ours; the first if all are."""
        hosts = [_host(client) for client in clients]
        return next((host for host in reversed(hosts) if host not in self), hosts[0]) if hosts else ""

    def _find(self, host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._networks)


def read_base_path(text: str) -> str:
    """Return a base path with one slash before it and none behind; empty for none.

    Raises:
        ConfigError: it is no path.
    """
    path = "/" + text.strip().strip("/")
    if path == "/":
        return ""
    if not _PREFIX.fullmatch(path) or ".." in path:
        raise ConfigError(f"gateway.base_path: {text!r} is not a path such as /prefect")
    return path


def _place(scope: Scope, told: str, base: str) -> None:
    """Set `root_path` to the prefix, and `path` to the whole of what the client asked for."""
    told = "".join(part.rstrip("/") for part in _listed(told))
    prefix = told if _PREFIX.fullmatch(told) else ""
    path = rest = scope["path"]
    if prefix and _below(path, prefix):
        rest = path[len(prefix) :]
    elif base and _below(path, base):
        prefix += base
        rest = path[len(base) :]
    elif not prefix:
        prefix = base
    if prefix:
        scope["root_path"] = prefix
        scope["path"] = prefix + (rest or "/")


def _below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) :][:1] in ("", "/")


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _last(text: str) -> str:
    """Return the last member of a list: the proxy next to us added it."""
    return next(reversed(_listed(text)), "")


def _forwarded(header: str) -> list[Mapping[str, str]]:
    """Read RFC 7239: a mapping per hop, the nearest last; what is not well-formed is passed over."""
    return [dict(_pairs(element)) for element in _listed(header)]


def _pairs(element: str) -> Iterable[tuple[str, str]]:
    for part in element.split(";"):
        match = _PAIR.fullmatch(part)
        if match:
            yield match[1].lower(), re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]


def _host(client: str) -> str:
    """Return the address of `192.0.2.1:443`, `[2001:db8::1]:443` or of either without a port."""
    if client.startswith("["):
        return client[1:].partition("]")[0]
    return client.partition(":")[0] if client.count(":") == 1 else client
