"""HTTPS by two files: the server speaks it, says so, reads them anew, and says in one line what is wrong with them."""

import signal
import ssl
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from server_core.config import GatewaySettings
from server_core.errors import ConfigError
from server_core.tls import Certificate
from tests.support.certificates import make_certificate
from tests.support.exchange import Sent, over_socket, posted
from tests.support.processes import Machine
from tests.support.waiting import wait_until


async def test_a_gateway_with_a_certificate(machine: Machine, tmp_path: Path) -> None:
    """Below its base path too; after SIGHUP new connections get the new certificate."""
    cert, key = make_certificate(tmp_path)
    nobody = "http://127.0.0.1:9/"
    process = await machine.run(
        *("services", "gateway", "--port", "0", "--base-path", "/prefect"),
        *("--tls-cert", str(cert), "--tls-key", str(key)),
        PREFECT_SERVER__GATEWAY__DATA_URL=nobody,
        PREFECT_SERVER__GATEWAY__GRAPHQL_URL=nobody,
    )
    url = await process.url()
    assert url.startswith("https://127.0.0.1:")
    assert url.endswith("/prefect")
    context = ssl.create_default_context(cafile=str(cert))
    ask = over_socket(url, context=context)
    for path in ("/health", "/prefect/health"):
        assert (await ask(Sent(method="GET", target=path, headers=()))).json()["status"] == "ok"
    assert (await ask(Sent(method="GET", target="/prefect/metrics", headers=()))).status == 200
    assert (await ask(posted("{ hello }", target="/prefect"))).status == 503

    make_certificate(tmp_path)  # in the place of the old ones
    renewed = ssl.create_default_context(cafile=str(cert))
    process.child.send_signal(signal.SIGHUP)
    await process.line("certificate was read anew")
    assert (await over_socket(url, context=renewed)(Sent(method="GET", target="/health", headers=()))).status == 200

    key.write_text("no key")
    process.child.send_signal(signal.SIGHUP)
    await process.line("the old certificate stays")
    assert (await over_socket(url, context=renewed)(Sent(method="GET", target="/health", headers=()))).status == 200
    assert await process.stop() == 0


async def test_bad_files_end_the_start(machine: Machine, tmp_path: Path) -> None:
    cert, _ = make_certificate(tmp_path)
    process = await machine.run("services", "gateway", "--port", "0", "--tls-cert", str(cert), "--tls-key", "/no/key")
    assert await process.wait() == 1
    assert process.logs == ["prefect-server: gateway.tls_key: /no/key cannot be read: No such file or directory"]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path, "other")
    _, locked = made = make_certificate(tmp_path, "locked", password="secret")
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nonsense")
    both = tmp_path / "both.pem"
    both.write_text(cert.read_text() + key.read_text())

    def said(**settings: Path | str | None) -> str:
        with pytest.raises(ConfigError) as caught:
            Certificate.of(replace(GatewaySettings(), **settings))  # type: ignore[arg-type]
        assert "\n" not in caught.value.message
        return caught.value.message

    assert "there is no certificate for it" in said(tls_key=key)
    assert f"{tmp_path}/none cannot be read: No such file" in said(tls_cert=tmp_path / "none", tls_key=key)
    assert "is not the key of" in said(tls_cert=cert, tls_key=other)
    assert "in PEM" in said(tls_cert=nonsense, tls_key=key)
    assert "in PEM" in said(tls_cert=cert, tls_key=nonsense)
    assert "in PEM" in said(tls_cert=cert)
    assert "it needs gateway.tls_key_password" in said(tls_cert=made[0], tls_key=locked)
    wrong = said(tls_cert=made[0], tls_key=locked, tls_key_password="guess")
    assert "password is not right" in wrong
    assert "guess" not in wrong
    assert Certificate.of(GatewaySettings()) is None
    assert Certificate.of(GatewaySettings(tls_cert=both)) is not None
    assert Certificate.of(GatewaySettings(tls_cert=made[0], tls_key=locked, tls_key_password="secret")) is not None


async def test_a_client_without_tls_hears_nothing_odd(machine: Machine, tmp_path: Path) -> None:
    """Plain HTTP to the port is refused by the connection's end, and the server goes on."""
    cert, key = make_certificate(tmp_path)
    process = await machine.run(
        *("services", "gateway", "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key)),
        PREFECT_SERVER__GATEWAY__DATA_URL="http://127.0.0.1:9/",
        PREFECT_SERVER__GATEWAY__GRAPHQL_URL="http://127.0.0.1:9/",
    )
    url = await process.url()
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.TransportError):
            await client.get(url.replace("https", "http") + "/health")
    ask = over_socket(url, context=ssl.create_default_context(cafile=str(cert)))

    async def alive() -> bool:
        return (await ask(Sent(method="GET", target="/health", headers=()))).status == 200

    await wait_until(alive, seconds=10, what="an answer")
    assert await process.stop() == 0
    assert not [line for line in process.lines if "Traceback" in line]
