"""Settings and the time → what is old enough to go (demands.md rows 5 and 19). Called by actions.retention."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from server_core.config import RetentionSettings
from server_core.states import FAILED, FINISHED, SUCCESSFUL

NEVER = datetime.min.replace(tzinfo=UTC)
"""Nothing is older."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What goes, by class: rows from before the time given; None: none of the class.

    Attributes:
        logs: of levels that have no limit of their own.
        log_levels: of a level.
        flow_runs: by the name of the state they ended in.
        kept_flow_runs: how many of the newest finished runs of each flow stay, however old.
    """

    logs: datetime | None
    log_levels: Mapping[str, datetime]
    flow_runs: Mapping[str, datetime]
    kept_flow_runs: int
    artifacts: datetime | None
    messages: datetime | None
    agents: datetime | None

    @property
    def latest_log(self) -> datetime | None:
        """The latest of the limits of logs."""
        return _latest((self.logs, *self.log_levels.values()))

    @property
    def latest_flow_run(self) -> datetime | None:
        """The latest of the limits of flow runs."""
        return _latest(self.flow_runs.values())


def limits(settings: RetentionSettings, *, now: datetime) -> Limits:
    """Return what is old enough to go now.

    Days that are not set or 0 keep a class for ever. Those of a level or of a state stand over those of the class: not
    set, they are the same; 0, they keep it for ever.
    """

    def before(days: float | None) -> datetime | None:
        if not days:
            return None
        try:
            return now - timedelta(days=days)
        except OverflowError:
            return NEVER

    def own(days: float | None, of_class: float | None) -> datetime:
        return before(of_class if days is None else days) or NEVER

    states = {state: own(None, settings.flow_runs_days) for state in FINISHED}
    states |= {state: own(settings.success_flow_runs_days, settings.flow_runs_days) for state in SUCCESSFUL}
    states |= {state: own(settings.failed_flow_runs_days, settings.flow_runs_days) for state in FAILED}
    states["Cancelled"] = own(settings.cancelled_flow_runs_days, settings.flow_runs_days)
    levels = {"DEBUG": settings.debug_logs_days, "INFO": settings.info_logs_days}
    return Limits(
        logs=before(settings.logs_days),
        log_levels={level: before(days) or NEVER for level, days in levels.items() if days is not None},
        flow_runs={state: time for state, time in states.items() if time != NEVER},
        kept_flow_runs=settings.kept_flow_runs,
        artifacts=before(settings.artifacts_days),
        messages=before(settings.messages_days),
        agents=before(settings.agents_days),
    )


def _latest(times: Iterable[datetime | None]) -> datetime | None:
    found = [time for time in times if time is not None and time != NEVER]
    return max(found, default=None)
