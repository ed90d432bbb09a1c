"""What every loop of the towel is: a name, an interval, and a pass that may be made at any time."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from server_core.actions.context import ActionContext


class Loop(Protocol):
    """Work that is done again and again. One pass finds a batch, decides and acts; passes never overlap.

    Attributes:
        name: on the command line, in log lines, health and metrics, and of the lease.
    """

    @property
    def name(self) -> str: ...

    def interval_seconds(self, context: ActionContext) -> float:
        """Return the time from the start of one pass to the start of the next."""
        ...

    async def run_once(self, context: ActionContext) -> Mapping[str, int]:
        """Make one pass and return what was changed, by kind.

        Raises:
            Unavailable: the database cannot be reached; the next pass tries again.
        """
        ...


@runtime_checkable
class SilenceLoop(Loop, Protocol):
    """A loop that takes missing heartbeats for dead processes, so that it must be told of outages."""

    async def run_since(self, context: ActionContext, *, counts_from: datetime | None) -> Mapping[str, int]:
        """Make one pass as run_once does.

        Args:
            counts_from: since when every run had a chance to show life; what was silent before does not count.
        """
        ...
