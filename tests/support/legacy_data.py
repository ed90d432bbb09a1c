"""Rows of a legacy database at a revision, and what adoption must make of them by the contract's words (schema.md §2).

`fill` writes what a server of that time would have left; `snapshot` reads everything; `adopted` says in plain Python
what the rows must be after every later revision. It shares nothing with the SQL that does it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from tests.support.legacy_schema import number

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

Row = dict[str, Any]
Snapshot = dict[str, list[Row]]
"""Table → its rows as JSON, in physical order."""

SPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")

STATES = (
    *("Scheduled", "Submitted", "Running", "Success", "Failed", "Cancelled", "Cancelling", "Retrying", "Paused"),
    *("Queued", "Cached", "TimedOut", "Looped", "Mapped", "Skipped", "TriggerFailed", "Finished", "Pending"),
)

GROUP_LABELS: Sequence[Any] = (None, [], ["group"], {"not": "a list"})
ENVIRONMENTS: Sequence[Any] = (None, {}, {"labels": ["env", "two"]}, {"labels": []}, {"labels": "odd"}, "odd")

RUN_CONFIG = {"type": "UniversalRun", "env": {"A": "1"}, "labels": ["config"]}


def name_id(*parts: object) -> UUID:
    """Return the same id for the same parts."""
    return uuid5(SPACE, "/".join(map(str, parts)))


@dataclass
class Writer:
    """Inserts rows, leaving out the columns that a table does not have yet."""

    connection: "Connection"
    columns: Mapping[str, set[str]]
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, table: str, /, **columns: Any) -> None:
        """Note a row; a table that is not there yet gets none."""
        if table in self.columns:
            known = {name: value for name, value in columns.items() if name in self.columns[table]}
            self.rows.setdefault(table, []).append(known)

    async def flush(self) -> None:
        """Insert what was noted, each table's rows in one statement, tables in the order of their first row."""
        for table, rows in self.rows.items():
            names = sorted({name for row in rows for name in row})
            await self.connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(names)}"
                f" FROM json_populate_recordset(NULL::{table}, $1)",
                json.dumps([{name: row.get(name) for name in names} for row in rows], default=str),
            )
        self.rows.clear()


async def fill(connection: "Connection", revision: str, now: datetime | None = None) -> None:
    """Write rows into every table that a revision has.

    Two tenants and rows of none, flows with every mix of labels, runs in every state, old, young and Scheduled ones,
    runs that share a key or have none (before keys are unique), edges in one, two, three and four copies (before they
    are unique), and tables that are not the server's.
    """
    now = now or datetime.now(UTC)
    place = number(revision)
    found = await connection.fetch(
        "SELECT table_name, array_agg(column_name::text) AS columns FROM information_schema.columns"
        " WHERE table_schema = 'public' GROUP BY 1"
    )
    writer = Writer(connection, {row["table_name"]: set(row["columns"]) for row in found})
    for tenant in ("a", "b"):
        _tenant(writer, tenant)
        flows = [(labels, environment) for labels in GROUP_LABELS for environment in ENVIRONMENTS]
        for index, (labels, environment) in enumerate(flows if tenant == "a" else flows[:3]):
            _flow(writer, tenant, index, labels, environment, place)
    writer.add("project", id=name_id("homeless"), tenant_id=None, name="of nobody")
    await writer.flush()

    ages: dict[UUID, timedelta] = {}
    for tenant, flows_of in (("a", len(flows)), ("b", 3)):
        for index in range(flows_of):
            for run, (state, age) in enumerate(
                [("Scheduled", 30.0), ("Scheduled", 0.1), ("Success", 0.5), ("Failed", 30.0), (None, 1.5)]
            ):
                ages[_run(writer, tenant, index, run, state, now)] = timedelta(days=age)
        for run, state in enumerate(STATES, start=100):
            ages[_run(writer, tenant, 0, run, state, now)] = timedelta(days=run % 2 * 3)
    for run, key in enumerate(["twin", "twin", "twin", "single", None, None] if place < 18 else ["single", None], 200):
        for index in (0, 1):  # flows without labels and run configuration: no revision moves their rows
            ages[_run(writer, "b", index, run, "Success", now, key)] = timedelta(days=9)
    states = writer.rows.pop("flow_run_state")
    await writer.flush()
    writer.rows["flow_run_state"] = states
    await writer.flush()
    await _details(writer, now)
    await _grow_old(connection, now, ages)
    await connection.execute(FOREIGN)


