"""Verbs on tenants (actions.md §2.2). Called by the GraphQL service and by the CLI at start."""

from uuid import UUID

from slugify import slugify

from server_core.actions.context import ActionContext
from server_core.actions.removal import remove
from server_core.errors import InvalidInput, NotFound
from server_core.rules.arguments import require
from server_core.store import locks
from server_core.store import tenants as store

DEFAULT_SLUG = "default"


async def create_tenant(context: ActionContext, *, name: str, slug: str | None = None) -> UUID:
    """Create a tenant and return its id.

    Args:
        context: the seams.
        name: need not be unique.
        slug: unique, already in its slugified form; default: the slugified name.

    Raises:
        InvalidInput: the slug is not in its slugified form, or the name is empty.
        UniquenessViolation: the slug is taken.
    """
    require(name=name)
    slug = slugify(name) if slug is None else slug
    _check_slug(slug)
    async with context.database.transaction() as session:
        return await store.insert_tenant(session, name=name, slug=slug)


async def ensure_default_tenant(context: ActionContext) -> UUID:
    """Return the tenant that clients of a fresh server use; create it (slug `default`) if there is no tenant at all.

    Safe when several servers start at once: they wait for each other and agree on one.
    """
    async with context.database.transaction() as session:
        await locks.wait_for(session, "tenant:default")
        found = await store.find_default_tenant(session, slug=DEFAULT_SLUG)
        return found or await store.insert_tenant(session, name=DEFAULT_SLUG, slug=DEFAULT_SLUG)


async def update_tenant_name(context: ActionContext, *, tenant_id: UUID, name: str) -> UUID:
    """Rename a tenant and return its id.

    Raises:
        InvalidInput: the name is empty.
        NotFound: unknown tenant.
    """
    require(tenant_id=tenant_id, name=name)
    async with context.database.transaction() as session:
        _found(await store.update_tenant_name(session, tenant_id=tenant_id, name=name), tenant_id)
    return tenant_id


async def update_tenant_slug(context: ActionContext, *, tenant_id: UUID, slug: str) -> UUID:
    """Give a tenant another slug and return its id.

    Raises:
        InvalidInput: the slug is not in its slugified form.
        UniquenessViolation: the slug is taken.
        NotFound: unknown tenant.
    """
    require(tenant_id=tenant_id)
    _check_slug(slug)
    async with context.database.transaction() as session:
        _found(await store.update_tenant_slug(session, tenant_id=tenant_id, slug=slug), tenant_id)
    return tenant_id


async def update_tenant_settings(context: ActionContext, *, tenant_id: UUID, settings: object) -> UUID:
    """Overlay top-level keys on a tenant's settings and return its id.

    Raises:
        InvalidInput: the settings are not an object.
        NotFound: unknown tenant.
    """
    require(tenant_id=tenant_id)
    if not isinstance(settings, dict):
        raise InvalidInput("Tenant settings must be a JSON object.")
    async with context.database.transaction() as session:
        _found(await store.merge_tenant_settings(session, tenant_id=tenant_id, settings=settings), tenant_id)
    return tenant_id


async def delete_tenant(context: ActionContext, *, tenant_id: UUID, confirm: bool = False) -> bool:
    """Delete a tenant and everything in it; return whether it existed.

    One with very many runs is gone to its users at once, and its rows little by little; until then it exists.

    Raises:
        InvalidInput: not confirmed.
    """
    require(tenant_id=tenant_id)
    if confirm is not True:
        raise InvalidInput("Deleting a tenant must be confirmed: pass `confirm: true`.")
    return await remove(context, kind="tenant", id=tenant_id)


def _check_slug(slug: str) -> None:
    if not slug or slugify(slug) != slug:
        raise InvalidInput(
            f"Invalid tenant slug {slug[:100]!r}: use lower-case letters, digits and hyphens"
            f" (for example {slugify(slug) or DEFAULT_SLUG!r})."
        )


def _found(count: int, tenant_id: UUID) -> None:
    if not count:
        raise NotFound(f"Update failed: tenant {tenant_id} does not exist.")
