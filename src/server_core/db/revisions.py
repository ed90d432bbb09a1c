"""The two chains of revisions: where they are, where they end, how far a database is. Called by db/migrate and env.py.

The legacy server migrates at each of its starts and refuses an `alembic_version` that it does not know. So that it can
still be started on a database of ours, that table stays at the legacy head for ever, and what we add is a chain of its
own with a version table of its own.

They live in `migrations/` of a checkout and in `server_core/_migrations` of a wheel; see the README there.
"""

import ast
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import asyncpg

from server_core.db.folders import migrations_folder
from server_core.db.legacy import BASELINE, FIRST, REVISIONS, steps_after
from server_core.errors import ConfigError

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

    Connection = asyncpg.Connection[asyncpg.Record]

LEGACY = "versions"
"""Folder of the baseline."""

ADDITIONS = "additions"
"""Folder of our own revisions, which build on the baseline."""

LEAVING = "leaving"
"""Attribute of a chain's configuration: its revisions are taken back, whatever the other chain is at."""

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

    def refuse_unknown(self, *, leaving: bool = False) -> None:
        """Raise ConfigError when this release cannot bring a database that is here to its own revisions.

        `leaving`: it is to take its additions away, whatever legacy revision there is.
        """
        if self.legacy not in (None, *REVISIONS):
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
        if self.legacy != BASELINE and not leaving:
            raise made_anew(f"is at legacy revision {self.legacy}")
        if self.additions not in revisions(ADDITIONS):
            raise ConfigError(
                f"The database has our additions up to {self.additions}, which this release does not know:"
                " it belongs to a newer prefect-server."
            )


def made_anew(what: str) -> ConfigError:
    """Return the error for a database whose legacy tables came after our additions, such as from a dump restored."""
    return ConfigError(
        f"The database {what}, but has our additions too ({VERSION_TABLES[ADDITIONS]}): its tables were made anew"
        " under them, as by restoring a dump. Nothing was changed: `prefect-server database downgrade` takes the"
        " additions away; then upgrade again."
    )


def chain(name: str) -> "Config":
    """Return the alembic configuration of a chain, LEGACY or ADDITIONS."""
    from alembic.config import Config  # see db/connection.engine

    folder = migrations_folder()
    config = Config()
    # ConfigParser reads % as the start of an interpolation; a folder may have one in its name.
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("version_locations", str(folder / name).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


def head_revisions() -> Revisions:
    """Return the newest revisions of this release."""
    return Revisions(legacy=_head(LEGACY), additions=_head(ADDITIONS))


@cache
def revisions(name: str) -> dict[str, str | None]:
    """Return the revisions of a chain, each with the one that it builds on, as their files say.

    Alembic would import them to tell, and itself: see db/connection.engine.
    """
    found: dict[str, str | None] = {}
    for path in (migrations_folder() / name).glob("*.py"):
        said: dict[str, Any] = {
            target.id: statement.value.value
            for statement in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        found[said["revision"]] = said["down_revision"]
    return found


def _head(name: str) -> str:
    (head,) = revisions(name).keys() - revisions(name).values()
    return head


def pending(found: Revisions, *, until: str = "head") -> list[str]:
    """Return the revisions that an upgrade would apply to a database, in order, each with what it does.

    Args:
        found: how far the database is, at revisions that this release knows.
        until: the last of the additions.
    """
    if found.legacy in (None, FIRST):
        legacy = [_described(each) for each in _after(LEGACY, None, "head")]
    else:
        legacy = [f"{step.revision}: {step.what}" for step in steps_after(found.legacy)]
    return legacy + [_described(each) for each in _after(ADDITIONS, found.additions, until)]


def _after(name: str, lower: str | None, upper: str) -> "list[Script]":
    return list(reversed(list(scripts(name).iterate_revisions(upper, lower or "base"))))


def _described(script: "Script") -> str:
    return f"{script.revision}: {(script.doc or '').strip().rstrip('.')}"


async def found_revisions(connection: "Connection") -> Revisions:
    """Return how far the database of a connection is."""
    return Revisions(
        legacy=await _version(connection, VERSION_TABLES[LEGACY]),
        additions=await _version(connection, VERSION_TABLES[ADDITIONS]),
    )


async def _version(connection: "Connection", table: str) -> str | None:
    if await connection.fetchval("SELECT to_regclass($1)", f"public.{table}") is None:
        return None
    try:
        rows = await connection.fetch(f"SELECT version_num FROM public.{table} ORDER BY 1")  # noqa: S608 - a constant
    except asyncpg.UndefinedColumnError as error:
        raise ConfigError(
            f"The table {table} of the database has no column version_num: it belongs to another program."
        ) from error
    if len(rows) > 1:
        raise ConfigError(
            f"The table {table} of the database has several rows ({', '.join(str(row[0]) for row in rows)}):"
            " it must have one, the revision at which the schema is; delete the others."
        )
    return str(rows[0][0]) if rows else None


@cache
def scripts(name: str) -> "ScriptDirectory":
    """Return the revisions of a chain, LEGACY or ADDITIONS."""
    from alembic.script import ScriptDirectory  # see db/connection.engine

    return ScriptDirectory.from_config(chain(name))
