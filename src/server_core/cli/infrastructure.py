"""`dev infrastructure`: a Postgres on a port of this machine, for as long as the command runs; and where `dev services`
finds it.

    a Docker engine answers   the `postgres` of our docker-compose.yml, taken down at the end; its volume stays
    otherwise                 the embedded Postgres of the home
"""

import asyncio
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from server_core.cli.embedded import start_embedded
from server_core.cli.lifetime import Lifetime, bind
from server_core.cli.readiness import INFRASTRUCTURE, prepare, wait_for_database
from server_core.config import Settings
from server_core.config_loader import compose_dsn
from server_core.db.administration import ensure_superuser
from server_core.db.embedded import DATABASE, EmbeddedPostgres, TcpAccess
from server_core.errors import ConfigError

HOST = "127.0.0.1"
DEFAULT_PORT = 5432

DOCKER_SECONDS = 20.0
"""What Docker gets to say whether it is there."""

DOWN_SECONDS = 60.0
"""What Docker gets to take the containers down."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was asked for on the command line.

    Attributes:
        port: on this machine.
        embedded: no Docker, even where there is one.
        skip_upgrade: leave the schema as it is.
        skip_pull: use the image that is here.
        tag: of the image of Postgres; None: the one of docker-compose.yml.
    """

    port: int = DEFAULT_PORT
    embedded: bool = False
    skip_upgrade: bool = False
    skip_pull: bool = False
    tag: str | None = None


async def infrastructure(lifetime: Lifetime, settings: Settings, wanted: Wanted) -> None:
    """Run Postgres until a stop is asked for.

    Raises:
        ConfigError: it cannot be run; one line says why.
    """
    account = Account.from_environment(os.environ)
    why_not = "it was asked for" if wanted.embedded else await _why_not_docker()
    if why_not is None:
        await _composed(lifetime, settings, wanted, account)
    else:
        typer.echo(f"Running the embedded Postgres: {why_not}.")
        await _embedded(lifetime, settings, wanted, account)


@dataclass(frozen=True, kw_only=True)
class Account:
    """Who may connect, by the names of docker-compose.yml.

    Attributes:
        user: name of the role.
        password: its password; None: nobody has set one.
        database: name of the database.
    """

    user: str
    password: str | None
    database: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Account":
        """Return the account that POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB name, or the default one."""
        return cls(
            user=environ.get("POSTGRES_USER") or "prefect",
            password=environ.get("POSTGRES_PASSWORD") or None,
            database=environ.get("POSTGRES_DB") or DATABASE,
        )

    def dsn(self, port: int, password: str) -> str:
        """Return its DSN on this machine."""
        return compose_dsn(host=HOST, port=port, name=self.database, username=self.user, password=password)


async def _embedded(lifetime: Lifetime, settings: Settings, wanted: Wanted, account: Account) -> None:
    left = EmbeddedPostgres(settings.home)
    if left.pid is not None:  # of one that was killed, it may have the port
        await asyncio.to_thread(left.stop_leftover)
    _refuse_taken(wanted.port)
    password = account.password or kept_password(settings.home)
    socket_dsn = await start_embedded(lifetime, settings, TcpAccess(host=HOST, port=wanted.port, user=account.user))
    await ensure_superuser(socket_dsn, name=account.user, password=password)
    # always our own database: the one that `start` uses in this home
    dsn = compose_dsn(host=HOST, port=wanted.port, name=DATABASE, username=account.user, password=password)
    await _ready(lifetime, settings, dsn, wanted)
    await lifetime.stopping.wait()


def kept_password(home: Path) -> str:
    """Return the password for TCP connections to the embedded Postgres, made once per home.

    Not one that everybody knows: whoever can connect as a superuser can run programs as the one who runs Postgres, and
    others on this machine reach the port too.
    """
    path = home / "postgres.password"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(os.urandom(18).hex())
        return path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"home cannot be used: {path} ({error.strerror})") from error


