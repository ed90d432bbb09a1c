"""Which addresses a host and a port stand for."""

import socket

import pytest

from server_core.cli.lifetime import bind, url_of
from server_core.errors import ConfigError


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:{}"), ("localhost", "http://{host}:{}"), ("0.0.0.0", "http://localhost:{}")],  # noqa: S104
)
def test_a_host_is_bound(host: str, url: str) -> None:
    sockets = bind(host, 0, key="gateway")
    try:
        ports = {each.getsockname()[1] for each in sockets}
        assert len(ports) == 1
        address = sockets[0].getsockname()[0]
        assert url_of(sockets) == url.format(*ports, host=f"[{address}]" if ":" in address else address)
    finally:
        for each in sockets:
            each.close()


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("x" * 70, "gateway.host: 'x+' is not an address of this machine"),
        ("192.0.2.1", "gateway: cannot listen on 192.0.2.1:"),
    ],
)
def test_a_host_that_is_not_ours_is_refused(host: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        bind(host, 0, key="gateway")


def test_a_port_in_use_on_one_of_several_addresses_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="is in use"):
        bind("localhost", taken.getsockname()[1], key="gateway")
