"""A legacy revision → its schema in a database, put together from the contract's lines. For tests of adoption.

Nothing here knows the steps that migrate (server_core/db/legacy): each line of `schema_lines.txt`, the schema at the
end, is made if it was there at the revision already, and so is what only earlier revisions had (schema.md §2). Names
that the contract does not give for what is gone are made up.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

LINES = Path(__file__).parents[1] / "service" / "database" / "schema_lines.txt"
FUNCTIONS = Path(__file__).parents[2] / "migrations" / "sql" / "functions"

REVISIONS = (
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
    "ac5747fb571c",
)
"""All revisions, oldest first; a number below is a place in this list, counted from 1 as in the contract."""

SINCE = {
    "public.flow_run.idempotency_key": 3,
    "utility.": 4,
    "public.message.": 5,
    "public.agent_config.": 8,
    "public.agent.": 8,
    "public.flow_run.agent_id": 8,
    "public.flow_run.flow_run_agent_id_fkey": 8,
    "public.flow_run.ix_flow_run_agent_id": 9,
    "public.task_run.name": 10,
    "public.flow.run_config": 11,
    "public.flow_run.labels": 12,
    "public.task_run_artifact.": 13,
    "public.task_run.ix_task_run_name_trgm": 14,
    "public.flow_run.run_config": 15,
    "public.flow_group.run_config": 15,
    "public.flow_group.description": 16,
    "public.flow_run.ix_flow_run_idempotency_key_unique": 18,
    "public.edge.edge_flow_id_task_ids_key": 19,
}
"""What a revision brought: names, or what they begin with."""

GONE = (
    (2, 5, "column public.flow_run.state_id uuid", "public.flow_run.updated"),
    (2, 5, "column public.task_run.state_id uuid", "public.task_run.updated"),
    (2, 5, "constraint public.flow_run.old_run_fkey FOREIGN KEY (state_id) REFERENCES flow_run_state(id)", ""),
    (2, 5, "constraint public.task_run.old_task_fkey FOREIGN KEY (state_id) REFERENCES task_run_state(id)", ""),
    (2, 5, "index public.flow_run.ix_flow_run_state_id btree (state_id)", ""),
    (2, 5, "index public.task_run.ix_task_run_state_id btree (state_id)", ""),
    (2, 6, "column public.flow_run.duration interval", "public.flow_run.end_time"),
    (2, 6, "column public.task_run.run_count integer not null default 0", "public.task_run.end_time"),
    (2, 6, "column public.task_run.duration interval", "public.task_run.end_time"),
    (3, 17, "index public.flow_run.ix_flow_run_idempotency_key btree (idempotency_key)", ""),
)
"""First and last revision with a line that the last schema lacks, and the column that it comes after."""

PER_STATEMENT = """
CREATE FUNCTION public.{kind}_states_arrived() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {kind}
    SET version = latest.version, state = latest.state, serialized_state = latest.serialized_state,
        state_start_time = latest.start_time, state_timestamp = latest.timestamp, state_message = latest.message,
        state_result = latest.result{state_id}
    FROM (SELECT DISTINCT ON ({kind}_id) * FROM arrived ORDER BY {kind}_id, version DESC, timestamp DESC) AS latest
    WHERE {kind}.id = latest.{kind}_id AND coalesce({kind}.version, -1) <= latest.version;
    RETURN NULL;
END;
$$;
CREATE TRIGGER {kind}_states_arrived AFTER INSERT ON public.{kind}_state REFERENCING NEW TABLE AS arrived
FOR EACH STATEMENT EXECUTE PROCEDURE public.{kind}_states_arrived();
"""
"""How states moved runs up to revision 6; since revision 6 without `state_id`."""

PER_ROW = """
CREATE FUNCTION public.update_{kind}_details_on_state_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.{kind}
    SET version = NEW.version, state = NEW.state, serialized_state = NEW.serialized_state,
        state_start_time = NEW.start_time, state_timestamp = NEW.timestamp, state_message = NEW.message,
        state_result = NEW.result
    WHERE id = NEW.{kind}_id AND NEW.version {newer} coalesce(version, 0);
    RETURN NEW;