FOREIGN = """
CREATE SCHEMA hdb_catalog;
CREATE TABLE hdb_catalog.hdb_metadata (id int PRIMARY KEY, metadata json NOT NULL);
INSERT INTO hdb_catalog.hdb_metadata VALUES (1, '{"version":  3}');
CREATE FUNCTION hdb_catalog.noticed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER notify_hasura_runs AFTER INSERT OR UPDATE ON public.flow_run_state
FOR EACH ROW EXECUTE PROCEDURE hdb_catalog.noticed();
CREATE TABLE public.notes (flow_id uuid REFERENCES public.flow (id) ON DELETE CASCADE, note text);
INSERT INTO public.notes SELECT id, 'mine' FROM public.flow;
ALTER TABLE public.flow ADD COLUMN my_column text DEFAULT 'mine';
CREATE VIEW public.my_flows AS SELECT id, name, my_column FROM public.flow;
CREATE SCHEMA mine;
CREATE TABLE mine.flow_run (id int);
INSERT INTO mine.flow_run VALUES (7);
"""
"""What the legacy stack and people leave in a database besides."""

FOREIGN_ROWS = """
SELECT 'metadata' AS what, to_jsonb(r)::text || ctid::text || xmin::text AS row FROM hdb_catalog.hdb_metadata AS r
UNION ALL SELECT 'note', to_jsonb(r)::text || ctid::text || xmin::text FROM public.notes AS r
UNION ALL SELECT 'mine', to_jsonb(r)::text || ctid::text || xmin::text FROM mine.flow_run AS r
UNION ALL SELECT 'view', pg_get_viewdef('public.my_flows'::regclass)
UNION ALL SELECT 'function', pg_get_functiondef('hdb_catalog.noticed'::regproc)
UNION ALL SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'notify_hasura_runs'
ORDER BY 1, 2
"""


async def foreign(connection: "Connection") -> list[str]:
    """Return all that is not the legacy server's, rows with their place and transaction: untouched, not just equal."""
    return [row["row"] for row in await connection.fetch(FOREIGN_ROWS)]


def _tenant(writer: Writer, tenant: str) -> None:
    own = {"tenant_id": name_id(tenant)}
    writer.add("tenant", id=name_id(tenant), name=tenant, slug=tenant, settings={}, info={"of": tenant})
    writer.add("project", id=name_id(tenant, "project"), name="project", **own)
    writer.add(
        "cloud_hook", id=name_id(tenant, "hook"), type="WEBHOOK", config={}, states=["Failed"], active=True, **own
    )
    writer.add("message", id=name_id(tenant, "message"), read=False, type="T", text="hello", content={"n": 1}, **own)
    writer.add("agent_config", id=name_id(tenant, "config"), name="config", settings={"a": 1}, **own)
    writer.add("agent", id=name_id(tenant, "agent"), agent_config_id=name_id(tenant, "config"), labels=["x"], **own)


