"""Any call for a run counts as life of it (demands.md row 8). Called by the verbs that running clients use.

A client whose heartbeat process died still reports states and logs: such a run is no zombie. Its verbs read along with
their own work whether the run's heartbeat is overdue; only then it is moved, once in a while for each run.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Final
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.errors import ServerError
from server_core.store import life as store

logger = logging.getLogger(__name__)

MOST_OVERDUE: Final = timedelta(seconds=40)
"""Clients beat every 30 s: the calls of a run that does so hardly ever find it overdue. Not longer, for flow groups
may let their runs be silent for a minute only, and what a group says is not read by every call.
"""


def overdue_before(context: ActionContext) -> datetime:
    """Return the time before which a heartbeat is overdue: a tenth of what a run may be silent, at most 40 s."""
    return context.clock() - _tenth(context.settings.towel.heartbeat_timeout_seconds)


@cache
def _tenth(silence_seconds: float) -> timedelta:
    return min(MOST_OVERDUE, timedelta(seconds=silence_seconds) / 10)


async def note_life(context: ActionContext, flow_run_ids: Iterable[UUID | None]) -> None:
    """Set the heartbeats of flow runs that are overdue, None among them left out; never raises.

    The work of the call is committed by then, so that no failure here may become its answer: it would be sent again.
    """
    overdue = {each for each in flow_run_ids if each is not None}
    if not overdue:
        return
    try:
        async with context.database.autocommit() as session:
            await store.note_life(
                session, flow_run_ids=list(overdue), now=context.clock(), before=overdue_before(context)
            )
    except ServerError as error:
        logger.warning("a sign of life was not noted: %s", error)
