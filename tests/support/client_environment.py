"""The real client in a virtual environment of its own: made once, kept, shared by every run and worker.

Kept in `PREFECT_SERVER_TEST_CACHE` (default `~/.cache/prefect-server-tests`) under a hash of the pins, so that other
pins make another environment. A file lock lets one worker make it while the others wait; an environment that was left
half made, or whose Python is gone, is made again. Needs Python, pip and a package index, nothing else.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUILD_TOOLS = ("setuptools<81", "wheel", "poetry-core<2")
"""What pendulum 2 is built with; Python 3.12 and later lack the distutils it wants, but setuptools brings one."""

PENDULUM = "pendulum==2.1.2"

PINS = (
    # Releases after these broke prefect 1.4.1, which does not limit what it depends on (client-operations.md §9).
    "prefect==1.4.1",
    PENDULUM,
    "marshmallow==3.19.0",
    "marshmallow-oneofschema==3.0.1",
    "croniter==1.3.8",
    "python-dateutil==2.8.2",
    "python-box==6.1.0",
    "urllib3==1.26.20",
    "requests==2.34.2",
    "setuptools<81",
)

CHECK = "import prefect, sys; sys.exit(prefect.__version__ != '1.4.1')"


def client_environment() -> Path:
    """Return the folder of the virtual environment, after making it if need be.

    Raises:
        AssertionError: it cannot be made; the message holds what pip said.
    """
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    key = hashlib.sha256("\n".join((*BUILD_TOOLS, *PINS, version)).encode()).hexdigest()[:16]
    home = Path(os.environ.get("PREFECT_SERVER_TEST_CACHE") or "~/.cache/prefect-server-tests").expanduser() / key
    home.mkdir(parents=True, exist_ok=True)
    environment = home / "venv"
    ready = home / "ready"
    with _locked(home / "lock"):
        if not (ready.exists() and _works(environment)):
            ready.unlink(missing_ok=True)
            _make(environment)
            ready.touch()
    return environment


def _make(environment: Path) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    python = str(environment / "bin/python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-input"]
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [*install, *BUILD_TOOLS],
        [*install, "--no-build-isolation", PENDULUM],
        [*install, *PINS],
        [python, "-c", CHECK],
    ):
        failure = _fails(command)
        assert not failure, f"cannot make the client's environment: {' '.join(command)}\n{failure}"


def _works(environment: Path) -> bool:
    python = environment / "bin/python"
    return python.exists() and not _fails([str(python), "-c", CHECK])


def _fails(command: list[str]) -> str:
    """Run a command; return what it printed if it failed, else nothing."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PREFECT"))}
    try:
        done = subprocess.run(
            command, env=inherited, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
    except OSError as error:
        return str(error)
    return (done.stdout or f"exit code {done.returncode}") if done.returncode else ""


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
