"""Sends one request of a cloud hook and returns the receiver's answer. Called by actions/hook_attempts.

Redirects are not followed and bodies not read. With `forbid_private` every connection, whatever made it necessary, goes
to an address that was looked up and judged just before: a name that leads elsewhere a moment later gains nothing.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from server_core.rules.hook_events import Delivery
from server_core.rules.hook_targets import DEFAULT_PORTS, Address, check_url, literal_address, refuse_forbidden

LOOKUP_SECONDS = 5.0
"""How long a hook that is made waits for its name to be looked up."""

Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""Returns the addresses of a name, best first; raises OSError when there are none."""


async def resolve(host: str, port: int) -> list[Address]:
    """Ask the system's resolver. The Resolve of a running server."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(address[0]) for *_, address in found]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a receiver said: its HTTP status, and for how many seconds it asked to be left alone."""

    status: int
    retry_after: float = 0.0


class CheckedTransport(httpx.AsyncBaseTransport):
    """Looks a host up, refuses forbidden addresses, and connects to one of those it has judged.

    The name stays in the Host header and is what a certificate must be for. No connection is kept: two names may share
    an address, and a kept connection was verified for one of them.

    Args:
        resolve: looks names up.
        inner: sends the request to the address.
    """

    def __init__(self, resolve: Resolve, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._resolve = resolve
        self._inner = inner or httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; see the class.

        Raises:
            InvalidInput: the host is forbidden.
            httpx.ConnectError: it has no address, or none of them answers.
        """
        url = request.url
        host = url.host
        try:
            addresses = await addresses_of(host, url.port or DEFAULT_PORTS[url.scheme], self._resolve)
        except OSError as error:
            raise httpx.ConnectError(f"{host} has no address.") from error
        refuse_forbidden(host, addresses)
        request.extensions = {**request.extensions, "sni_hostname": host}
        failure = httpx.ConnectError(f"{host} has no address.")
        for address in addresses:
            request.url = url.copy_with(host=str(address))
            try:
                return await self._inner.handle_async_request(request)
            except httpx.ConnectError as error:
                failure = error
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


async def addresses_of(host: str, port: int, resolve: Resolve) -> list[Address]:
    """Return the addresses that a host spells or stands for, each once.

    Raises:
        OSError: it is a name without any.
    """
    literal = literal_address(host)
    return [literal] if literal else list(dict.fromkeys(await resolve(host, port)))


class HookClient:
    """The HTTP client of cloud hooks.

    Args:
        forbid_private: refuse hosts of private networks.
        transport: how requests are sent; by default over the network, through the proxies that the environment names
            unless private hosts are refused.
        resolve: looks names up, when private hosts are refused.
    """

    def __init__(
        self,
        *,
        forbid_private: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._forbid_private = forbid_private
        self._transport = transport
        self._resolve = resolve
        self._client: httpx.AsyncClient | None = None

    async def check(self, url: str) -> None:
        """Refuse a URL that leads to a forbidden address; a name that cannot be looked up now is judged when used.

        Raises:
            InvalidInput: hooks must not reach it.
        """
        if not self._forbid_private:
            return
        host, port = check_url(url)
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                addresses = await addresses_of(host, port, self._resolve)
        except (OSError, TimeoutError, UnicodeError):
            return
        refuse_forbidden(host, addresses)

    async def post(self, delivery: Delivery) -> Answer:
        """Send one request and return the answer's status.

        Raises:
            TimeoutError: there was no answer in time.
            InvalidInput: hooks must not reach the host.
            httpx.HTTPError, httpx.InvalidURL: it cannot be reached or makes no sense.
        """
        async with asyncio.timeout(delivery.timeout_seconds):
            client = self._open()
            request = client.build_request(
                "POST", delivery.url, json=delivery.json, data=delivery.form, headers=delivery.headers
            )
            response = await client.send(
                request,
                auth=delivery.basic_auth or httpx.USE_CLIENT_DEFAULT,
                follow_redirects=False,
                stream=True,
            )
            await response.aclose()
        wish = response.headers.get("retry-after", "")
        return Answer(status=response.status_code, retry_after=float(wish) if wish.isascii() and wish.isdigit() else 0)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            transport = CheckedTransport(self._resolve, self._transport) if self._forbid_private else self._transport
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
            self._client = httpx.AsyncClient(transport=transport, limits=limits)
        return self._client
