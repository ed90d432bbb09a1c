"""A stored schedule and what was planned before → the runs to make now, with their keys (actions.md §5.2).

Called by server_core.actions.schedules, in a thread: a large schedule takes milliseconds, a hostile one more.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from server_core.rules.schedules.document import parse_schedule
from server_core.rules.schedules.keys import has_own_attributes, idempotency_key
from server_core.rules.schedules.schedule import Event


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """A run that should exist.

    Attributes:
        event: when, and with what of its clock.
        idempotency_key: names the run; equal plans have equal keys.
        repeats: it is wanted in every plan until its time, so it may exist already. Others are wanted once.
    """

    event: Event
    idempotency_key: str
    repeats: bool


@dataclass(frozen=True, kw_only=True)
class FlowPlan:
    """What a look at a schedule says.

    Attributes:
        runs: those that should exist and are not planned yet, as far as that can be told from the schedule.
        due: when to look again, always later than this look; None: never, nothing more is to come.
    """

    runs: list[PlannedRun]
    due: datetime | None


def plan_runs(document: Any, *, last: datetime | None, now: datetime, max_runs: int) -> FlowPlan:
    """Return the runs of the next events that are not planned yet, and when there will be others.

    Args:
        document: the schedule document of the flow group, or else of the flow.
        last: the latest start time planned before; None counts as now.
        now: the reference instant.
        max_runs: how many events to look at; those planned before count.

    Raises:
        InvalidInput: the document is not a schedule.
    """
    runs = []
    upcoming = parse_schedule(document).upcoming(max_runs, after=now, inclusive=True)
    for event in upcoming.events:
        repeats = has_own_attributes(event.parameter_defaults, event.labels)
        if repeats or event.start_time > (last or now):
            key = idempotency_key(event.start_time, event.parameter_defaults, event.labels)
            runs.append(PlannedRun(event=event, idempotency_key=key, repeats=repeats))
    due = None if upcoming.until is None else max(upcoming.until, now + timedelta.resolution)
    return FlowPlan(runs=runs, due=due)
