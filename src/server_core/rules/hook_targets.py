"""Decides which URLs and addresses a cloud hook may lead to. Called by rules/cloud_hooks when one is made, and by
actions/hook_http when it connects.

Pure. A URL must be one that can be requested at all; addresses of this machine and of private networks are refused
where the setting `hooks.forbid_private_targets` says so.
"""

import re
import socket
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from server_core.errors import InvalidInput

Address = IPv4Address | IPv6Address

MOST_CHARACTERS = 2048
MOST_HOST_CHARACTERS = 253
DEFAULT_PORTS = {"http": 80, "https": 443}

_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0]")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)

_FORBIDDEN_TOO = tuple(
    map(
        ip_network,
        (
            "100.64.0.0/10",  # carriers' networks; a cloud's metadata at 100.100.100.200
            "168.63.129.16/32",  # a cloud's metadata at a public address
            "192.0.0.0/24",  # protocol assignments; a cloud's metadata at 192.0.0.192
            "192.88.99.0/24",  # relays to IPv6, retired
            "64:ff9b:1::/48",  # translation within a network
            "fec0::/10",  # site-local, retired
        ),
    )
)
_TRANSLATED = ip_network("64:ff9b::/96")


def check_url(url: str) -> tuple[str, int]:
    """Return host and port of a URL that can be requested.

    Raises:
        InvalidInput: it is too long, or not an http:// or https:// URL with a host.
    """
    if len(url) > MOST_CHARACTERS:
        raise InvalidInput(f"`url` of a cloud hook may have {MOST_CHARACTERS} characters at most.")
    if _UNPRINTABLE.search(url):
        raise InvalidInput("`url` of a cloud hook must not contain spaces or control characters.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in DEFAULT_PORTS or port == 0:
        raise InvalidInput("`url` of a cloud hook must be an http:// or https:// URL with a host.")
    if literal_address(host) is None and not _is_name(host):
        raise InvalidInput("`url` of a cloud hook has a host that is neither a name nor an address.")
    if "\\" in parts.netloc or "@" in parts.netloc.rpartition("@")[0]:
        raise InvalidInput("`url` of a cloud hook must have @ and \\ in user and password written as %40 and %5C.")
    return host, port or DEFAULT_PORTS[parts.scheme]


def _is_name(host: str) -> bool:
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return False
    labels = host.removesuffix(".").split(".")
    return len(host) <= MOST_HOST_CHARACTERS and all(_LABEL.fullmatch(label) for label in labels)


def literal_address(host: str) -> Address | None:
    """Return the address that a host spells, in any of the ways that the system's resolver reads; None for a name.

    `127.1`, `0x7f000001`, `2130706433`, `0177.0.0.1` and full-width digits are all 127.0.0.1.
    """
    host = unicodedata.normalize("NFKC", host).replace("。", ".").removesuffix(".")
    try:
        return ip_address(host)
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fx.]+", host, re.IGNORECASE):
        return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def is_forbidden(address: Address) -> bool:
    """Say whether an address is this machine's, a private network's, or nobody's: anything but a public one.

    An IPv6 address that stands for an IPv4 one is judged by that.
    """
    if isinstance(address, IPv6Address):
        if address in _TRANSLATED:
            return is_forbidden(IPv4Address(int(address) & 0xFFFFFFFF))
        inner = (address.ipv4_mapped, address.sixtofour, *(address.teredo or ()))
        if any(each is not None and is_forbidden(each) for each in inner):
            return True
    return (
        not address.is_global
        or address.is_multicast
        or address.is_reserved
        or any(address in network for network in _FORBIDDEN_TOO if network.version == address.version)
    )


def refuse_forbidden(host: str, addresses: list[Address]) -> None:
    """Raise when a host stands for an address that hooks must not reach.

    Raises:
        InvalidInput: one of the addresses is forbidden.
    """
    if any(map(is_forbidden, addresses)):
        raise InvalidInput(f"Cloud hooks must not reach {host}: it is this machine or in a private network.")
