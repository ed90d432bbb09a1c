"""Which URLs a hook may have, and which addresses are forbidden where private ones are (actions.md §7.1)."""

from ipaddress import ip_address

import pytest

from server_core.errors import InvalidInput
from server_core.rules.hook_targets import MOST_CHARACTERS, check_url, is_forbidden, literal_address, refuse_forbidden


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com", ("example.com", 80)),
        ("https://example.com/a?b=c#d", ("example.com", 443)),
        ("HTTPS://Example.COM:8443/x", ("example.com", 8443)),
        ("http://user:pa%40ss@example.com/x", ("example.com", 80)),
        ("http://my_host-1.internal.:8100/hook", ("my_host-1.internal.", 8100)),
        ("http://localhost:8100/hook", ("localhost", 8100)),
        ("http://127.0.0.1/", ("127.0.0.1", 80)),
        ("http://[2001:db8::1]:81/", ("2001:db8::1", 81)),
        ("https://bücher.example/x", ("bücher.example", 443)),
    ],
)
def test_urls_that_can_be_requested(url: str, expected: tuple[str, int]) -> None:
    assert check_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "//example.com", "http:", "http://", "http:///path", "http://:80/", "http://user@/x"),
        *("ftp://example.com", "file:///etc/passwd", "gopher://example.com", "javascript:alert(1)"),
        *("http://[::1", "http://[nonsense]/", "http://example.com:99999", "http://example.com:0", "http://a:b/"),
        *("http://exa mple.com", "http://example.com/\n", "\thttp://example.com", "http://exa\x00mple.com"),
        *("http://-bad.example", "http://bad-.example", "http://a..b", "http://.example", "http://ex%61mple.com"),
        *("http://good.example\\@evil.example", "http://a@b@example.com/", f"http://{'a' * 64}.example"),
        f"http://{'a.' * 127}example",
        f"http://example.com/{'x' * MOST_CHARACTERS}",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"`url` of a cloud hook"):
        check_url(url)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "0177.0.0.1", "017700000001"),
        *("127.0.0.1.", "１２７.0.0.1", "127。0。0。1"),
    ],
)
def test_spellings_of_one_address(host: str) -> None:
    assert literal_address(host) == ip_address("127.0.0.1")
    assert is_forbidden(ip_address("127.0.0.1"))


@pytest.mark.parametrize("host", ["example.com", "localhost", "dead.beef", "a1", "1.2.3.4.5", "256.1.1.1", "face.b00c"])
def test_names_are_no_addresses(host: str) -> None:
    assert literal_address(host) is None


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        "0.0.0.0",  # noqa: S104 - not bound to
        *("169.254.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("64:ff9b:1::1", "2002:7f00:1::", "2002:a00:1::1"),
    ],
)
def test_addresses_that_are_forbidden(address: str) -> None:
    """Loopback, private, link-local, unspecified, multicast, reserved, metadata; also inside of IPv6."""
    assert is_forbidden(ip_address(address))
    with pytest.raises(InvalidInput, match=r"must not reach host\.example"):
        refuse_forbidden("host.example", [ip_address("93.184.216.34"), ip_address(address)])


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1", "64:ff9b::808:808"],
)
def test_addresses_that_are_public(address: str) -> None:
    assert not is_forbidden(ip_address(address))
    refuse_forbidden("host.example", [ip_address(address)])
