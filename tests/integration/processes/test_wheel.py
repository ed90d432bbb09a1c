"""What `pip wheel .` makes is complete: it starts without the checkout, in the image's way too."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from tests.support.environments import kept_environment
from tests.support.processes import Machine, free_ports, graphql

ROOT = Path(__file__).parents[3]
PORTS = {"data": 3000, "gateway": 4200, "graphql": 4201, "towel": 4202}
"""Where each service listens in a container."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel. The build fetches its backend from PyPI, as the client's does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--disable-pip-version-check", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    """The wheel as an installer would lay it out."""
    with ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """`bin` of an environment with the wheel and what it depends on, without extras: what the image holds.

    The dependencies are in an environment that is kept; the wheel is in a new one that sees it.
    """
    with (ROOT / "pyproject.toml").open("rb") as file:
        needed: list[str] = tomllib.load(file)["project"]["dependencies"]
    kept = kept_environment(needed, [needed], "import asyncpg, starlette")
    new = wheel.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(new)], check=True)
    (packages,) = new.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(str(kept / packages.relative_to(new)))
    install = ["--python", str(new / "bin/python"), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *install], check=True)
    return new / "bin"


async def test_the_server_starts_from_the_wheel_alone(machine: Machine, unpacked: Path, tmp_path: Path) -> None:
    machine.folder = tmp_path
    machine.environ = {"PYTHONPATH": str(unpacked), "PYTHONSAFEPATH": "1"}
    where = "import server_core, services; print(server_core.__file__, services.__file__)"
    shown = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", where), env=machine.environ, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await shown.communicate()
    assert [Path(path).is_relative_to(unpacked) for path in said.decode().split()] == [True, True]

    process = await machine.run("start", "--port", "0")
    assert await graphql(await process.url(), "{ tenant { slug } hello }") == {
        "tenant": [{"slug": "default"}],
        "hello": "👋",
    }
    assert await process.stop() == 0


def test_nothing_but_the_packages_is_in_it(unpacked: Path) -> None:
    found = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert found == {"server_core", "services"}


def test_the_query_page_is_in_it(unpacked: Path) -> None:
    folder = Path("services/gateway/graphiql")
    there = {path.name: path.read_bytes() for path in (unpacked / folder).iterdir()}
    assert there == {path.name: path.read_bytes() for path in (ROOT / folder).iterdir()}
    assert "manifest.json" in there


async def test_the_image_s_commands_from_an_installed_wheel(
    empty_database_url: str, machine: Machine, installed: Path, tmp_path: Path
) -> None:
    """What docker-compose.yml starts, and how it and the image ask for health; only the ports are others."""
    machine.folder = tmp_path
    machine.program = [str(installed / "prefect-server")]
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    machine.environ = {
        "PREFECT_SERVER__DATABASE__CONNECTION_URL": empty_database_url,
        "PREFECT_SERVER__GATEWAY__DATA_URL": f"http://127.0.0.1:{ports['data']}/v1alpha1/graphql",
        "PREFECT_SERVER__GATEWAY__GRAPHQL_URL": f"http://127.0.0.1:{ports['graphql']}/graphql/",
        **{f"PREFECT_SERVER__{name.upper()}__PORT": str(port) for name, port in ports.items()},
    }
    where = "import server_core, services; print(server_core.__file__, services.__file__)"
    code, said = await asked(installed, ["python", "-c", where])
    assert code == 0
    assert [Path(path).is_relative_to(installed.parent) for path in said.split()] == [True, True]

    services: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    upgrade = await machine.run(*services["migrate"]["command"])
    assert await upgrade.wait() == 0, upgrade.output
    started = {name: await machine.run(*services[name]["command"]) for name in ("data", "graphql", "towel")}
    await asyncio.gather(*(process.url() for process in started.values()))
    assert set(services["gateway"]["depends_on"]) <= set(started)
    started["gateway"] = await machine.run(*services["gateway"]["command"])
    for name, process in started.items():
        assert await process.url() == f"http://127.0.0.1:{ports[name]}"
    for name in started:
        for command in (of_compose(services[name]), of_image()):
            assert await asked(installed, at(command, {name: ports[name]})) == (0, "")
    assert await graphql(f"http://127.0.0.1:{ports['gateway']}", "{ tenant { slug } hello }") == {
        "tenant": [{"slug": "default"}],
        "hello": "👋",
    }
    for name in ("gateway", "towel", "graphql", "data"):
        assert await started[name].stop(seconds=20) == 0, started[name].output
        assert started[name].errors == []
        for command in (of_compose(services[name]), of_image()):
            assert (await asked(installed, at(command, {name: ports[name]})))[0] != 0


def of_compose(service: dict[str, Any]) -> list[str]:
    """Return the command with which compose asks a service for its health."""
    command: list[str] = service["healthcheck"]["test"]
    assert command[0] == "CMD"
    return command[1:]


def of_image() -> list[str]:
    """Return the command of the image's HEALTHCHECK."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", "")
    match = re.search(r"^HEALTHCHECK .*? CMD (\[.*\])$", text, re.MULTILINE)
    assert match is not None
    command: list[str] = json.loads(match[1])
    return command


def at(command: Sequence[str], ports: dict[str, int]) -> list[str]:
    """Return a command with a service's port instead of the usual one; at the others nobody listens."""
    unused = iter(free_ports(len(PORTS)))
    placed = {str(usual): str(ports.get(name) or next(unused)) for name, usual in PORTS.items()}
    return [re.sub(r"\b\d{4}\b", lambda port: placed[port[0]], word) for word in command]


async def asked(programs: Path, command: Sequence[str]) -> tuple[int, str]:
    """Run a program as in the image: found on PATH, with nothing of ours around; return exit code and output."""
    environ = {"PATH": f"{programs}:{os.environ['PATH']}"}
    child = await asyncio.create_subprocess_exec(
        *command, env=environ, cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await child.communicate()
    assert child.returncode is not None
    return child.returncode, said.decode()
