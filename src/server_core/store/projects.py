"""SQL on table project. Called by actions.projects inside its transaction."""

from uuid import UUID

from server_core.db.session import WriteSession
from server_core.store.removal import is_kept


async def insert_project(session: WriteSession, *, tenant_id: UUID, name: str, description: str | None) -> UUID:
    """Insert a project and return its id."""
    project_id: UUID = await session.fetch_value(
        "INSERT INTO project (tenant_id, name, description) VALUES ($1, $2, $3) RETURNING id",
        tenant_id,
        name,
        description,
    )
    return project_id


async def update_project_name(session: WriteSession, *, project_id: UUID, name: str) -> int:
    """Set the name; return how many rows matched."""
    return await session.execute(
        f"UPDATE project SET name = $2 WHERE id = $1 AND {is_kept('project.id')}",  # noqa: S608 - made of constants
        project_id,
        name,
    )


async def update_project_description(session: WriteSession, *, project_id: UUID, description: str | None) -> int:
    """Set or clear the description; return how many rows matched."""
    return await session.execute(
        f"UPDATE project SET description = $2 WHERE id = $1 AND {is_kept('project.id')}",  # noqa: S608 - made of constants
        project_id,
        description,
    )
