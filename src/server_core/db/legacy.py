"""The 19 legacy revisions: what each brings, how it is made, what a database at it looks like. Called by db/adoption.

Facts only, from the contract (schema.md §2, §4); no I/O but reading `migrations/legacy`.

They are no alembic chain. On an empty database the baseline makes everything at once and has the id of the last of
them, so the ids before it would be a second way to the same revision; and alembic would give neither the checks before
the first change nor the counts that a dry run shows. A step is a file of SQL named after the revision that it leads to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from server_core.db.folders import migrations_folder

BASELINE = "ac5747fb571c"
"""The last legacy revision and the only one of our baseline (schema.md §1)."""

FIRST = "27811b58307b"
"""The first one: it made extensions, no table."""

STATE_TRIGGERS = (
    "legacy/drop_state_triggers.sql",
    "sql/functions/update_flow_run_details_on_state_insert.sql",
    "sql/functions/update_task_run_details_on_state_insert.sql",
    "sql/triggers/update_flow_run_details_on_state_insert.sql",
    "sql/triggers/update_task_run_details_on_state_insert.sql",
)
"""Scripts that replace the triggers which keep runs up to date with their states, whatever their release."""


@dataclass(frozen=True, kw_only=True)
class Rewrite:
    """Rows that a step changes or deletes.

    Attributes:
        what: a phrase for the rows, after their number.
        needs: columns by whose facts it is decided; without them there are no such rows.
    """

    what: str
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Step:
    """The way to one legacy revision from the one before it.

    Attributes:
        revision: where it leads.
        what: what it does, in a line.
        scripts: files below `migrations/`, run in this order before the step's own.
        own: whether it has a script of its own, `legacy/REVISION.sql`.
        adds: facts that hold from here on and not before; a table stands for all that belongs to it.
        settles: facts that hold from here on and are not known for earlier revisions.
        removes: facts that held until here.
        rewrite: rows that it changes.
    """

    revision: str
    what: str
    scripts: Sequence[str] = ()
    own: bool = True
    adds: frozenset[str] = frozenset()
    settles: frozenset[str] = frozenset()
    removes: frozenset[str] = frozenset()
    rewrite: Rewrite | None = None

    def text(self) -> str:
        """Return the SQL of the step, in the order in which it runs."""
        names = [*self.scripts, *([f"legacy/{self.revision}.sql"] if self.own else [])]
        return "\n".join((migrations_folder() / name).read_text(encoding="utf-8") for name in names)

    def count(self) -> str | None:
        """Return the query that counts the rows of its rewrite."""
        return None if self.rewrite is None else _counts(self.revision).read_text(encoding="utf-8")


STEPS = (
    Step(
        revision="c4d792bdd05e",
        what="idempotency keys of runs",
        adds=frozenset({"column public.flow_run.idempotency_key", "index public.flow_run.ix_flow_run_idempotency_key"}),
    ),
    Step(
        revision="3398e4807bfb",
        what="functions that walk along edges",
        scripts=("legacy/3398e4807bfb.sql", "sql/functions/downstream_tasks.sql", "sql/functions/upstream_tasks.sql"),
        own=False,
        adds=frozenset(
            {
                "table utility.traversal",
                "function utility.downstream_tasks(uuid[], integer)",
                "function utility.upstream_tasks(uuid[], integer)",
            }
        ),
    ),
    Step(revision="b9086bd4b962", what="messages", adds=frozenset({"table public.message"})),
    Step(
        revision="c1f317aa658c",
        what="runs no longer point at their latest state (drops flow_run.state_id, task_run.state_id)",
        scripts=STATE_TRIGGERS,
        removes=frozenset({"column public.flow_run.state_id", "column public.task_run.state_id"}),
    ),
    Step(
        revision="6611fd0ccc73",
        what="triggers per state row (drops flow_run.duration, task_run.duration, task_run.run_count)",
        scripts=STATE_TRIGGERS,
        removes=frozenset(
            {
                "column public.flow_run.duration",
                "column public.task_run.duration",
                "column public.task_run.run_count",
            }
        ),
    ),
    Step(
        revision="70528cee0d2b",
        what="agents and their settings",
        adds=frozenset(
            {
                "table public.agent_config",
                "table public.agent",
                "column public.flow_run.agent_id",
                "constraint public.flow_run.flow_run_agent_id_fkey",
            }
        ),
    ),
    Step(
        revision="9cb7539b7363",
        what="index of runs by agent",
        adds=frozenset({"index public.flow_run.ix_flow_run_agent_id"}),
    ),
    Step(revision="e148cf9f1e5b", what="names of task runs", adds=frozenset({"column public.task_run.name"})),
    Step(
        revision="850b76d44332", what="run configurations of flows", adds=frozenset({"column public.flow.run_config"})
    ),
    Step(
        revision="24f10aeee83e",
        what="labels of runs",
        adds=frozenset({"column public.flow_run.labels"}),
        rewrite=Rewrite(what="runs that are Scheduled or were updated in the last day get their flow's labels"),
    ),
    Step(revision="3c87ad7e0b71", what="artifacts", adds=frozenset({"table public.task_run_artifact"})),
    Step(
        revision="57ac2cb01ac1",
        what="index of task runs by name",
        adds=frozenset({"index public.task_run.ix_task_run_name_trgm"}),
    ),
    Step(
        revision="7ca57ea2fdff",
        what="run configurations of runs and flow groups",
        adds=frozenset({"column public.flow_run.run_config", "column public.flow_group.run_config"}),
        rewrite=Rewrite(
            what="runs that are Scheduled or were updated in the last day get their flow's run configuration",
            needs=frozenset({"column public.flow.run_config"}),
        ),
    ),
    Step(
        revision="9116e81c6dc2",
        what="descriptions of flow groups",
        adds=frozenset({"column public.flow_group.description"}),
    ),
    Step(
        revision="459a61bedc9e",
        what="triggers that accept a state of the same version",
        scripts=STATE_TRIGGERS,
        own=False,
        settles=frozenset(
            f"{fact}update_{run}_details_on_state_insert{end}"
            for run in ("flow_run", "task_run")
            for fact, end in ((f"trigger public.{run}_state.", ""), ("function public.", "()"))
        ),
    ),
    Step(
        revision="a666a3f4e422",
        what="one run per flow and idempotency key",
        adds=frozenset({"constraint public.flow_run.ix_flow_run_idempotency_key_unique"}),
        removes=frozenset({"index public.flow_run.ix_flow_run_idempotency_key"}),
        rewrite=Rewrite(
            what="runs that share their flow and idempotency key with an earlier one are deleted",
            needs=frozenset({"column public.flow_run.idempotency_key"}),
        ),
    ),
    Step(
        revision=BASELINE,
        what="one edge between two tasks",
        adds=frozenset({"constraint public.edge.edge_flow_id_task_ids_key"}),
        rewrite=Rewrite(what="copies of an edge are deleted"),
    ),
)
"""The ways between revisions with tables, oldest first (schema.md §2). An empty database gets the baseline instead."""

REVISIONS = (FIRST, "72e2cd3e0469", *(step.revision for step in STEPS))
"""All 19 legacy revisions, oldest first."""

EARLIER = frozenset(REVISIONS[:-1])
"""Those of older legacy releases."""


def steps_after(revision: str) -> Sequence[Step]:
    """Return the steps from a revision with tables to the last one."""
    return STEPS[max(REVISIONS.index(revision) - 1, 0) :]


def expected_facts(revision: str) -> Mapping[str, str]:
    """Return what must be there at a revision: fact → its details, a column's type; empty where they are not known."""
    facts = dict(_head_facts()) if revision != FIRST else {}
    for step in reversed(steps_after(revision) if facts else ()):
        gone = step.adds | step.settles
        facts = {fact: detail for fact, detail in facts.items() if not any(belongs(fact, each) for each in gone)}
        facts.update(dict.fromkeys(step.removes, ""))
    return facts


