"""A database → what an upgrade would do to it, without doing it. Called by `prefect-server database upgrade -n`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from server_core.db.adoption import connected_programs, count_rewrites, refuse_read_only
from server_core.db.connection import opened
from server_core.db.dsn import redacted
from server_core.db.legacy import BASELINE, FIRST, steps_after
from server_core.db.migrate import ready_to_upgrade
from server_core.db.revisions import ADDITIONS, LEGACY, VERSION_TABLES, Revisions, chain, head_revisions, scripts

if TYPE_CHECKING:
    from alembic.script import Script


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One revision that an upgrade would make.

    Attributes:
        table: the version table that would say so: `alembic_version` or `prefect_server_version`.
        revision: its id.
        what: what it does, in a line.
        rewrites: (number, phrase) for the rows that it would change or delete, as far as they can be counted before.
        statements: its SQL.
    """

    table: str
    revision: str
    what: str
    rewrites: Sequence[tuple[int, str]] = ()
    statements: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an upgrade would do.

    Attributes:
        place: the database, without its password.
        found: how far it is.
        head: how far it would be.
        steps: the revisions between, in their order.
        connected: programs that are connected and are none of ours, when a legacy database would be adopted.
    """

    place: str
    found: Revisions
    head: Revisions
    steps: Sequence[PlannedStep]
    connected: Sequence[str] = ()

    def text(self, *, statements: bool = False) -> str:
        """Return the plan for people, with the SQL of each step if wanted."""
        if not self.steps:
            return f"{self.place} is at revisions {self.found}, those of this release: nothing to do"
        lines = [f"{self.place} is at revisions {self.found}"]
        for step in self.steps:
            lines.append(f"would apply {step.revision}: {step.what}")
            lines += [f"  {number} {what}" for number, what in step.rewrites]
            if statements:
                lines += [f"  | {line}".rstrip() for line in step.statements.strip().splitlines()]
        if self.connected:
            lines.append(f"Connected programs: {', '.join(self.connected)}. The legacy server must be stopped before.")
        return "\n".join([*lines, "Nothing was changed."])


async def plan(dsn: str) -> Plan:
    """Return what `db.migrate.upgrade` would do to a database; changes nothing, takes no lock that stops a writer.

    Args:
        dsn: its URL.

    Raises:
        ConfigError: the upgrade would refuse the database, for the same reason.
        Unavailable: it cannot be reached.
    """
    async with opened(dsn) as connection:
        await refuse_read_only(connection)
        found, head = await ready_to_upgrade(connection), head_revisions()
        if found == head:
            return Plan(place=redacted(dsn), found=found, head=head, steps=())
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute("SET LOCAL statement_timeout = 0")
            counts = {} if found.legacy in (None, BASELINE) else await count_rewrites(connection, str(found.legacy))
        connected = await connected_programs(connection) if found.legacy and found.additions is None else []
    steps = [*_legacy_steps(found, counts), *await asyncio.to_thread(_chain_steps, ADDITIONS, found.additions)]
    return Plan(place=redacted(dsn), found=found, head=head, steps=steps, connected=connected)


def _legacy_steps(found: Revisions, counts: dict[str, int]) -> Sequence[PlannedStep]:
    if found.legacy in (None, FIRST):
        return _chain_steps(LEGACY, None)
    return [
        PlannedStep(
            table=VERSION_TABLES[LEGACY],
            revision=step.revision,
            what=step.what,
            rewrites=[(counts[step.revision], step.rewrite.what)] if step.rewrite else [],
            statements=step.text(),
        )
        for step in steps_after(str(found.legacy))
    ]


def _chain_steps(name: str, after: str | None) -> list[PlannedStep]:
    """Return the revisions of a chain after one, oldest first."""
    return [
        PlannedStep(
            table=VERSION_TABLES[name],
            revision=script.revision,
            what=(script.doc or "").splitlines()[0].rstrip("."),
            statements=_statements(name, script),
        )
        for script in reversed(list(scripts(name).iterate_revisions("head", after or "base")))
    ]


def _statements(name: str, script: "Script") -> str:
    """Return the SQL of a revision, as alembic writes it."""
    from alembic import command  # see db/connection.engine

    config = chain(name)
    config.output_buffer = StringIO()
    start = f"{script.down_revision}:" if script.down_revision else ""
    command.upgrade(config, f"{start}{script.revision}", sql=True)
    return config.output_buffer.getvalue()
