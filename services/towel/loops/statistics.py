"""Has Postgres look anew at tables that have outgrown what it knows of them (actions.statistics)."""

from collections.abc import Mapping
from dataclasses import dataclass

from server_core.actions.context import ActionContext
from server_core.actions.statistics import analyze_outgrown_tables


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Analyzes a table about each time that it has become ten times as large; else a pass asks one question."""

    name: str = "statistics"

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.statistics_interval_seconds`."""
        return context.settings.towel.statistics_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Make one pass; return how many tables were analyzed.

        Raises:
            Unavailable: the database cannot be reached, or somebody holds a table.
        """
        return {"tables": await analyze_outgrown_tables(context)}