def later_facts(revision: str) -> Mapping[str, str]:
    """Return what must not be there yet at a revision, with the revision that brings it."""
    later = {fact: step.revision for step in steps_after(revision) for fact in step.adds}
    if revision == FIRST:
        tables = {fact.split(".")[1] for fact in _head_facts() if fact.startswith("column public.")}
        later = {f"table public.{table}": REVISIONS[1] for table in tables - {"alembic_version"}} | later
    return later


def belongs(fact: str, owner: str) -> bool:
    """Tell whether a fact is another one, or about the table that the other one names."""
    kind, _, name = owner.partition(" ")
    return fact == owner or (kind == "table" and fact.partition(" ")[2].startswith(f"{name}."))


def _head_facts() -> Mapping[str, str]:
    """Read the facts of the last legacy revision: kind, name, detail."""
    lines = (migrations_folder() / "legacy" / f"{BASELINE}.txt").read_text(encoding="utf-8").splitlines()
    return dict(split_fact(line) for line in lines)


def split_fact(line: str) -> tuple[str, str]:
    """Take a line apart into the fact and its detail, which columns have."""
    if not line.startswith("column "):
        return line, ""
    kind, name, detail = line.split(" ", 2)
    return f"{kind} {name}", detail


def _counts(revision: str) -> Path:
    return migrations_folder() / "legacy" / "counts" / f"{revision}.sql"
