"""What `pip wheel .` makes is complete: it starts without the checkout."""

import asyncio
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support.processes import Machine, graphql

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as an installer would lay it out. The build fetches its backend from PyPI, as the client's does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--disable-pip-version-check", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True)
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


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
