"""Verbs on the way in: could clients show that their runs live? (demands.md row 8)

A run may be silent because its process is gone, or because it was not heard: server, gateway or database were away. The
GraphQL service notes that it is there and that the gateway reaches it; the towel asks since when clients have had a way
in, before it believes silence.
"""

import logging
from datetime import datetime

from server_core.actions.context import ActionContext
from server_core.errors import ServerError
from server_core.store import presence as store
from server_core.store.presence import Service

logger = logging.getLogger(__name__)


async def note_presence(context: ActionContext, *, service: Service) -> None:
    """Note that a service is there; never raises, for nobody asked for it."""
    try:
        async with context.database.autocommit() as session:
            await store.mark_presence(session, service=service)
    except ServerError as error:
        logger.debug("presence was not noted: %s", error)


async def reachable_since(context: ActionContext) -> datetime | None:
    """Return since when clients have been able to reach the server; now if they are not, None if nobody can say.

    Raises:
        Unavailable: the database cannot be reached.
    """
    async with context.database.read() as session:
        presence = await store.fetch_presence(session)
    return None if presence is None else context.clock() - presence