END;
$$;
CREATE TRIGGER update_{kind}_details_on_state_insert AFTER INSERT ON public.{kind}_state
FOR EACH ROW EXECUTE PROCEDURE public.update_{kind}_details_on_state_insert();
"""
"""How they did since revision 7; since revision 17 the version may be equal."""


def number(revision: str) -> int:
    """Return the place of a revision in the chain, from 1."""
    return REVISIONS.index(revision) + 1


def lines_at(revision: str) -> list[str]:
    """Return the schema at a revision as lines, columns in their order; without what keeps runs up to date."""
    place = number(revision)
    kept = [
        line
        for line in LINES.read_text(encoding="utf-8").splitlines()
        if _since(line.split(" ")[1]) <= place and "_details_on_state_insert" not in line
    ]
    if place < 7:
        kept = [line.replace("default 1", "default 0") if "_state.version" in line else line for line in kept]
    for first, last, line, after in GONE:
        if first <= place <= last:
            before = next((i for i, other in enumerate(kept) if other.startswith(f"column {after} ")), len(kept) - 1)
            kept.insert(before + 1, line)
    return kept


async def build(connection: "asyncpg.Connection[asyncpg.Record]", revision: str) -> None:
    """Make the schema of a revision in an empty database."""
    await connection.execute("SET search_path TO public")
    trigrams = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_trgm')")
    if trigrams:
        await connection.execute("CREATE EXTENSION pg_trgm")
    lines = [line for line in lines_at(revision) if trigrams or "gin_trgm_ops" not in line]
    await connection.execute(";\n".join(_statements(lines, number(revision))))
    await connection.execute("INSERT INTO alembic_version VALUES ($1)", revision)


def _since(name: str) -> int:
    """Return the revision that brought what has a name (functions: with their arguments)."""
    if name.startswith("public.alembic_version."):
        return 1
    found = [place for known, place in SINCE.items() if name == known or (known[-1] == "." and name.startswith(known))]
    return max(found, default=2)


def _statements(lines: Sequence[str], place: int) -> list[str]:
    columns: dict[str, list[str]] = {}
    later: list[str] = []
    keys: list[str] = []
    for line in lines:
        kind, name, rest = line.split(" ", 2)
        table, _, own = name.rpartition(".")
        if kind == "column":
            columns.setdefault(table, []).append(f'"{own}" {rest}')
        elif kind == "constraint":
            (keys if "FOREIGN KEY" not in rest else later).append(f"ALTER TABLE {table} ADD CONSTRAINT {own} {rest}")
        elif kind == "index":
            later.append(f"CREATE INDEX {own} ON {table} USING {rest}")
        elif kind == "trigger":
            when, _, what = rest.partition(" FOR EACH ")
            later.append(f"CREATE TRIGGER {own} {when} ON {table} FOR EACH {what.replace('FUNCTION', 'PROCEDURE')}")
    tables = [f"CREATE TABLE {table} ({', '.join(each)})" for table, each in columns.items()]
    names = [] if place < 2 else ["set_updated_timestamp", "insert_task_runs_after_flow_run_insert"]
    names += ["downstream_tasks", "upstream_tasks"] if place >= 4 else []
    functions = [(FUNCTIONS / f"{name}.sql").read_text("utf-8").strip().rstrip(";") for name in names]
    schemas = ["CREATE SCHEMA utility"] if place >= 4 else []
    return [*schemas, *tables, *keys, *functions, *later, *_state_triggers(place)]


def _state_triggers(place: int) -> list[str]:
    if place < 2:
        return []
    if place < 7:
        state_id = ", state_id = latest.id" if place < 6 else ""
        return [PER_STATEMENT.format(kind=kind, state_id=state_id) for kind in ("flow_run", "task_run")]
    return [PER_ROW.format(kind=kind, newer=">" if place < 17 else ">=") for kind in ("flow_run", "task_run")]
