"""Verbs on projects (actions.md §2.3). Called by the GraphQL service."""

from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.removal import refuse_pending, remove
from server_core.errors import NotFound
from server_core.rules.arguments import require
from server_core.store import projects as store


async def create_project(context: ActionContext, *, tenant_id: UUID, name: str, description: str | None = None) -> UUID:
    """Create a project and return its id.

    Raises:
        InvalidInput: the name is empty, or the tenant is being deleted.
        UniquenessViolation: the tenant has a project of that name.
        ForeignKeyViolation: unknown tenant.
    """
    require(tenant_id=tenant_id, name=name)
    async with context.database.transaction() as session:
        await refuse_pending(session, tenant=tenant_id)
        return await store.insert_project(session, tenant_id=tenant_id, name=name, description=description)


async def set_project_name(context: ActionContext, *, project_id: UUID, name: str) -> UUID:
    """Rename a project and return its id.

    Raises:
        InvalidInput: the name is empty.
        UniquenessViolation: the tenant has another project of that name.
        NotFound: unknown project.
    """
    require(project_id=project_id, name=name)
    async with context.database.transaction() as session:
        _found(await store.update_project_name(session, project_id=project_id, name=name), project_id)
    return project_id


async def set_project_description(context: ActionContext, *, project_id: UUID, description: str | None) -> UUID:
    """Set (or with None clear) the description of a project and return its id.

    Raises:
        NotFound: unknown project.
    """
    require(project_id=project_id)
    async with context.database.transaction() as session:
        _found(
            await store.update_project_description(session, project_id=project_id, description=description), project_id
        )
    return project_id


async def delete_project(context: ActionContext, *, project_id: UUID) -> bool:
    """Delete a project with its flows (not their flow groups); return whether it existed.

    One with very many runs is gone to its users at once, and its rows little by little; until then it exists.
    """
    require(project_id=project_id)
    return await remove(context, kind="project", id=project_id)


def _found(count: int, project_id: UUID) -> None:
    if not count:
        raise NotFound(f"Update failed: project {project_id} does not exist.")
