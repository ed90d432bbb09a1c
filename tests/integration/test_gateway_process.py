"""`prefect-server services gateway` as an operator sees it, with nobody behind it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

_GRACE_SECONDS = 5


@dataclass(frozen=True)
class Process:
    """A running gateway and a client for it."""

    process: asyncio.subprocess.Process
    client: httpx.AsyncClient


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Process]:
    """Start a gateway whose upstreams are not there; it listens when it says so."""
    port, nobody = free_port(), f"http://127.0.0.1:{free_port()}/"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "APOLLO", "HASURA"))},
        "HOME": str(tmp_path),
        "APOLLO_API_PORT": str(port),
        "HASURA_API_URL": nobody,
        "PREFECT_API_URL": nobody,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server_core.cli", "services", "gateway"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    if b"gateway is ready" not in line:
        process.kill()
        _, said = await process.communicate()
        pytest.fail((line + said).decode())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield Process(process, client)
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def test_it_lives_without_upstreams_and_says_that_it_is_not_ready(gateway: Process) -> None:
    assert (await gateway.client.get("/health")).json()["status"] == "ok"
    assert (await gateway.client.get("/.well-known/apollo/server-health")).json() == {"status": "pass"}
    ready = await gateway.client.get("/ready")
    assert ready.status_code == 503
    assert ready.json()["services"] == {"data": False, "actions": False}
    refused = await gateway.client.post("/", json={"query": "{ hello }", "variables": "null"})
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert list(refused.json()) == ["errors"]


async def test_it_leaves_soon_after_sigterm(gateway: Process) -> None:
    gateway.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(_GRACE_SECONDS):
        _, said = await gateway.process.communicate()
    assert b"Traceback" not in said


async def test_a_setting_that_cannot_be_used_ends_it_with_a_line(tmp_path: Path) -> None:
    certificate = tmp_path / "none.pem"
    environment = {**os.environ, "HOME": str(tmp_path), "PREFECT_SERVER__GATEWAY__TLS_CERT": str(certificate)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "server_core.cli", "services", "gateway"),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    reason = f"gateway.tls_cert: {certificate} cannot be read: No such file or directory"
    assert said.decode() == f"prefect-server: {reason}\n"