def _flow(writer: Writer, tenant: str, index: int, labels: Any, environment: Any, place: int) -> None:
    flow, group, own = name_id(tenant, "flow", index), name_id(tenant, "group", index), {"tenant_id": name_id(tenant)}
    writer.add("flow_group", id=group, name=str(group), labels=labels, settings={}, default_parameters={}, **own)
    columns: Row = {"id": flow, "flow_group_id": group, "project_id": name_id(tenant, "project"), "name": str(index)}
    columns |= {"version": 1, "version_group_id": str(group), "environment": environment, "archived": False}
    columns |= {"parameters": [], "settings": {}, "is_schedule_active": False, "core_version": "0.13.0"}
    columns |= {"run_config": RUN_CONFIG if index % 3 == 2 else None}
    writer.add("flow", **columns, **own)
    flags: Row = dict.fromkeys(
        ("mapped", "auto_generated", "is_root_task", "is_terminal_task", "is_reference_task"), False
    )
    for task in range(2):
        columns = {"id": name_id(flow, task), "flow_id": flow, "name": f"task {task}", "slug": f"task-{task}"}
        writer.add("task", tags=["t"], cache_key="key", **columns, **flags, **own)
    for copy in range(1 if place >= 19 else 1 + index % 4):
        ends = {"upstream_task_id": name_id(flow, 0), "downstream_task_id": name_id(flow, 1)}
        writer.add("edge", id=name_id(flow, "edge", copy), flow_id=flow, key=f"k{copy}", mapped=False, **ends, **own)


def _run(
    writer: Writer, tenant: str, index: int, run: int, state: str | None, now: datetime, key: str | None = None
) -> UUID:
    run_id, own = name_id(tenant, index, "run", run), {"tenant_id": name_id(tenant)}
    columns: Row = {"id": run_id, "flow_id": name_id(tenant, "flow", index), "name": f"run {run}"}
    columns |= {"scheduled_start_time": now, "auto_scheduled": run % 2 == 0, "version": 0, "times_resurrected": 0}
    columns |= {"created": now - timedelta(days=40), "updated": now, "idempotency_key": key, "parameters": {"p": run}}
    columns |= {"labels": [f"own {run}"], "run_config": {"own": run} if run % 2 else None}
    columns |= {"agent_id": name_id(tenant, "agent")} if run % 4 == 1 else {}
    writer.add("flow_run", **columns, **own)
    names = [] if state is None else ["Scheduled"] if state == "Scheduled" else ["Scheduled", state]
    for version, name in enumerate(names, start=1):
        document = {"type": name, "message": f"{name} it is"}
        columns = {"id": name_id(run_id, version), "flow_run_id": run_id, "state": name, "version": version}
        columns |= {"timestamp": now, "start_time": now, "message": name, "serialized_state": document}
        writer.add("flow_run_state", created=now, updated=now, **columns, **own)
    return run_id


async def _details(writer: Writer, now: datetime) -> None:
    """Write what belongs to the task runs that the database has made for each run."""
    for row in await writer.connection.fetch("SELECT id, tenant_id, flow_run_id FROM task_run ORDER BY id"):
        own = {"tenant_id": row["tenant_id"], "task_run_id": row["id"]}
        writer.add(
            "log", id=name_id(row["id"], "log"), flow_run_id=row["flow_run_id"], message="said", timestamp=now, **own
        )
        times = {"created": now, "updated": now}
        if row["id"].int % 3 == 0:
            writer.add("task_run_artifact", id=name_id(row["id"], "art"), kind="link", data={"l": 1}, **times, **own)
    await writer.flush()
    if "name" in writer.columns["task_run"]:
        await writer.connection.execute("UPDATE task_run SET name = 'task run ' || map_index")


async def _grow_old(connection: "Connection", now: datetime, ages: Mapping[UUID, timedelta]) -> None:
    """Give runs the age that they shall have; the trigger would not let it stand."""
    await connection.execute("ALTER TABLE flow_run DISABLE TRIGGER update_timestamp")
    await connection.execute(
        "UPDATE flow_run SET updated = age.at FROM unnest($1::uuid[], $2::timestamptz[]) AS age (id, at)"
        " WHERE flow_run.id = age.id",
        list(ages),
        [now - age for age in ages.values()],
    )
    await connection.execute("ALTER TABLE flow_run ENABLE TRIGGER update_timestamp")


TABLES = (
    *("tenant", "project", "flow_group", "flow", "task", "edge", "agent_config", "agent", "flow_run", "flow_run_state"),
    *("task_run", "task_run_state", "task_run_artifact", "log", "message", "cloud_hook"),
)


