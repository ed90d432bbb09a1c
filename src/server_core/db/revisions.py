"""The two chains of revisions: where they are, where they end, how far a database is. Called by db/migrate and env.py.

The legacy server migrates at each of its starts and refuses an `alembic_version` that it does not know. So that it can
still be started on a database of ours, that table stays at the legacy head for ever, and what we add is a chain of its
own with a version table of its own.

They live in `migrations/` of a checkout and in `server_core/_migrations` of a wheel; see the README there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.script import ScriptDirectory

from server_core.errors import ConfigError

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

BASELINE = "ac5747fb571c"
"""The last legacy revision and the only one of our baseline (schema.md §1)."""

LEGACY_REVISIONS = frozenset(
    {
        "27811b58307b",
        "72e2cd3e0469",
        "c4d792bdd05e",
        "3398e4807bfb",
        "b9086bd4b962",
        "c1f317aa658c",
        "6611fd0ccc73",
        "70528cee0d2b",
        "9cb7539b7363",
        "e148cf9f1e5b",
        "850b76d44332",
        "24f10aeee83e",
        "3c87ad7e0b71",
        "57ac2cb01ac1",
        "7ca57ea2fdff",
        "9116e81c6dc2",
        "459a61bedc9e",
        "a666a3f4e422",
    }
)
"""Revisions of older legacy releases (schema.md §2); their databases are upgraded by the last legacy release."""

LEGACY = "versions"
"""Folder of the baseline."""

ADDITIONS = "additions"
"""Folder of our own revisions, which build on the baseline."""

VERSION_TABLES = {LEGACY: "alembic_version", ADDITIONS: "prefect_server_version"}
"""Folder of a chain → its version table, in the schema `public`."""


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """How far a database is in both chains, or how far a release brings it.

    Attributes:
        legacy: the revision in `alembic_version`; None before the baseline.
        additions: the revision in `prefect_server_version`; None before the first addition.
    """

    legacy: str | None
    additions: str | None

    def __str__(self) -> str:
        return f"{self.legacy or 'none'} (legacy schema) and {self.additions or 'none'} (additions)"

    def refuse_unknown(self) -> None:
        """Raise ConfigError when this release cannot bring a database that is here to its own revisions."""
        if self.legacy in LEGACY_REVISIONS:
            raise ConfigError(
                f"The database is at revision {self.legacy} of an older legacy release:"
                " upgrade with the last legacy release first, then start this server."
            )
        if self.legacy not in (None, BASELINE):
            raise ConfigError(
                f"The database is at revision {self.legacy}, which this release does not know:"
                " it belongs to another program."
            )
        if self.additions is None:
            return
        if self.legacy is None:
            raise ConfigError(
                f"The database has our additions up to {self.additions} but no legacy revision (alembic_version is"
                " missing or empty); use an empty database, or restore the whole of the old one."
            )
        if self.additions not in {script.revision for script in _scripts(ADDITIONS).walk_revisions()}:
            raise ConfigError(
                f"The database has our additions up to {self.additions}, which this release does not know:"
                " it belongs to a newer prefect-server."
            )


def migrations_folder() -> Path:
    """Return the folder of both chains: beside the package in a wheel, at the root of a checkout.

    Raises:
        ConfigError: there is none; the installation is broken.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_migrations", package.parents[1] / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise ConfigError(f"The migrations are missing beside {package}; install prefect-server again.")


def chain(name: str) -> Config:
    """Return the alembic configuration of a chain, LEGACY or ADDITIONS."""
    folder = migrations_folder()
    config = Config()
    # ConfigParser reads % as the start of an interpolation; a folder may have one in its name.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("version_locations", str(folder / name).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def head_revisions() -> Revisions:
    """Return the newest revisions of this release."""
    return Revisions(
        legacy=_scripts(LEGACY).get_current_head(),
        additions=_scripts(ADDITIONS).get_current_head(),
    )


async def found_revisions(connection: "Connection") -> Revisions:
    """Return how far the database of a connection is."""
    return Revisions(
        legacy=await _version(connection, VERSION_TABLES[LEGACY]),
        additions=await _version(connection, VERSION_TABLES[ADDITIONS]),
    )


async def _version(connection: "Connection", table: str) -> str | None:
    if await connection.fetchval("SELECT to_regclass($1)", f"public.{table}") is None:
        return None
    revision: Any = await connection.fetchval(f"SELECT version_num FROM public.{table}")  # noqa: S608 - a constant
    return None if revision is None else str(revision)


def _scripts(name: str) -> ScriptDirectory:
    return ScriptDirectory.from_config(chain(name))
