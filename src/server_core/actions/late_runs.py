"""The verbs that say why flow runs are late (demand 14). Called by the command line's doctor; they change nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.figures import LATE_AFTER, LONGEST_SECONDS, SILENT_AFTER
from server_core.db.session import ReadSession, Row
from server_core.errors import NotFound
from server_core.rules.late_runs import Agent, Reason, Run, why_late
from server_core.store import figures
from server_core.store import late_runs as store


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """Why one run is not being run.

    Attributes:
        id: of the run.
        name: of the run.
        flow: name of its flow.
        due: from when an agent may take it.
        reasons: what decides first.
    """

    id: UUID
    name: str | None
    flow: str
    due: datetime | None
    reasons: Sequence[Reason]


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """What waits, and who could take it.

    Attributes:
        late: how many runs have been due for more than 15 s.
        oldest: the first of them, explained.
        agents: all agents, last heard of first.
    """

    late: int
    oldest: Sequence[Explanation]
    agents: Sequence[Agent]


async def explain_run(context: ActionContext, flow_run_id: UUID) -> Explanation:
    """Return why a flow run is not being run.

    Raises:
        NotFound: there is no such run.
    """
    async with context.database.read() as session:
        found = await _explain(context, session, [flow_run_id], await store.fetch_agents(session))
    if not found:
        raise NotFound(f"There is no flow run {flow_run_id}.")
    return found[0]


async def look_at_waiting_runs(context: ActionContext, *, limit: int) -> Waiting:
    """Return how many flow runs are late, why the first of them are, and who could take them; in four statements."""
    now = context.clock()
    async with context.database.read() as session:
        late = await figures.count_late(session, now=now, before=now - LATE_AFTER, seconds=LONGEST_SECONDS)
        ids = await store.fetch_late_runs(session, before=now - LATE_AFTER, limit=limit)
        rows = await store.fetch_agents(session)
        oldest = await _explain(context, session, ids, rows)
    return Waiting(late=late["count"], oldest=oldest, agents=[_agent(row) for row in rows])


async def _explain(
    context: ActionContext, session: ReadSession, ids: Sequence[UUID], agent_rows: Sequence[Row]
) -> list[Explanation]:
    now = context.clock()
    runs = await store.fetch_runs(session, ids=ids, now=now)
    agents: dict[UUID, list[Agent]] = {}
    for row in agent_rows:
        agents.setdefault(row["tenant_id"], []).append(_agent(row))
    return [
        Explanation(
            id=row["id"],
            name=row["name"],
            flow=row["flow"],
            due=row["due"],
            reasons=why_late(
                _run(row),
                agents.get(row["tenant_id"], []),
                now=now,
                silent_after=SILENT_AFTER,
                poll_limit=context.settings.queued_runs_returned_limit,
            ),
        )
        for row in runs
    ]


def _run(row: Row) -> Run:
    names = Run.__dataclass_fields__
    return Run(**{**{name: row[name] for name in names}, "labels": _labels(row["labels"])})


def _agent(row: Row) -> Agent:
    return Agent(name=row["name"] or "without a name", labels=_labels(row["labels"]), last_queried=row["last_queried"])


def _labels(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
