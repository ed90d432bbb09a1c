"""Deletes what is older than the settings keep it (actions.retention); does nothing unless they say so."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from server_core.actions.context import ActionContext
from server_core.actions.erasure import TimeBudget
from server_core.actions.retention import Progress, apply_retention

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Goes through each class of rows for its share of the time; the next pass goes on where this one ended.

    Attributes:
        progress: where that is.
    """

    name: str = "retention"
    progress: Progress = field(default_factory=Progress)

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.retention_interval_seconds`."""
        return context.settings.towel.retention_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Make one pass; return how many rows of each class went.

        Raises:
            Unavailable: the database cannot be reached.
        """
        settings = context.settings.retention
        counts = await apply_retention(
            context,
            budget=lambda classes: TimeBudget(settings.pass_seconds / classes),
            progress=self.progress,
            dry_run=settings.dry_run,
        )
        if settings.dry_run:
            shown = ", ".join(f"{count} {name}" for name, count in counts.items())
            logger.info("retention.dry_run: this pass would have deleted %s", shown or "nothing")
            return {}
        return counts
