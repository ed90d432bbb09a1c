"""Rows of `message`: what a hook left for people to read. Called by actions/messages and actions/cloud_hooks."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from server_core.db.session import WriteSession


async def insert_message(
    session: WriteSession, *, tenant_id: UUID, type: str, content: Mapping[str, Any], text: str | None = None
) -> UUID:
    """Add an unread message and return its id.

    Raises:
        ForeignKeyViolation: there is no such tenant.
    """
    row_id: UUID = await session.fetch_value(
        "INSERT INTO message (tenant_id, type, text, content) VALUES ($1, $2, $3, $4) RETURNING id",
        tenant_id,
        type,
        text,
        content,
    )
    return row_id


async def set_read(session: WriteSession, *, message_id: UUID, read: bool) -> bool:
    """Mark a message as read or unread; say whether it exists."""
    return await session.execute("UPDATE message SET read = $2 WHERE id = $1", message_id, read) > 0


async def delete_message(session: WriteSession, *, message_id: UUID) -> bool:
    """Delete a message; say whether it existed."""
    return await session.execute("DELETE FROM message WHERE id = $1", message_id) > 0
