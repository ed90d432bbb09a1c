"""SQL on table flow and its runs. Called by actions.flows inside its transaction."""

from collections.abc import Sequence
from uuid import UUID

from server_core.db.session import WriteSession


async def delete_some_runs(session: WriteSession, *, flow_ids: Sequence[UUID], limit: int) -> int:
    """Delete up to `limit` runs of some flows, with all they hold; return how many went."""
    return await session.execute(
        """
        DELETE FROM flow_run
        WHERE id IN (SELECT id FROM flow_run WHERE flow_id = ANY($1::uuid[]) LIMIT $2)
        """,
        flow_ids,
        limit,
    )
