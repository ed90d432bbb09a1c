"""Verbs on messages, which PREFECT_MESSAGE hooks leave for people to read. Called by services/graphql (§2.10)."""

from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.rules.arguments import require
from server_core.store import messages as store


async def mark_message_as_read(context: ActionContext, *, message_id: UUID) -> bool:
    """Mark a message as read; say whether it exists."""
    require(message_id=message_id)
    async with context.database.autocommit() as session:
        return await store.set_read(session, message_id=message_id, read=True)


async def mark_message_as_unread(context: ActionContext, *, message_id: UUID) -> bool:
    """Mark a message as unread; say whether it exists."""
    require(message_id=message_id)
    async with context.database.autocommit() as session:
        return await store.set_read(session, message_id=message_id, read=False)


async def delete_message(context: ActionContext, *, message_id: UUID) -> bool:
    """Delete a message; say whether it existed."""
    require(message_id=message_id)
    async with context.database.autocommit() as session:
        return await store.delete_message(session, message_id=message_id)
