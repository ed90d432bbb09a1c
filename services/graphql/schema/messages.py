"""Mutations on messages (actions.md §2.10): unpack the input, call one verb, shape the payload."""

from uuid import UUID

import strawberry

from server_core.actions import messages
from services.graphql.context import ActionInfo
from services.graphql.schema.payloads import SuccessPayload


@strawberry.input(name="mark_message_as_read_input")
class MarkMessageAsReadInput:
    """A message that was read."""

    message_id: UUID


@strawberry.input(name="mark_message_as_unread_input")
class MarkMessageAsUnreadInput:
    """A message to show as new again."""

    message_id: UUID


@strawberry.input(name="delete_message_input")
class DeleteMessageInput:
    """A message to delete."""

    message_id: UUID


@strawberry.type
class Mutation:
    """Mutations on messages."""

    @strawberry.mutation
    async def mark_message_as_read(self, info: ActionInfo, input: MarkMessageAsReadInput) -> SuccessPayload | None:
        """Mark a message as read."""
        return SuccessPayload(
            success=await messages.mark_message_as_read(info.context.actions, message_id=input.message_id)
        )

    @strawberry.mutation
    async def mark_message_as_unread(self, info: ActionInfo, input: MarkMessageAsUnreadInput) -> SuccessPayload | None:
        """Mark a message as unread."""
        return SuccessPayload(
            success=await messages.mark_message_as_unread(info.context.actions, message_id=input.message_id)
        )

    @strawberry.mutation
    async def delete_message(self, info: ActionInfo, input: DeleteMessageInput) -> SuccessPayload | None:
        """Delete a message."""
        return SuccessPayload(success=await messages.delete_message(info.context.actions, message_id=input.message_id))
