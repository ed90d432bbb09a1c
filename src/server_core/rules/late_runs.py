"""What is known of a flow run and of the agents → why nobody runs it, and what to do. Called by actions.late_runs.

Whom an agent's poll gives a run is decided by store.queue; these are the same conditions, put into words.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from server_core.states import FINISHED, SCHEDULED

Code = Literal[
    "FINISHED",
    "RUNNING",
    "SUBMITTED",
    "PENDING",
    "BEING_DELETED",
    "NOT_DUE",
    "PAUSED",
    "QUEUED",
    "TOO_LATE",
    "NO_AGENT",
    "NO_AGENT_WITH_LABELS",
    "AGENTS_SILENT",
    "OTHERS_FIRST",
    "SCHEDULE_OFF",
    "FLOW_ARCHIVED",
    "WAITS_FOR_POLL",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What is known of a flow run.

    Attributes:
        state: class of its state; None before the first.
        state_message: of its state.
        due: from when its state lets an agent take it.
        updated: when it last changed.
        labels: of the run.
        auto_scheduled: the scheduler planned it.
        agent: name of the agent that took it last.
        flow_archived: its flow was archived, as by a newer version.
        schedule_active: the schedule of its flow is on.
        too_late: the late policy of its flow group keeps it from being run.
        being_deleted: it, or its flow, is on the way out.
        before_it: runs for the same labels that have been due for longer.
    """

    state: str | None
    state_message: str | None
    due: datetime | None
    updated: datetime
    labels: Sequence[str]
    auto_scheduled: bool
    agent: str | None
    flow_archived: bool
    schedule_active: bool
    too_late: bool
    being_deleted: bool
    before_it: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """An agent of the run's tenant.

    Attributes:
        name: its name and type.
        labels: its labels.
        last_queried: when it last asked for runs; None: never.
    """

    name: str
    labels: Sequence[str]
    last_queried: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """Why a run is not being run.

    Attributes:
        code: for programs.
        text: for people.
        advice: what to do about it; None: nothing.
        keeps: it keeps the run from being run; the others are only worth knowing.
    """

    code: Code
    text: str
    advice: str | None = None
    keeps: bool = True


def why_late(
    run: Run, agents: Sequence[Agent], *, now: datetime, silent_after: timedelta, poll_limit: int
) -> list[Reason]:
    """Return why a run is not being run, what decides first; never empty.

    Args:
        run: the run.
        agents: those of its tenant.
        now: the time.
        silent_after: an agent that has not asked for so long is silent.
        poll_limit: most runs that an agent gets at once.
    """
    state = _of_state(run, now)
    if state is not None:
        return [state]
    reasons = [*_of_run(run, now), *_of_agents(run, agents, now, silent_after, poll_limit), *_worth_knowing(run)]
    if not any(reason.keeps for reason in reasons):
        text = "nothing keeps it: the next poll of an agent takes it"
        advice = "if it stays, look at the log of the agent"
        reasons.insert(0, Reason(code="WAITS_FOR_POLL", text=text, advice=advice, keeps=False))
    return reasons


def takes(agent: Agent, run: Run) -> bool:
    """Tell whether an agent may take a run: its labels are all the agent's; one without goes to agents without only."""
    if not agent.labels:
        return not run.labels
    return bool(run.labels) and set(run.labels) <= set(agent.labels)


def _of_state(run: Run, now: datetime) -> Reason | None:
    """Return why the run is in nobody's queue, if it is not."""
    since = f"since {age(now - run.updated)}"
    by = f" by agent {run.agent}" if run.agent else ""
    if run.being_deleted:
        return Reason(code="BEING_DELETED", text="it is being deleted, or its flow is")
    if run.state in FINISHED:
        return Reason(code="FINISHED", text=f"it is over: {run.state}", keeps=False)
    if run.state == "Submitted":
        return Reason(
            code="SUBMITTED",
            text=f"it was taken{by} and is Submitted {since}, but its process has not begun",
            advice="look at the log of the agent, and at what it started (container, pod, process)",
        )
    if run.state is None or run.state == "Pending":
        return Reason(code="PENDING", text="it was never scheduled", advice="set its state to Scheduled")
    if run.state not in SCHEDULED:
        return Reason(code="RUNNING", text=f"it is {run.state} {since}{by}", keeps=False)
    return None


def _of_run(run: Run, now: datetime) -> Iterator[Reason]:
    if run.too_late:
        yield Reason(
            code="TOO_LATE",
            text="the late policy of its flow group keeps it from being run; the scheduler will cancel it",
            advice="change late_policy of the flow group, or run the flow by hand",
        )
    if run.due is None or run.due > now:
        when = "has no time to start at" if run.due is None else f"is due in {age(run.due - now)}"
        said = f": {run.state_message}" if run.state_message else ""
        if run.state == "Paused":
            yield Reason(
                code="PAUSED", text=f"it is paused and {when}{said}", advice="resume it: set its state to Resume"
            )
        elif run.state == "Queued":
            yield Reason(code="QUEUED", text=f"it waits for a free slot of a limit and {when}{said}")
        else:
            advice = "set its state to Scheduled to run it now"
            yield Reason(code="NOT_DUE", text=f"it {when}{said}", advice=advice)


def _of_agents(
    run: Run, agents: Sequence[Agent], now: datetime, silent_after: timedelta, poll_limit: int
) -> Iterator[Reason]:
    wanted = f"the labels {', '.join(sorted(run.labels))}" if run.labels else "no labels"
    options = "".join(f" --label {label}" for label in sorted(run.labels))
    start = f"start one: prefect agent local start{options or ' --no-hostname-label'}"
    fitting = [agent for agent in agents if takes(agent, run)]
    if not agents:
        yield Reason(code="NO_AGENT", text="there is no agent", advice=start)
        return
    if not fitting:
        known = "; ".join(f"{agent.name} has {', '.join(sorted(agent.labels)) or 'none'}" for agent in agents[:5])
        text = f"it has {wanted}, and no agent takes such runs ({known})"
        yield Reason(code="NO_AGENT_WITH_LABELS", text=text, advice=f"{start}, or change the labels of the run")
        return
    heard = [agent.last_queried for agent in fitting if agent.last_queried is not None]
    if not heard or now - max(heard) > silent_after:
        silence = f"the last one {age(now - max(heard))} ago" if heard else "none of them ever did"
        names = ", ".join(agent.name for agent in fitting[:5])
        yield Reason(
            code="AGENTS_SILENT",
            text=f"no agent that takes it asks for runs, {silence} ({names})",
            advice="start it again, and see that it reaches this server",
        )
    elif run.before_it >= poll_limit:
        yield Reason(
            code="OTHERS_FIRST",
            text=f"{run.before_it} runs for the same labels are due for longer; an agent gets {poll_limit} at once",
            advice="start more agents, or cancel what need not run any more",
        )


def _worth_knowing(run: Run) -> Iterator[Reason]:
    if run.flow_archived:
        text = "its flow is archived: there is a newer version, or someone archived it"
        yield Reason(code="FLOW_ARCHIVED", text=text, advice="cancel it if the newer version runs", keeps=False)
    if run.auto_scheduled and not run.schedule_active:
        text = "the schedule of its flow is off: no further runs are planned"
        yield Reason(code="SCHEDULE_OFF", text=text, advice="turn the schedule on", keeps=False)


def age(time: timedelta) -> str:
    """Return a length of time in its largest unit, for people."""
    seconds = max(0, round(time.total_seconds()))
    for length, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds} s"
