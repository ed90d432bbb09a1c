"""SQL on table tenant. Called by actions.tenants inside its transaction."""

from typing import Any
from uuid import UUID

from server_core.db.session import ReadSession, Row, WriteSession
from server_core.store.removal import is_kept


async def insert_tenant(session: WriteSession, *, name: str, slug: str) -> UUID:
    """Insert a tenant and return its id."""
    tenant_id: UUID = await session.fetch_value(
        "INSERT INTO tenant (name, slug) VALUES ($1, $2) RETURNING id", name, slug
    )
    return tenant_id


async def find_default_tenant(session: ReadSession, *, slug: str) -> UUID | None:
    """Return the tenant of a slug, else the oldest one, else None."""
    tenant_id: UUID | None = await session.fetch_value(
        f"""
        SELECT id
        FROM tenant
        WHERE {is_kept("tenant.id")}
        ORDER BY (slug = $1) DESC, created, id
        LIMIT 1
        """,  # noqa: S608 - made of constants
        slug,
    )
    return tenant_id


async def find_tenant_by_slug(session: ReadSession, *, slug: str) -> UUID | None:
    """Return the tenant of a slug, or None."""
    tenant_id: UUID | None = await session.fetch_value("SELECT id FROM tenant WHERE slug = $1", slug)
    return tenant_id


async def update_tenant_name(session: WriteSession, *, tenant_id: UUID, name: str) -> int:
    """Set the name; return how many rows matched."""
    return await session.execute(
        f"UPDATE tenant SET name = $2 WHERE id = $1 AND {is_kept('tenant.id')}",  # noqa: S608 - made of constants
        tenant_id,
        name,
    )


async def update_tenant_slug(session: WriteSession, *, tenant_id: UUID, slug: str) -> int:
    """Set the slug; return how many rows matched."""
    return await session.execute(
        f"UPDATE tenant SET slug = $2 WHERE id = $1 AND {is_kept('tenant.id')}",  # noqa: S608 - made of constants
        tenant_id,
        slug,
    )


async def merge_tenant_settings(session: WriteSession, *, tenant_id: UUID, settings: dict[str, Any]) -> int:
    """Overlay top-level keys on the settings; return how many rows matched."""
    return await session.execute(
        f"""
        UPDATE tenant SET settings = settings || $2::jsonb
        WHERE id = $1 AND {is_kept("tenant.id")}
        """,  # noqa: S608 - made of constants
        tenant_id,
        settings,
    )


async def fetch_tenants(session: ReadSession) -> list[Row]:
    """Return id, slug and name of all tenants but those that are being deleted, oldest first."""
    return await session.fetch(
        f"SELECT id, slug, name FROM tenant WHERE {is_kept('tenant.id')} ORDER BY created, id"  # noqa: S608 - constant
    )
