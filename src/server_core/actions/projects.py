"""Verbs on projects (actions.md §2.3). Called by the GraphQL service."""

from uuid import UUID

from server_core.actions.context import ActionContext
from server_core.actions.removal import delete_runs_of_flows
from server_core.errors import NotFound
from server_core.rules.arguments import require
from server_core.store import projects as store


async def create_project(context: ActionContext, *, tenant_id: UUID, name: str, description: str | None = None) -> UUID:
    """Create a project and return its id.

    Raises:
        InvalidInput: the name is empty.
        UniquenessViolation: the tenant has a project of that name.
        ForeignKeyViolation: unknown tenant.
    """
    require(tenant_id=tenant_id, name=name)
    async with context.database.transaction() as session:
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

    The flow runs go first, in batches; a repeated call goes on where an interrupted one stopped.
    """
    require(project_id=project_id)
    async with context.database.read() as session:
        flow_ids = await store.fetch_flow_ids(session, project_id=project_id)
    await delete_runs_of_flows(context, flow_ids=flow_ids)
    async with context.database.transaction() as session:
        return bool(await store.delete_project(session, project_id=project_id))


def _found(count: int, project_id: UUID) -> None:
    if not count:
        raise NotFound(f"Update failed: project {project_id} does not exist.")