async def snapshot(connection: "Connection") -> Snapshot:
    """Return every row of the legacy tables that there are."""
    rows: Snapshot = {}
    for table in TABLES:
        if await connection.fetchval("SELECT to_regclass($1)", f"public.{table}") is not None:
            found = await connection.fetch(f"SELECT to_jsonb(r)::text AS row FROM public.{table} AS r ORDER BY ctid")
            rows[table] = [json.loads(row["row"]) for row in found]
    return rows


REMOVED = {5: ("state_id",), 6: ("duration", "run_count")}
"""Last revision with columns of runs that went."""

BROUGHT: Sequence[tuple[int, str, str, Any]] = (
    (3, "flow_run", "idempotency_key", None),
    (8, "flow_run", "agent_id", None),
    (10, "task_run", "name", None),
    (11, "flow", "run_config", None),
    (12, "flow_run", "labels", []),
    (15, "flow_run", "run_config", None),
    (15, "flow_group", "run_config", None),
    (16, "flow_group", "description", None),
)
"""Revision, table and column that it brought, and what rows have in it that were there."""


def adopted(before: Snapshot, revision: str, now: datetime) -> Snapshot:
    """Return what the rows of a revision must be at the last one. `updated` of the runs that changed is None."""
    place = number(revision)
    after: Snapshot = {table: [dict(row) for row in before.get(table, [])] for table in TABLES}
    for last, columns in REMOVED.items():
        for row in (after["flow_run"] + after["task_run"]) if place <= last else []:
            for column in columns:
                row.pop(column, None)
    for brought, table, column, value in BROUGHT:
        for row in after[table] if place < brought else []:
            row[column] = value
    flows = {row["id"]: row for row in after["flow"]}
    groups = {row["id"]: row for row in after["flow_group"]}
    for run in after["flow_run"]:
        young = datetime.fromisoformat(run["updated"]) >= now - timedelta(days=1)
        flow = flows[run["flow_id"]]
        if run["state"] != "Scheduled" and not young:
            continue
        if place < 12 and (labels := _labels(groups[flow["flow_group_id"]], flow)):
            run.update(labels=labels, updated=None)
        if place < 15 and flow["run_config"] is not None:
            run.update(run_config=flow["run_config"], updated=None)
    if place < 18:
        _one_run_per_key(after)
    if place < 19:
        best = {_ends(edge): edge["id"] for edge in sorted(after["edge"], key=lambda edge: str(edge["id"]))}
        after["edge"] = [edge for edge in after["edge"] if best[_ends(edge)] == edge["id"]]
    return after


def _labels(group: Row, flow: Row) -> list[str]:
    environment = flow["environment"]
    for labels in (group["labels"], environment.get("labels") if isinstance(environment, dict) else None):
        if isinstance(labels, list):
            return labels
    return []


def _one_run_per_key(after: Snapshot) -> None:
    seen: set[tuple[str, str]] = set()
    gone: set[str] = set()
    for run in after["flow_run"]:
        key = (run["flow_id"], run["idempotency_key"])
        if run["idempotency_key"] is not None and key in seen:
            gone.add(run["id"])
        seen.add(key)
    tasks = {row["id"] for row in after["task_run"] if row["flow_run_id"] in gone}
    for table in ("flow_run", "task_run", "flow_run_state", "task_run_state", "task_run_artifact", "log"):
        column = "id" if table == "flow_run" else "flow_run_id"
        after[table] = [
            row for row in after[table] if row.get(column) not in gone and row.get("task_run_id") not in tasks
        ]


def _ends(edge: Row) -> tuple[str, str, str]:
    return edge["flow_id"], edge["upstream_task_id"], edge["downstream_task_id"]


def comparable(rows: Snapshot, masked: Snapshot) -> dict[str, list[str]]:
    """Return rows as sorted text, without `updated` where `masked` has None for it."""
    mask = {row["id"] for row in masked["flow_run"] if row["updated"] is None}
    return {
        table: sorted(
            json.dumps({**row, "updated": None} if row["id"] in mask else row, sort_keys=True) for row in found
        )
        for table, found in rows.items()
    }
