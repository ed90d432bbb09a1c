"""A Postgres for a test run, whatever the machine has. Called by tests/conftest.py.

    TEST_DATABASE_URL set          that server; the role must be able to create databases
    a Docker engine answers        a container (testcontainers)
    otherwise                      the embedded Postgres in a temporary folder

The first worker that needs a database starts the server and makes the template (all migrations run) under a file lock;
the others find its address in `cluster.json`. The controller, which outlives every worker, tears it down. What a run
that was killed outright left behind is swept away by the next one.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from server_core.db.dsn import plain_dsn
from server_core.db.embedded import EmbeddedPostgres
from server_core.db.migrate import upgrade

PREFIX = "prefect-server-tests-"
FAST = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "300"}
IMAGE = "postgres:16-alpine"

TABLES = (
    "agent, agent_config, cloud_hook, edge, flow, flow_group, flow_run, flow_run_state, log, message, project, task,"
    " task_run, task_run_artifact, task_run_state, tenant"
)
"""Every table of the legacy schema that holds rows."""

OWN_TABLES = "cloud_hook_delivery, flow_plan, pending_removal, service_presence"
"""Every table of our own that holds rows."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A server that databases can be created on.

    Attributes:
        dsn: DSN of its maintenance database, as a role that may create databases.
        run: prefix of every database of this run.
        container: id of the Docker container, if it is one.
    """

    dsn: str
    run: str
    container: str | None = None

    @property
    def template(self) -> str:
        """Name of the migrated database the others are cloned from."""
        return f"{self.run}_template"

    def url(self, database: str) -> str:
        """Return the DSN of one database."""
        return with_database(self.dsn, database)

    async def create(self, database: str, *, template: str = "template0") -> str:
        """Create a database and return its DSN."""
        async with connected(self.dsn) as connection:
            await connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    async def drop(self, database: str) -> None:
        """Drop a database and every connection to it."""
        async with connected(self.dsn) as connection:
            await disconnect(connection, database)
            await connection.execute(f'DROP DATABASE IF EXISTS "{database}"')

    async def drop_all(self) -> None:
        """Drop every database of this run."""
        async with connected(self.dsn) as connection:
            names = await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", self.run)
        for row in names:
            await self.drop(row["datname"])


class Folder:
    """The temporary folder of one run: what the controller made and the workers share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server = EmbeddedPostgres(path, FAST)
        """Holds the folder's lock in the process that started it."""

    @classmethod
    def create(cls) -> "Folder":
        """Make a folder for a new run, after clearing away those of dead runs."""
        sweep()
        folder = cls(Path(tempfile.mkdtemp(prefix=PREFIX)))
        (folder.path / "owner").write_text(str(os.getpid()))
        return folder

    async def cluster(self) -> Cluster:
        """Return the run's server with its template, starting both if nobody has."""
        with await asyncio.to_thread(self._locked):
            known = self._known()
            if known is not None:
                return known
            cluster = await asyncio.to_thread(self._borrow)
            (self.path / "cluster.json").write_text(json.dumps(vars(cluster)))
            await upgrade(await cluster.create(cluster.template))
            return cluster

    def remove(self) -> None:
        """Stop the server, drop what was made on a borrowed one, delete the folder."""
        known = self._known()
        if (self.path / "postgres").exists():
            self._server.stop()
            self._server.stop_leftover()
        elif known is not None and known.container is not None:
            import docker  # type: ignore[import-untyped]

            docker.from_env().containers.get(known.container).remove(force=True, v=True)
        elif known is not None:
            asyncio.run(known.drop_all())
        shutil.rmtree(self.path, ignore_errors=True)

    def _known(self) -> Cluster | None:
        try:
            return Cluster(**json.loads((self.path / "cluster.json").read_text()))
        except FileNotFoundError:
            return None

    def _borrow(self) -> Cluster:
        run = "prefect_test_" + self.path.name.removeprefix(PREFIX).lower()
        given = os.environ.get("TEST_DATABASE_URL")
        if given:
            return Cluster(dsn=plain_dsn(given), run=run)
        if docker_answers():
            return _container(run)
        return Cluster(dsn=with_database(self._server.start(), "postgres"), run=run)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.path / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def sweep() -> None:
    """Clear away the folders (and servers) of runs whose controller no longer lives."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(Exception):
            owner = int((path / "owner").read_text())
            try:
                os.kill(owner, 0)
            except ProcessLookupError:
                Folder(path).remove()


def with_database(dsn: str, database: str) -> str:
    """Return the DSN with another database; all else stays as it was written."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Open one connection for the length of a block."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def run_script(connection: "asyncpg.Connection[asyncpg.Record]", path: Path) -> None:
    """Run a file of SQL; before PG 12 generated columns become plain ones, which stay empty."""
    text = await asyncio.to_thread(path.read_text)
    if connection.get_server_version().major < 12:
        text = re.sub(r" GENERATED ALWAYS AS \(.*\) STORED", "", text)
    await connection.execute(text)


async def empty(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Delete every row of a migrated database."""
    await connection.execute(f"SET lock_timeout = '3s'; TRUNCATE {TABLES}, {OWN_TABLES}")


async def disconnect(connection: "asyncpg.Connection[asyncpg.Record]", database: str) -> None:
    """End all other connections to a database."""
    await terminate(
        connection, "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", database
    )


async def terminate(connection: "asyncpg.Connection[asyncpg.Record]", processes: str, *args: object) -> int:
    """End the server processes whose ids a query returns; return how many, when they are gone (at most 5 seconds)."""
    pids = [row[0] for row in await connection.fetch(processes, *args)]
    await connection.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) pid", pids)
    left = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = ANY($1::int[]))"
    for _attempt in range(500):
        if not await connection.fetchval(left, pids):
            break
        await asyncio.sleep(0.01)
    return len(pids)


def docker_answers() -> bool:
    """Tell at once whether a Docker engine is there; the client program alone is not one."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    kind, _, place = host.partition("://")
    try:
        if kind == "unix":
            probe = socket.socket(socket.AF_UNIX)
            address: Any = place
        else:
            probe = socket.socket()
            name, _, port = place.rpartition(":")
            address = (name, int(port))
        with probe:
            probe.settimeout(0.5)
            probe.connect(address)
            probe.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in probe.recv(100)
    except (OSError, ValueError):
        return False


def _container(run: str) -> Cluster:
    """Start a container that lives until the controller removes it, not until this worker ends."""
    from testcontainers.core.config import testcontainers_config
    from testcontainers.postgres import PostgresContainer

    testcontainers_config.ryuk_disabled = True
    command = " ".join(f"-c {name}={value}" for name, value in FAST.items())
    container = PostgresContainer(IMAGE, driver=None).with_command(f"postgres {command}").start()
    dsn = with_database(container.get_connection_url(), "postgres")
    return Cluster(dsn=dsn, run=run, container=container.get_wrapped_container().id)