async def _ready(lifetime: Lifetime, settings: Settings, dsn: str, wanted: Wanted) -> None:
    """Wait for Postgres, upgrade it, and say that `dev services` may come."""
    if wanted.skip_upgrade:
        await lifetime.unless_stopped(wait_for_database(settings, dsn))
    else:
        await lifetime.unless_stopped(prepare(settings, dsn))
    note = settings.home / INFRASTRUCTURE
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        note.unlink(missing_ok=True)
        with os.fdopen(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(dsn)
    except OSError as error:
        raise ConfigError(f"home cannot be used: {note} ({error.strerror})") from error
    lifetime.at_exit.append(lambda: note.unlink(missing_ok=True))
    typer.echo(f"Postgres is ready: {dsn}\nStart the services with: prefect-server dev services")


def _refuse_taken(port: int) -> None:
    for listener in bind(HOST, port, key="port"):
        listener.close()


async def _why_not_docker() -> str | None:
    """Return why Docker cannot be used, or None if it can."""
    if compose_file() is None:
        return "there is no docker-compose.yml of ours here"
    if shutil.which("docker") is None:
        return "there is no Docker here"
    if await _docker("info") is None:
        return "no Docker engine answers"
    if await _docker("compose", "version") is None:
        return "Docker has no `compose` here"
    return None


def compose_file() -> Path | None:
    """Return our docker-compose.yml: that of the checkout, else the one in the current folder, else None.

    Only ours: another program's would be run, and taken down, in place of it.
    """
    for place in (Path(__file__).resolve().parents[3], Path.cwd()):
        try:
            text = (place / "docker-compose.yml").read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if re.search(r"^name: prefect-server$", text, re.MULTILINE):
            return place / "docker-compose.yml"
    return None


async def _docker(*arguments: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return what a short command of Docker's prints, or None if it fails or does not end."""
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(
        *("docker", *arguments), stdin=quiet, stdout=asyncio.subprocess.PIPE, stderr=quiet, env=environ
    )
    try:
        async with asyncio.timeout(DOCKER_SECONDS):
            printed, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
        return None
    return printed.decode(errors="replace") if child.returncode == 0 else None


async def _composed(lifetime: Lifetime, settings: Settings, wanted: Wanted, account: Account) -> None:
    """Run the composed Postgres; its commands in a session of their own, so that a Ctrl-C reaches them through us."""
    password = account.password or "prefect"
    environ = {
        **os.environ,
        "POSTGRES_USER": account.user,
        "POSTGRES_PASSWORD": password,
        "POSTGRES_DB": account.database,
        "POSTGRES_PORT": str(wanted.port),
        **({} if wanted.tag is None else {"POSTGRES_TAG": wanted.tag}),
    }
    compose = ("docker", "compose", "-f", str(compose_file()))
    if not await _docker(*compose[1:], "ps", "--status", "running", "-q", "postgres", environ=environ):
        _refuse_taken(wanted.port)
    if not wanted.skip_pull:
        pulled = await asyncio.create_subprocess_exec(*compose, "pull", "postgres", env=environ, start_new_session=True)
        lifetime.at_exit.append(lambda: _terminate(pulled))
        if await lifetime.unless_stopped(pulled.wait()) != 0:
            raise ConfigError(
                f"docker compose pull ended with exit code {pulled.returncode};"
                " --skip-pull uses the image that is here."
            )
    lifetime.at_exit.append(_Down(compose, environ))
    up = await asyncio.create_subprocess_exec(*compose, "up", "postgres", env=environ, start_new_session=True)
    lifetime.at_exit.insert(0, lambda: _terminate(up))  # the first is called last: it ends by itself when all is down
    ended = asyncio.ensure_future(up.wait())
    ready = asyncio.ensure_future(_ready(lifetime, settings, account.dsn(wanted.port, password), wanted))
    stop = asyncio.ensure_future(lifetime.stopping.wait())
    try:
        await asyncio.wait({ended, ready, stop}, return_when=asyncio.FIRST_COMPLETED)
        if ready.done() and not ended.done() and not stop.done():
            ready.result()
            await asyncio.wait({ended, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        ready.cancel()
        await asyncio.gather(ready, return_exceptions=True)
    if ended.done() and not lifetime.stopping.is_set():
        raise ConfigError(f"docker compose up ended with exit code {up.returncode}.")


class _Down:
    """Takes the containers down, once; a second caller waits for the first."""

    def __init__(self, compose: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command = [*compose, "down"]
        self._environ = environ
        self._lock = threading.Lock()
        self._done = False

    def __call__(self) -> None:
        with self._lock:
            if self._done:
                return
            self._done = True
            try:
                subprocess.run(
                    self._command, env=self._environ, timeout=DOWN_SECONDS, check=True, start_new_session=True
                )
            except (OSError, subprocess.SubprocessError):
                typer.echo(
                    f"The containers may still be there; take them down with: {' '.join(self._command)}", err=True
                )


def _terminate(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        try:
            child.terminate()
        except ProcessLookupError:
            pass
