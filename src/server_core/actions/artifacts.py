"""Verbs on task-run artifacts (actions.md §2.12). Called by the GraphQL service."""

from typing import Any
from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.errors import InvalidInput, NotFound, PayloadTooLarge
from server_core.rules.arguments import require
from server_core.storable import payload_size, storable_json
from server_core.store import artifacts as store


async def create_task_run_artifact(
    context: ActionContext, *, task_run_id: UUID, kind: str, data: Any, tenant_id: UUID | None = None
) -> UUID:
    """Attach an artifact to a task run and return its id.

    Args:
        tenant_id: None: the task run's.

    Raises:
        NotFound: there is no such task run; clients look for `not found` and try again.
        PayloadTooLarge: the data are over the limit.
        InvalidInput: the task run is another tenant's, or the kind is empty.
    """
    require(task_run_id=task_run_id, kind=kind)
    text = storable_json(data)
    limit = context.settings.artifacts_max_payload_bytes
    if payload_size(text) > limit:
        raise PayloadTooLarge(f"Artifact payload too large: it may not exceed {limit} bytes.")
    async with context.database.autocommit(repeatable=False) as session:
        inserted = await store.insert_artifact(
            session, task_run_id=task_run_id, kind=kind, data=text, tenant_id=tenant_id
        )
    if not inserted.task_run_exists:
        raise NotFound(f"Task run {task_run_id} not found.")
    if inserted.id is None:
        raise InvalidInput(f"Task run {task_run_id} does not belong to tenant {tenant_id}.")
    return inserted.id


async def update_task_run_artifact(context: ActionContext, *, task_run_artifact_id: UUID, data: Any) -> bool:
    """Replace an artifact's data; return whether it exists. There is no size limit here (§2.12)."""
    require(task_run_artifact_id=task_run_artifact_id)
    async with context.database.autocommit() as session:
        return await store.update_artifact(session, artifact_id=task_run_artifact_id, data=storable_json(data))


async def delete_task_run_artifact(context: ActionContext, *, task_run_artifact_id: UUID) -> bool:
    """Delete an artifact; return whether it existed."""
    require(task_run_artifact_id=task_run_artifact_id)
    async with context.database.autocommit() as session:
        return await store.delete_artifact(session, artifact_id=task_run_artifact_id)
