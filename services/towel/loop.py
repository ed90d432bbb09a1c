"""What every loop of the towel is: a name, an interval, and a pass that may be made at any time."""

from collections.abc import Mapping
from typing import Protocol

from server_core.actions.context import ActionContext


class Loop(Protocol):
    """Work that is done again and again. One pass finds a batch, decides and acts; passes never overlap.

    Attributes:
        name: in log lines, and of the lease.
        trusts_silence: it takes missing heartbeats for dead processes, so it must not run just after an outage.
    """

    @property
    def name(self) -> str: ...

    @property
    def trusts_silence(self) -> bool: ...

    def interval_seconds(self, context: ActionContext) -> float:
        """Return the time from the start of one pass to the start of the next."""
        ...

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Make one pass and return what was changed, by kind.

        Raises:
            Unavailable: the database cannot be reached; the next pass tries again.
        """
        ...
