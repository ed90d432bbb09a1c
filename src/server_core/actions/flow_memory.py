"""Flows that runs were made of → what the next runs take from them, without asking the database. Called by
actions.runs.

Nobody tells when a flow changes. Who makes a run of what is remembered has to see, in the statement that makes it, that
flow and group are still as they were (`updated`), and to read them anew if not.
"""

from typing import Final
from uuid import UUID

from server_core.db.session import Row
from server_core.documents.cache import BoundedCache

FLOWS: Final = 1_000
CHARACTERS: Final = 1_000_000
"""How much is remembered at most, as characters of what the rows hold."""
LONGEST: Final = 50_000
"""A flow that holds more is read for each run."""


class FlowMemory:
    """Remembers what store.runs.find_flow returned, within bounds; what was not asked for lately goes first."""

    def __init__(self) -> None:
        self._kept: BoundedCache[UUID, Row | None] = BoundedCache(entries=FLOWS, weight=CHARACTERS, heaviest=LONGEST)

    def get(self, flow_id: UUID) -> Row | None:
        """Return what was noted of a flow; None: nothing, or it had no runs then."""
        return self._kept.get(flow_id)

    def note(self, flow_id: UUID, flow: Row | None) -> None:
        """Note what was read of a flow just now; None: there is none. One that is archived is not remembered."""
        kept = None if flow is None or flow["archived"] else flow
        self._kept.put(flow_id, kept, len(repr(kept)))
