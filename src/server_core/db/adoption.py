"""A database of an older legacy release → one of the last release, or one clear ConfigError. Called by db/migrate.

The ways between legacy revisions (db/legacy) are gone one by one, each in a transaction that also moves
`alembic_version`. An upgrade that is cut short so leaves a database at a legacy revision, on which both the legacy
server and the next upgrade can go on. What is known to stop it is looked for before the first change: another schema
than the revision has, missing rights, a server that takes no writes.
"""

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import asyncpg

from server_core.db.connection import BEGIN, opened
from server_core.db.legacy import (
    FIRST,
    REVISIONS,
    STEPS,
    Step,
    belongs,
    expected_facts,
    later_facts,
    split_fact,
    steps_after,
)
from server_core.db.waits import Patience
from server_core.errors import ConfigError

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

logger = logging.getLogger(__name__)

NAMED = 5
"""How many differences are named in a refusal."""

ATTEMPTS = 10
"""How often a step is begun anew because it and somebody else waited for each other."""


WALKS = "3398e4807bfb"
"""The revision that brings the schema `utility`."""

SAME_VERSION = "459a61bedc9e"
"""The last revision that brings triggers on the tables of states."""


async def adopt(dsn: str, revision: str, patience: Patience) -> None:
    """Bring a database with the tables of an earlier legacy revision to the last one.

    Args:
        dsn: its URL.
        revision: where it is; its schema was checked (refuse_other_schema).
        patience: how long to wait for others.

    Raises:
        ConfigError: the revision is no longer what it was.
        asyncpg.PostgresError: a step failed; the database is at the revision before it.
    """
    for step in steps_after(revision):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with opened(dsn) as connection:
                    await _take(connection, step, patience)
                break
            except asyncpg.DeadlockDetectedError:
                if attempt == ATTEMPTS:
                    raise
                logger.warning("a change of the schema and a writer waited for each other; it is tried again")


async def _take(connection: "Connection", step: Step, patience: Patience) -> None:
    started = time.monotonic()
    before = REVISIONS[REVISIONS.index(step.revision) - 1]
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(BEGIN)
        for timeout in patience.timeouts.split(";"):
            await connection.execute(timeout.replace("SET ", "SET LOCAL ", 1))
        moved = await connection.execute(
            "UPDATE public.alembic_version SET version_num = $1 WHERE version_num = $2", step.revision, before
        )
        if moved != "UPDATE 1":
            raise ConfigError(f"The database left revision {before} meanwhile: something else upgrades it, too.")
        query = step.count()
        rows = 0 if query is None else await connection.fetchval(query)
        await connection.execute(step.text())
    logger.info(
        "legacy schema at %s: %s%s",
        step.revision,
        step.what,
        f"; {rows} {step.rewrite.what}" if step.rewrite else "",
        extra={"revision": step.revision, "rows": rows, "seconds": round(time.monotonic() - started, 3)},
    )


async def count_rewrites(connection: "Connection", revision: str) -> dict[str, int]:
    """Return how many rows each step from a revision on would change, by the revision that the step leads to."""
    steps: Sequence[Step] = STEPS if revision == FIRST else steps_after(revision)
    to_come = {fact for step in steps for fact in step.adds}
    counts: dict[str, int] = {}
    for step in steps:
        query = step.count()
        if step.rewrite is not None and query is not None:
            none = revision == FIRST or step.rewrite.needs & to_come
            counts[step.revision] = 0 if none else await connection.fetchval(query)
    return counts


async def refuse_other_schema(connection: "Connection", revision: str) -> None:
    """Raise ConfigError when the schema is not that of its legacy revision, as when somebody changed it by hand.

    What is not of the legacy schema is not looked at, and a plain index that is missing is only told.
    """
    found = dict(split_fact(row["fact"]) for row in await connection.fetch(FACTS))
    expected = expected_facts(revision)
    wrong: list[str] = []
    slower: list[str] = []
    for fact, detail in expected.items():
        if fact not in found:
            (slower if fact.startswith("index") else wrong).append(f"no {_plain(fact)}")
        elif detail and _loose(found[fact]) != _loose(detail):
            wrong.append(f"{_plain(fact)} is {found[fact]}, not {detail}")
    for later, brought in later_facts(revision).items():
        if any(belongs(fact, later) for fact in found):
            wrong.append(f"{_plain(later)} is there, which revision {brought} brings")
    if revision != FIRST and _is_before(revision, SAME_VERSION):
        wrong += [f"no trigger that keeps {run} up to date" for run in await _without_state_trigger(connection)]
    if wrong:
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise ConfigError(
            f"The database says that it is at legacy revision {revision}, but its schema is another:"
            f" {'; '.join(wrong[:NAMED])}{more}. Nothing was changed. Somebody changed it by hand, or a restore was"
            " incomplete: undo that, or restore a whole dump into an empty database."
        )
    if slower:
        logger.warning("the database lacks indexes of its legacy revision %s: %s", revision, ", ".join(slower))


