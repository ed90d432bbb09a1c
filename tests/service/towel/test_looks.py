"""Looking at a schedule only when it is due makes the runs that always looking makes (actions.md §5.2).

No service is needed: it is here for its length, some seconds.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from server_core.rules.schedules.planning import plan_runs
from tests.support.schedule_cases import random_cases


def test_looking_when_due_makes_the_same_runs_as_always_looking() -> None:
    """The legacy server looks every 150 s. The steps here are longer than some intervals and shorter than others.

    Compared is what starts within the time looked at. How far ahead is planned may differ for a while: around a change
    of clocks, looks of the reference at different times do not agree on which event comes next.
    """
    for case in random_cases(seed=1, count=25):
        schedule, start = case["document"], datetime.fromisoformat(case["after"])
        for step in (timedelta(minutes=41), timedelta(hours=7), timedelta(days=3)):
            moments = [start + step * number for number in range(8)]
            assert started(schedule, moments, lazily=True) == started(schedule, moments, lazily=False), (case, step)


def started(schedule: dict[str, Any], moments: list[datetime], *, lazily: bool) -> dict[str, bool]:
    """Return the runs that start until the last of some passes, and whether each was made before its start."""
    runs: dict[str, bool] = {}
    last, again = None, moments[0]
    for now in moments:
        if lazily and again > now:
            continue
        plan = plan_runs(schedule, last=last, now=now, max_runs=4)
        for run in plan.runs:
            if run.event.start_time <= moments[-1]:
                runs.setdefault(run.idempotency_key, now < run.event.start_time)
        last = max([*([last] if last else []), *(run.event.start_time for run in plan.runs)], default=None)
        again = plan.due or datetime.max.replace(tzinfo=UTC)
    return runs
