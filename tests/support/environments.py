"""Virtual environments that tests need besides their own: made once, kept, shared by every run and worker.

Kept in `PREFECT_SERVER_TEST_CACHE` (default `~/.cache/prefect-server-tests`) under a hash of what is in them, so that
other requirements make another environment. A file lock lets one worker make it while the others wait; an environment
that was left half made, or whose Python is gone, is made again. Needs Python, pip and a package index, nothing else.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("PREFECT_SERVER_TEST_CACHE") or "~/.cache/prefect-server-tests").expanduser()


def kept_environment(pins: Sequence[str], installs: Sequence[Sequence[str]], check: str) -> Path:
    """Return the folder of a virtual environment, after making it if need be.

    Args:
        pins: what is in it; decides under which name it is kept.
        installs: arguments of `pip install`, one call after the other.
        check: Python that fails in an environment that does not work.

    Raises:
        AssertionError: it cannot be made; the message holds what pip said.
    """
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    key = hashlib.sha256("\n".join((*pins, version)).encode()).hexdigest()[:16]
    home = CACHE / key
    home.mkdir(parents=True, exist_ok=True)
    environment = home / "venv"
    ready = home / "ready"
    with _locked(home / "lock"):
        if not (ready.exists() and _works(environment, check)):
            ready.unlink(missing_ok=True)
            _make(environment, installs, check)
            ready.touch()
    return environment


def _make(environment: Path, installs: Sequence[Sequence[str]], check: str) -> None:
    shutil.rmtree(environment, ignore_errors=True)
    python = str(environment / "bin/python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-input"]
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        *([*install, *arguments] for arguments in installs),
        [python, "-c", check],
    ):
        failure = _fails(command)
        assert not failure, f"cannot make an environment: {' '.join(command)}\n{failure}"


def _works(environment: Path, check: str) -> bool:
    python = environment / "bin/python"
    return python.exists() and not _fails([str(python), "-c", check])


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