async def refuse_foreign_tables(connection: "Connection", revision: str) -> None:
    """Raise ConfigError when the role may not change the legacy tables of a revision, which only their owner may."""
    tables = sorted({fact.split(".")[1] for fact in expected_facts(revision) if fact.startswith("column public.")})
    [row] = await connection.fetch(RIGHTS, [*tables, "alembic_version"], _is_before(revision, SAME_VERSION))
    reasons = [f"does not own {row['not_owned']}"] if row["not_owned"] else []
    if not row["may_create"]:
        reasons.append("may not create tables in the schema public")
    if not row["may_walk"] and _is_before(revision, WALKS):
        reasons.append("may not make the schema utility")
    if reasons:
        raise ConfigError(
            f"The role {row['role']} may not change the schema of the legacy database: it {', and '.join(reasons)}."
            " Nothing was changed. Upgrade as the owner of the tables, or let the role own them."
        )
    if not row["has_uuids"]:
        raise ConfigError(
            "The database has no function gen_random_uuid(), and nothing was changed: CREATE EXTENSION pgcrypto;"
            " as a superuser, and upgrade again."
        )


async def refuse_read_only(connection: "Connection") -> None:
    """Raise ConfigError when the server takes no writes."""
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        raise ConfigError(
            "The database is a read-only replica (in recovery) and cannot be upgraded: use the URL of its primary."
        )


async def connected_programs(connection: "Connection") -> list[str]:
    """Return who else is connected to the database and is none of ours: the legacy server, if it still runs."""
    rows = await connection.fetch(OTHERS)
    return [f"{row['name']} ({row['number']})" for row in rows]


async def _without_state_trigger(connection: "Connection") -> list[str]:
    return [row["run"] for row in await connection.fetch(STATE_TRIGGERS_MISSING)]


def _is_before(revision: str, other: str) -> bool:
    return REVISIONS.index(revision) < REVISIONS.index(other)


def _plain(fact: str) -> str:
    return fact.replace(" public.", " ")


def _loose(detail: str) -> str:
    """Take text for what it is, however long it may be."""
    kind, _, rest = detail.partition(" ")
    return f"{'varchar' if kind == 'text' or kind.startswith('varchar') else kind} {rest}"


FACTS = """
WITH relation AS (
    SELECT pg_class.oid, nspname || '.' || relname AS name
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname IN ('public', 'utility') AND relkind IN ('r', 'p')
)
SELECT format(
    'column %s.%s %s%s', name, attname,
    replace(
        replace(format_type(atttypid, atttypmod), 'timestamp with time zone', 'timestamptz'),
        'character varying', 'varchar'
    ),
    CASE WHEN attnotnull THEN ' not null' END
) AS fact
FROM relation JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT format('constraint %s.%s', name, conname)
FROM relation JOIN pg_constraint ON conrelid = relation.oid
UNION ALL
SELECT format('index %s.%s', name, relname)
FROM relation JOIN pg_index ON indrelid = relation.oid JOIN pg_class ON pg_class.oid = indexrelid
WHERE indisvalid
UNION ALL
SELECT format('trigger %s.%s', name, tgname)
FROM relation JOIN pg_trigger ON tgrelid = relation.oid AND NOT tgisinternal
UNION ALL
SELECT format('function %s.%s(%s)', nspname, proname, oidvectortypes(proargtypes))
FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
WHERE nspname IN ('public', 'utility')
"""
"""The schema of a database, a line per fact as in migrations/legacy/ac5747fb571c.txt."""

STATE_TRIGGERS_MISSING = """
SELECT run
FROM (VALUES ('flow_run'), ('task_run')) AS kind (run)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE tgrelid = to_regclass('public.' || run || '_state') AND NOT tgisinternal
        AND tgtype & 66 = 0 AND tgtype & 4 = 4 AND pronamespace = 'public'::regnamespace
        AND prosrc ~* ('\\mupdate\\s+(only\\s+)?("?public"?\\.)?"?' || run || '\\M')
)
"""
"""The same triggers that migrations/legacy/drop_state_triggers.sql looks for."""

RIGHTS = """
SELECT
    current_user AS role,
    (
        SELECT string_agg(name, ', ' ORDER BY name)
        FROM (
            SELECT relname::text AS name
            FROM pg_class
            WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1::text[])
                AND NOT pg_has_role(relowner, 'USAGE')
            UNION
            SELECT proname || '()'
            FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid JOIN pg_class ON pg_class.oid = tgrelid
            WHERE $2 AND relnamespace = 'public'::regnamespace AND relname IN ('flow_run_state', 'task_run_state')
                AND proname <> 'set_updated_timestamp' AND NOT tgisinternal AND pronamespace = 'public'::regnamespace
                AND NOT pg_has_role(proowner, 'USAGE')
        ) AS foreign_object
    ) AS not_owned,
    has_schema_privilege('public', 'CREATE') AS may_create,
    CASE
        WHEN to_regnamespace('utility') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
        ELSE has_schema_privilege(to_regnamespace('utility'), 'CREATE')
    END AS may_walk,
    to_regprocedure('gen_random_uuid()') IS NOT NULL AS has_uuids
"""

OTHERS = """
SELECT coalesce(nullif(application_name, ''), 'unnamed') || coalesce(' of ' || usename, '') AS name, count(*) AS number
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND application_name NOT LIKE 'prefect-server%'
GROUP BY 1
ORDER BY 1
"""
