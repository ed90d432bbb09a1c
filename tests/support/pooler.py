"""A database URL → the same database through a real PgBouncer. Tests skip where PgBouncer is not installed."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from server_core.db.system_user import system_user_for
from tests.support.processes import free_ports

PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
START_SECONDS = 10.0


@contextmanager
def pooling(database_url: str, *, mode: str = "transaction", size: int = 5) -> Iterator[str]:
    """Run a PgBouncer in front of one database for the length of a block and yield the URL that leads through it.

    Args:
        database_url: a URL made by tests/support/cluster.py.
        mode: `transaction` or `session`.
        size: most connections to Postgres.
    """
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed")
    home = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    home.chmod(0o755)
    (port,) = free_ports(1)
    configuration = home / "pgbouncer.ini"
    configuration.write_text(
        f"[databases]\npooled = {_target(database_url)}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {mode}\ndefault_pool_size = {size}\nmax_client_conn = 200\nserver_login_retry = 0\n"
    )
    account: dict[str, Any] = {}
    if os.geteuid() == 0 and (user := system_user_for(_installation(), home)) is not None:
        account = {"user": user.uid, "group": user.gid, "extra_groups": []}
    try:
        with (home / "log").open("wb") as log:
            process = subprocess.Popen([PROGRAM, str(configuration)], stdout=log, stderr=log, cwd="/", **account)
        try:
            _wait(port, process, home / "log")
            yield f"postgresql://anybody@127.0.0.1:{port}/pooled"
        finally:
            process.kill()
            process.wait(10)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _installation() -> Path:
    """Return a Postgres installation: who runs its server may also use that server's socket."""
    from server_core.db.embedded import installed_versions

    return next(iter(installed_versions().values())).parent


def _target(database_url: str) -> str:
    """Return where a URL leads, as PgBouncer writes it."""
    parts = urlsplit(database_url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    found = {
        "host": parts.hostname or query.get("host"),
        "port": parts.port or query.get("port"),
        "dbname": unquote(parts.path[1:]),
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
    }
    return " ".join(f"{name}='{value}'" for name, value in found.items() if value)


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"pgbouncer does not start: {log.read_text(errors='replace')}")
