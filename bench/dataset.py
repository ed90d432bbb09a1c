"""A size → the rows that the workloads read, in a database of their own. Called by every benchmark that needs rows.

Ids are made from numbers (`ident`), so that whoever writes requests knows them without asking. Rows are put in as they
are, without triggers; indexes, constraints and statistics are those of a server that has been running for a while.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

import asyncpg

from server_core.db.dsn import plain_dsn
from server_core.db.embedded import EmbeddedPostgres
from server_core.db.migrate import upgrade

POSTGRES: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": "200",
    "jit": "off",
}
"""The disk is left out, so that it does not hide what a server costs."""

PROJECTS: Final = 5
TASKS_PER_FLOW: Final = 10
"""Every flow run has a task run of each."""
TALKATIVE: Final = 50
"""Every so many flow runs, one has LONG_LOG log lines, the others SHORT_LOG."""
LONG_LOG: Final = 500
SHORT_LOG: Final = 10
CYCLE: Final = 100
"""States of flow runs repeat after so many: see _STATE."""
WAITING: Final = 60
RUNNING: Final = 75
"""Of each hundredth hundred, runs below the first number are Scheduled, those below the second Running."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """How many rows: the large one is that of performance.md (50 000 runs, 500 000 task runs, 1 000 000 log lines)."""

    flows: int = 200
    flow_runs: int = 50_000


LARGE: Final = Size()
SMALL: Final = Size(flows=200, flow_runs=5_000)

_ID: Final = "md5('{kind}:' || {number})::uuid"
_PAST: Final = "timestamptz '2026-01-01 00:00:00+00' + n * interval '30 seconds'"
# In ten thousand runs there are a hundred that an agent might ask for; all others are over.
_OPEN: Final = f"(n / {CYCLE} % 100 = 0 AND n % {CYCLE} < {RUNNING})"
_STATE: Final = (
    f"CASE WHEN NOT {_OPEN} THEN CASE WHEN n % 10 = 0 THEN 'Failed' ELSE 'Success' END"
    f" WHEN n % {CYCLE} < {WAITING} THEN 'Scheduled' ELSE 'Running' END"
)


def ident(kind: str, number: int) -> UUID:
    """Return the id of the row of a kind (`flow`, `flow_run`, `task`, `task_run`, …) with a number, counted from 1."""
    return UUID(hashlib.md5(f"{kind}:{number}".encode(), usedforsecurity=False).hexdigest())


TENANT: Final = ident("tenant", 1)


def _id(kind: str, number: str) -> str:
    return _ID.format(kind=kind, number=number)


_FLOWS: Final = (
    f"INSERT INTO tenant (id, name, slug) VALUES ('{TENANT}', 'Bench', 'bench')",
    f"""
    INSERT INTO project (id, tenant_id, name)
    SELECT {_id("project", "n")}, '{TENANT}', 'project-' || n FROM generate_series(1, {PROJECTS}) AS n
    """,
    f"""
    INSERT INTO flow_group (id, tenant_id, name)
    SELECT {_id("flow_group", "n")}, '{TENANT}', 'group-' || n FROM generate_series(1, $1::int) AS n
    """,
    f"""
    INSERT INTO flow (id, tenant_id, project_id, flow_group_id, name, version, version_group_id, core_version,
                      environment, storage, parameters, serialized_flow)
    SELECT {_id("flow", "n")}, '{TENANT}', {_id("project", f"(n % {PROJECTS} + 1)")}, {_id("flow_group", "n")},
        'flow-' || n, 1, 'group-' || n, '1.4.1', '{{"type": "LocalEnvironment", "labels": []}}',
        '{{"type": "Local", "directory": "/flows"}}', '[]', jsonb_build_object('name', 'flow-' || n, 'type', 'prefect')
    FROM generate_series(1, $1::int) AS n
    """,
    f"""
    INSERT INTO task (id, tenant_id, flow_id, name, slug, type, max_retries)
    SELECT {_id("task", f"((n - 1) * {TASKS_PER_FLOW} + k)")}, '{TENANT}', {_id("flow", "n")}, 'task-' || k,
        'task-' || k || '-1', 'prefect.tasks.core.function.FunctionTask', 3
    FROM generate_series(1, $1::int) AS n, generate_series(1, {TASKS_PER_FLOW}) AS k
    """,
)

# $1: flows; $2 and $3: first and last run.
_RUNS: Final = (
    f"""
    INSERT INTO flow_run (id, tenant_id, flow_id, name, created, updated, scheduled_start_time, start_time, end_time,
                          heartbeat, state, state_timestamp, state_start_time, state_message, version, parameters,
                          serialized_state, labels, run_config)
    SELECT {_id("flow_run", "n")}, '{TENANT}', {_id("flow", "((n - 1) % $1::int + 1)")}, 'calm-otter-' || n, t, t, t,
        CASE WHEN state <> 'Scheduled' THEN t END, CASE WHEN state IN ('Success', 'Failed') THEN t END,
        CASE WHEN state <> 'Scheduled' THEN t END, state, t, CASE WHEN state = 'Scheduled' THEN t END,
        'the message of this state', 3, jsonb_build_object('n', n, 'name', 'a parameter of ordinary length'),
        jsonb_build_object('type', state, 'message', 'the message of this state', 'context',
            jsonb_build_object('tags', '[]'::jsonb), 'cached_inputs', '{{}}'::jsonb, '__version__', '1.4.1'),
        '["prod"]', '{{"type": "LocalRun", "labels": []}}'
    FROM generate_series($2::int, $3::int) AS n, LATERAL (SELECT {_PAST} AS t, {_STATE} AS state) AS derived
    """,
    f"""
    INSERT INTO flow_run_state (id, tenant_id, flow_run_id, timestamp, state, message, serialized_state, version)
    SELECT {_id("flow_run_state", "n")}, '{TENANT}', {_id("flow_run", "n")}, {_PAST}, {_STATE},
        'the message of this state', '{{"type": "Success"}}', 3
    FROM generate_series($2::int, $3::int) AS n WHERE $1::int > 0
    """,
    f"""
    INSERT INTO task_run (id, tenant_id, flow_run_id, task_id, map_index, name, created, updated, state,
                          state_timestamp, state_start_time, start_time, heartbeat, version, serialized_state)
    SELECT {_id("task_run", f"((n - 1) * {TASKS_PER_FLOW} + k)")}, '{TENANT}', {_id("flow_run", "n")},
        {_id("task", f"((n - 1) % $1::int * {TASKS_PER_FLOW} + k)")}, -1, 'task-' || k, t, t, state, t,
        CASE WHEN state = 'Retrying' THEN t END, t, t, 3, jsonb_build_object('type', state)
    FROM generate_series($2::int, $3::int) AS n, generate_series(1, {TASKS_PER_FLOW}) AS k,
        LATERAL (SELECT {_PAST} AS t, CASE
            WHEN NOT {_OPEN} THEN CASE WHEN k = 1 AND n % 10 = 0 THEN 'Failed' ELSE 'Success' END
            WHEN n % {CYCLE} < {WAITING} THEN 'Pending'
            WHEN k = 1 THEN 'Retrying' WHEN k < 6 THEN 'Running' ELSE 'Pending' END AS state) AS derived
    """,
    f"""
    INSERT INTO task_run_state (id, tenant_id, task_run_id, timestamp, state, message, serialized_state, version)
    SELECT {_id("task_run_state", f"((n - 1) * {TASKS_PER_FLOW} + k)")}, '{TENANT}',
        {_id("task_run", f"((n - 1) * {TASKS_PER_FLOW} + k)")}, {_PAST}, 'Success', 'Task run succeeded.',
        '{{"type": "Success"}}', 3
    FROM generate_series($2::int, $3::int) AS n, generate_series(1, {TASKS_PER_FLOW}) AS k WHERE $1::int > 0
    """,
    f"""
    INSERT INTO log (id, tenant_id, flow_run_id, task_run_id, timestamp, name, level, message, info)
    SELECT {_id("log", "n || ':' || k")}, '{TENANT}', {_id("flow_run", "n")},
        {_id("task_run", f"((n - 1) * {TASKS_PER_FLOW} + k % {TASKS_PER_FLOW} + 1)")}, {_PAST} + k * interval '7 ms',
        'prefect.TaskRunner', 'INFO', 'Task ''task-' || k || ''': Handling state change from Pending to Running', NULL
    FROM generate_series($2::int, $3::int) AS n,
        generate_series(1, CASE WHEN n % {TALKATIVE} = 0 THEN {LONG_LOG} ELSE {SHORT_LOG} END) AS k
    WHERE $1::int > 0
    """,
)


@contextmanager
def postgres(home: Path | None = None, **settings: str) -> Iterator[str]:
    """Run an embedded Postgres for a block, in a temporary folder unless one is given; yields its DSN."""
    with ExitStack() as stack:
        home = home or Path(stack.enter_context(TemporaryDirectory(prefix="prefect-server-bench-")))
        server = EmbeddedPostgres(home, {**POSTGRES, **settings})
        dsn = server.start()
        stack.callback(server.stop)
        yield dsn


async def make(dsn: str, size: Size) -> None:
    """Fill an empty database: schema, flows, runs up to the size."""
    await upgrade(dsn)
    connection = await _connected(dsn)
    try:
        for statement in _FLOWS:
            await connection.execute(statement, *([size.flows] if "$1" in statement else []))
    finally:
        await connection.close()
    await grow(dsn, size, already=0)


async def grow(dsn: str, size: Size, *, already: int) -> None:
    """Add the runs that a database which has `already` so many needs for a size."""
    connection = await _connected(dsn)
    try:
        for statement in _RUNS:
            await connection.execute(statement, size.flows, already + 1, size.flow_runs)
        await connection.execute("VACUUM (ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _connected(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    connection = await asyncpg.connect(plain_dsn(dsn))
    await connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'")
    return connection
