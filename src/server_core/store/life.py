"""SQL about runs that show life by any call that comes for them. Called by the store's statements of such calls, which
ask whether the run's heartbeat is overdue, and by actions.life, which then moves it.

Asking costs nothing where the run is read anyway. Moving it within the same statement would: an UPDATE wakes those who
watch flow runs even if it finds none to change, and its lock would be held while other locks are waited for.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server_core.db.session import WriteSession


def is_overdue(run: str, before: str) -> str:
    """Return a condition: the flow run is under way, and its heartbeat is older than it need be.

    Args:
        run: name of a flow_run in the statement.
        before: parameter with the time; null: no run is overdue.
    """
    return f"{run}.state IN ('Running', 'Submitted', 'Cancelling') AND {run}.heartbeat < {before}::timestamptz"


_NOTE_LIFE = f"""
    UPDATE flow_run
    SET heartbeat = $2
    FROM (
        SELECT id FROM flow_run AS run
        WHERE id = ANY($1::uuid[]) AND {is_overdue("run", "$3")}
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS overdue
    WHERE flow_run.id = overdue.id
"""  # noqa: S608 - made of constants


async def note_life(session: WriteSession, *, flow_run_ids: Sequence[UUID], now: datetime, before: datetime) -> int:
    """Set the heartbeats that are (still) overdue; return how many there were.

    It waits for nobody: a run that somebody holds just now is left to the next call, of which there are many then.
    """
    return await session.execute(_NOTE_LIFE, flow_run_ids, now, before)
