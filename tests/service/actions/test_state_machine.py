"""Random states from several writers at once: runs are what §4.2 says of their stored rows, and every write that was
accepted is there once (actions.md §3.3–3.7, §4.2).

The examples are the same in every run, but how their writers meet is not. A failure prints what each writer did; it is
not shrunk, for a smaller one need not fail again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from server_core import states
from server_core.actions import runs as run_verbs
from server_core.actions.context import ActionContext
from server_core.actions.states import (
    FlowRunStateInput,
    TaskRunStateInput,
    cancel_flow_run,
    set_flow_run_states,
    set_task_run_states,
)
from server_core.db.session import Database
from server_core.errors import StateUpdateFailed
from tests.support.factories import insert_flow_run_state, insert_task_run_state
from tests.support.rows import fetch_all, make_flow, make_flow_run
from tests.support.state_rules import Expected, evaluate

NOW = datetime(2022, 3, 4, 5, 6, 7, tzinfo=UTC)
HOLD = timedelta(seconds=30)
RUNS = 2
TASKS = 2
"""Of each run."""

WAITING = {"Pending", "Scheduled", "Paused", "Resume", "Retrying", "Queued"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A state for one of the runs.

    Attributes:
        run: its number.
        name: the state's class.
        version: given with it; -1: the one that the run has just before.
        flow_run_version: the same of a task run's flow run.
    """

    run: int
    name: str
    version: int | None
    flow_run_version: int | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a writer does.

    Attributes:
        kind: `flow` and `task` set states through the API, `by hand` inserts a row of no newer version, `cancel` and
            `beat` are the verbs.
        entries: the states of the first two, else one for the run that is meant.
        behind: by how many versions a row by hand is behind; None: it has no version.
        seconds: the clock of the writer.
    """

    kind: str
    entries: Sequence[Entry]
    behind: int | None
    seconds: int


names = st.sampled_from([*sorted(states.CONCRETE), "Submitted", "Submitted", "Running", "Running", "Scheduled"])
versions = st.sampled_from([None, None, None, -1, -1, 1, 2])
entries = {
    "flow": st.builds(Entry, run=st.integers(0, RUNS - 1), name=names, version=versions),
    "task": st.builds(
        Entry, run=st.integers(0, RUNS * TASKS - 1), name=names, version=versions, flow_run_version=versions
    ),
}
steps = st.sampled_from(["flow", "flow", "flow", "task", "task", "by hand", "cancel", "beat"]).flatmap(
    lambda kind: st.builds(
        Step,
        kind=st.just(kind),
        entries=st.lists(
            entries["task" if kind == "task" else "flow"], min_size=1, max_size=4 if kind in entries else 1
        ),
        behind=st.sampled_from([0, 0, 1, 3, None]),
        seconds=st.integers(0, 90),
    )
)
scripts = st.lists(st.lists(steps, min_size=3, max_size=8), min_size=2, max_size=5)


@dataclass(frozen=True, kw_only=True)
class Sent:
    """An entry as it was sent.

    Attributes:
        kind: of its run.
        name: the state's class.
        version: given with it.
        flow_run_version: likewise.
        accepted: the whole batch was; else nobody knows about this entry.
    """

    kind: str
    name: str
    version: int | None
    flow_run_version: int | None
    accepted: bool


@dataclass(kw_only=True)
class World:
    """The runs of one example, and what its writers were told.

    Attributes:
        locking: the flow group locks versions.
        numbers: makes messages different.
        sent: per message, its entry.
    """

    context: ActionContext
    database: Database
    locking: bool
    flow_runs: list[UUID]
    task_runs: list[UUID]
    numbers: Iterator[int]
    sent: dict[str, Sent]

    async def take(self, step: Step) -> None:
        """Do what a step says."""
        context = replace(self.context, clock=lambda: NOW + timedelta(seconds=step.seconds))
        run = self.flow_runs[step.entries[0].run % RUNS]
        match step.kind:
            case "cancel":
                await cancel_flow_run(context, flow_run_id=run)
            case "beat":
                await run_verbs.update_flow_run_heartbeat(context, flow_run_id=run)
                await run_verbs.update_task_run_heartbeat(context, task_run_id=self.task_runs[0])
            case "by hand":
                await self.write_by_hand(step)
            case _:
                await self.set_states(context, step)

    async def set_states(self, context: ActionContext, step: Step) -> None:
        """Set a batch of states and note what came of it."""
        batch = []
        for entry in step.entries:
            version = await self.version(step.kind, entry.run) if entry.version == -1 else entry.version
            of_flow = entry.flow_run_version
            of_flow = await self.version("flow", entry.run // TASKS) if of_flow == -1 else of_flow
            batch.append((f"message {next(self.numbers)}", entry, version, of_flow))
        try:
            if step.kind == "flow":
                inputs = [
                    FlowRunStateInput(
                        flow_run_id=self.flow_runs[entry.run],
                        state={"type": entry.name, "message": message},
                        version=version,
                    )
                    for message, entry, version, _ in batch
                ]
                await set_flow_run_states(context, states=inputs)
            else:
                tasks = [
                    TaskRunStateInput(
                        task_run_id=self.task_runs[entry.run],
                        state={"type": entry.name, "message": message},
                        version=version,
                        flow_run_version=of_flow,
                    )
                    for message, entry, version, of_flow in batch
                ]
                await set_task_run_states(context, states=tasks)
            accepted = True
        except StateUpdateFailed:
            accepted = False
        for message, entry, version, of_flow in batch:
            self.sent[message] = Sent(
                kind=step.kind, name=entry.name, version=version, flow_run_version=of_flow, accepted=accepted
            )

    async def version(self, kind: str, number: int) -> int:
        """Return the version of a run."""
        run = (self.flow_runs if kind == "flow" else self.task_runs)[number]
        [row] = await fetch_all(self.database, f"SELECT version FROM {kind}_run WHERE id = $1", run)
        version: int = row["version"]
        return version

    async def write_by_hand(self, step: Step) -> None:
        """Insert rows as nobody should; their `result` says after which version, and in which order, they came."""
        entry = step.entries[0]
        for kind, run in (("flow", self.flow_runs[entry.run]), ("task", self.task_runs[entry.run])):
            async with self.database.transaction() as session:
                version = await session.fetch_value(
                    f"SELECT version FROM {kind}_run WHERE id = $1 FOR NO KEY UPDATE", run
                )
                columns: dict[str, Any] = {
                    "state": entry.name,
                    "version": None if step.behind is None else version - step.behind,
                    "timestamp": NOW + timedelta(seconds=step.seconds),
                    "message": "by hand",
                    "result": {"after": version, "order": next(self.numbers)},
                }
                if kind == "flow":
                    await insert_flow_run_state(session, flow_run_id=run, **columns)
                else:
                    await insert_task_run_state(session, task_run_id=run, **columns)


def in_order(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows of a run in the order in which they were written.

    Rows of the API are numbered by their versions; one by hand comes after the version that it found.
    """

    def place(row: Mapping[str, Any]) -> tuple[int, int]:
        if row["message"] == "by hand":
            return (row["result"]["after"], row["result"]["order"])
        return (row["version"], -1)

    return sorted(rows, key=place)


