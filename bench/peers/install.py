"""A committed list of exact versions → an installation in the user's cache. Called by the peers, before they start.

Nothing is installed twice: the cache's folder is named after what is to be in it. Where a tool or a registry is
missing, the peer is not measured and its row says why (`Missing`).
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "prefect-server-bench"
_SECONDS: Final = 600
_DONE: Final = ".complete"


class Missing(Exception):
    """A peer cannot be had on this machine; the message is the reason."""


def npm(name: str, package: Path) -> Path:
    """Install what a package.json names; return the folder with its `node_modules`.

    Raises:
        Missing: there is no npm, or it cannot get the packages.
    """
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Missing("there is no node or no npm")
    folder = _place(name, package)
    if not (folder / _DONE).exists():
        shutil.copy(package, folder / "package.json")
        _run(["npm", "install", "--no-audit", "--no-fund", "--no-progress", "--omit=dev"], folder)
        (folder / _DONE).touch()
    return folder


def pip(name: str, requirements: Path) -> Path:
    """Make a virtual environment of exactly what a requirements file names; return its folder of programs.

    The file names all packages, so that none is resolved.

    Raises:
        Missing: pip cannot get them.
    """
    folder = _place(name, requirements)
    programs = folder / "venv" / "bin"
    if not (folder / _DONE).exists():
        _run([sys.executable, "-m", "venv", "--clear", "venv"], folder)
        _run([str(programs / "python"), "-m", "pip", "install", "-q", "--no-deps", "-r", str(requirements)], folder)
        (folder / _DONE).touch()
    return programs


def _place(name: str, contents: Path) -> Path:
    digest = hashlib.sha256(contents.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{name}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{command[0]} failed: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise Missing(f"{Path(command[0]).name} failed: {said[-1][:200]}")
