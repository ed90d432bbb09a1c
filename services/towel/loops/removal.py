"""Goes on with the large removals that a call began (actions.removal)."""

from collections.abc import Mapping
from dataclasses import dataclass

from server_core.actions.context import ActionContext
from server_core.actions.erasure import TimeBudget
from server_core.actions.removal import remove_pending

SHARE = 0.9
"""How much of its interval a pass may last."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Deletes little by little; when nothing is to be deleted, a pass asks one question."""

    name: str = "removal"

    def interval_seconds(self, context: ActionContext) -> float:
        """Return `towel.removal_interval_seconds`."""
        return context.settings.towel.removal_interval_seconds

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Make one pass; return how many rows went and how many removals came to their end.

        Raises:
            Unavailable: the database cannot be reached.
        """
        return await remove_pending(context, budget=TimeBudget(self.interval_seconds(context) * SHARE))