def check_run(run: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Check a run against its history."""
    through_api = [row["version"] for row in rows if row["message"] != "by hand"]
    assert through_api == list(range(1, len(through_api) + 1))
    expected = asdict(evaluate(rows))
    assert {column: run[column] for column in expected} == expected


def check_submissions(rows: Sequence[Mapping[str, Any]]) -> None:
    """Check that each Submitted of the API came 30 seconds after any other, and after the run was put back."""
    before = Expected()
    for position, row in enumerate(rows):
        if row["state"] == "Submitted" and row["message"] != "by hand":
            earlier = rows[:position]
            for at, taken in enumerate(earlier):
                if taken["state"] == "Submitted":
                    assert taken["timestamp"] <= row["timestamp"] - HOLD
                    assert before.state != "Submitted"
                    version = taken["version"] or 0
                    assert before.state in WAITING or any(
                        each["state"] in WAITING and (later > at or (each["version"] or 0) > version)
                        for later, each in enumerate(earlier)
                    )
        before = before.after(row)


def check_writes(world: World, rows: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]) -> None:
    """Check that what was accepted is there once, and that what could not be refused was accepted.

    Args:
        rows: by kind and message.
    """
    for message, sent in world.sent.items():
        stored = rows.get((sent.kind, message), [])
        assert len(stored) <= 1, f"{message} is doubled"
        needs = {"Submitted"} if sent.kind == "flow" else {"Running", "Cancelling"}
        versioned = sent.version is not None or (sent.kind == "task" and sent.flow_run_version is not None)
        if sent.accepted or not (sent.name in needs or (world.locking and versioned)):
            assert stored, f"{message} is lost"
        if stored and world.locking and sent.version is not None:
            assert stored[0]["version"] == sent.version + 1, f"{message} was for another version"


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(script=scripts, locking=st.booleans())
async def test_runs_are_what_their_rows_say(
    context: ActionContext, database: Database, script: list[list[Step]], locking: bool
) -> None:
    for number, writer in enumerate(script):
        note(f"writer {number}: {writer}")
    flow = await make_flow(database, tasks=TASKS, group={"settings": {"version_locking_enabled": locking}})
    flow_runs = [await make_flow_run(database, flow) for _ in range(RUNS)]
    created = await fetch_all(
        database,
        "SELECT id FROM task_run WHERE flow_run_id = ANY($1) ORDER BY array_position($1, flow_run_id)",
        flow_runs,
    )
    world = World(
        context=context,
        database=database,
        locking=locking,
        flow_runs=flow_runs,
        task_runs=[row["id"] for row in created],
        numbers=count(),
        sent={},
    )

    async def work(writer: Sequence[Step]) -> None:
        for step in writer:
            await world.take(step)

    await asyncio.gather(*(work(writer) for writer in script))

    by_message: defaultdict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for kind, ids in (("flow", world.flow_runs), ("task", world.task_runs)):
        runs = await fetch_all(database, f"SELECT * FROM {kind}_run WHERE id = ANY($1)", ids)
        history = await fetch_all(database, f"SELECT * FROM {kind}_run_state WHERE {kind}_run_id = ANY($1)", ids)
        for run in runs:
            rows = in_order([row for row in history if row[f"{kind}_run_id"] == run["id"]])
            check_run(run, rows)
            if kind == "flow":
                check_submissions(rows)
        for row in history:
            by_message[kind, row["message"]].append(row)
    check_writes(world, by_message)
