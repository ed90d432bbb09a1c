"""`dev infrastructure`: the composed Postgres where Docker is (here a stand-in), else the embedded one."""

import os
import signal
import socket
import stat
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from tests.support import docker_stand_in
from tests.support.cluster import connected
from tests.support.processes import Machine, free_ports


@pytest.fixture
def docker(machine: Machine, tmp_path: Path, empty_database_url: str) -> Path:
    """Give the machine a docker whose Postgres holds an empty database; returns the file of its calls."""
    url = urlsplit(empty_database_url)
    folder = parse_qs(url.query).get("host", [""])[0]
    place = f"{folder}/.s.PGSQL.{parse_qs(url.query).get('port', ['5432'])[0]}" if folder else None
    machine.environ = {
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": url.password or "prefect",
        "POSTGRES_DB": url.path.removeprefix("/"),
        "STAND_IN_PLACE": place or f"{url.hostname}:{url.port or 5432}",
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    }
    return docker_stand_in.install(tmp_path / "bin")


def compose_calls(path: Path) -> list[str]:
    """Return the calls of compose that do something, with the tag they were given."""
    asked = [call for call in docker_stand_in.calls(path) if call[0] == "compose" and call[1] in ("pull", "up", "down")]
    return [" ".join(map(str, call[1:])) for call in asked]


async def test_docker_runs_postgres_until_ctrl_c_and_other_commands_find_it(machine: Machine, docker: Path) -> None:
    (port,) = free_ports(1)
    infrastructure = await machine.run("dev", "infrastructure", "--port", str(port), "--tag", "17")
    said = (await infrastructure.line(r"Postgres is ready: (\S+)"))[1]
    assert urlsplit(said).port == port
    assert stat.S_IMODE((machine.home / "infrastructure.url").stat().st_mode) == 0o600
    upgrade = await machine.run("database", "upgrade")
    assert await upgrade.wait() == 0, upgrade.output
    assert f"127.0.0.1:{port}/" in upgrade.output
    assert await infrastructure.stop(signal.SIGINT, seconds=20) == 0
    assert compose_calls(docker) == ["pull postgres 17", "up postgres 17", "down 17"]
    assert not (machine.home / "infrastructure.url").exists()
    assert not machine.postgres_runs


async def test_what_is_skipped_is_not_done(machine: Machine, docker: Path, empty_database_url: str) -> None:
    (port,) = free_ports(1)
    infrastructure = await machine.run("dev", "infrastructure", "--port", str(port), "--skip-upgrade", "--skip-pull")
    await infrastructure.line("Postgres is ready")
    async with connected(empty_database_url) as connection:
        assert await connection.fetchval("SELECT to_regclass('public.flow_run')") is None
    assert await infrastructure.stop(seconds=20) == 0
    assert compose_calls(docker) == ["up postgres None", "down None"]


@pytest.mark.parametrize(
    ("fails", "expected", "calls"),
    [
        ("pull", "docker compose pull ended with exit code 18; --skip-pull uses the image", ["pull"]),
        ("up", "docker compose up ended with exit code 18.", ["pull", "up", "down"]),
    ],
)
async def test_what_docker_cannot_do_is_said(
    machine: Machine, docker: Path, fails: str, expected: str, calls: list[str]
) -> None:
    infrastructure = await machine.run(
        "dev", "infrastructure", "--port", str(free_ports(1)[0]), STAND_IN_FAILS=fails, POSTGRES_USER="nobody"
    )
    assert await infrastructure.wait() == 1
    assert infrastructure.lines[-1].startswith(f"prefect-server: {expected}")
    assert [call.split()[0] for call in compose_calls(docker)] == calls


async def test_a_taken_port_is_refused_unless_our_container_has_it(machine: Machine, docker: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        infrastructure = await machine.run("dev", "infrastructure", "--port", port)
        assert await infrastructure.wait() == 1
        assert infrastructure.lines[-1].startswith(f"prefect-server: Port {port} on 127.0.0.1 is in use")
        assert compose_calls(docker) == []
        infrastructure = await machine.run(
            "dev", "infrastructure", "--port", port, STAND_IN_RUNS="1", STAND_IN_FAILS="up"
        )
        assert await infrastructure.wait() == 1
        assert compose_calls(docker) == ["pull postgres None", "up postgres None", "down None"]


@pytest.mark.parametrize(
    ("fails", "why"), [("info", "no Docker engine answers"), ("version", "Docker has no `compose` here")]
)
async def test_without_an_engine_the_embedded_postgres_has_a_port_and_a_password(
    machine: Machine, docker: Path, fails: str, why: str
) -> None:
    """Whoever knows no password stays out: a superuser can run programs."""
    (port,) = free_ports(1)
    machine.environ |= {"STAND_IN_FAILS": fails, "POSTGRES_USER": "", "POSTGRES_PASSWORD": ""}
    infrastructure = await machine.run("dev", "infrastructure", "--port", str(port))
    await infrastructure.line(f"^Running the embedded Postgres: {why}.$")
    dsn = (await infrastructure.line(r"Postgres is ready: (\S+)"))[1]
    assert (urlsplit(dsn).hostname, urlsplit(dsn).port, urlsplit(dsn).username) == ("127.0.0.1", port, "prefect")
    async with connected(dsn) as connection:
        assert await connection.fetchval("SELECT count(*) FROM tenant") == 1
    for user in ("prefect", "postgres"):
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(dsn, user=user, password="wrong")
    assert compose_calls(docker) == []
    assert await infrastructure.stop(signal.SIGINT) == 0
    assert not machine.postgres_runs


async def test_one_that_was_killed_does_not_keep_the_next_from_its_port(machine: Machine) -> None:
    """Its Postgres runs on, on that port; it is the next one's to stop."""
    (port,) = free_ports(1)
    command = ("dev", "infrastructure", "--embedded", "--skip-upgrade", "--port", str(port))
    killed = await machine.run(*command)
    await killed.line("Postgres is ready")
    assert await killed.stop(signal.SIGKILL) == -signal.SIGKILL
    assert machine.postgres_runs
    infrastructure = await machine.run(*command)
    await infrastructure.line("Postgres is ready")
    assert await infrastructure.stop(signal.SIGINT) == 0
    assert not machine.postgres_runs
