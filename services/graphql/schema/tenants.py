"""Mutations on tenants (actions.md §2.2): unpack the input, call one verb, shape the payload."""

from uuid import UUID

import strawberry
from strawberry import UNSET

from server_core.actions import tenants
from services.graphql.context import ActionInfo
from services.graphql.scalars import JSON
from services.graphql.schema.payloads import SuccessPayload, TenantIdPayload


@strawberry.input(name="create_tenant_input")
class CreateTenantInput:
    """A new tenant."""

    name: str
    slug: str


@strawberry.input(name="delete_tenant_input")
class DeleteTenantInput:
    """A tenant to delete with everything in it."""

    confirm: bool
    tenant_id: UUID


@strawberry.input(name="update_tenant_name_input")
class UpdateTenantNameInput:
    """A new name for a tenant."""

    tenant_id: UUID
    name: str


@strawberry.input(name="update_tenant_slug_input")
class UpdateTenantSlugInput:
    """A new slug for a tenant."""

    tenant_id: UUID
    slug: str


@strawberry.input(name="update_tenant_settings_input")
class UpdateTenantSettingsInput:
    """Settings to merge into a tenant's; omitted means none, null is an error."""

    tenant_id: UUID
    settings: JSON | None = UNSET


@strawberry.type
class Mutation:
    """Mutations on tenants."""

    @strawberry.mutation
    async def create_tenant(self, info: ActionInfo, input: CreateTenantInput) -> TenantIdPayload | None:
        """Create a tenant."""
        return TenantIdPayload(id=await tenants.create_tenant(info.context.actions, name=input.name, slug=input.slug))

    @strawberry.mutation
    async def delete_tenant(self, info: ActionInfo, input: DeleteTenantInput) -> SuccessPayload | None:
        """Delete a tenant and everything in it."""
        return SuccessPayload(
            success=await tenants.delete_tenant(info.context.actions, tenant_id=input.tenant_id, confirm=input.confirm)
        )

    @strawberry.mutation
    async def update_tenant_name(self, info: ActionInfo, input: UpdateTenantNameInput) -> TenantIdPayload | None:
        """Rename a tenant."""
        await tenants.update_tenant_name(info.context.actions, tenant_id=input.tenant_id, name=input.name)
        return TenantIdPayload(id=input.tenant_id)

    @strawberry.mutation
    async def update_tenant_slug(self, info: ActionInfo, input: UpdateTenantSlugInput) -> TenantIdPayload | None:
        """Give a tenant another slug."""
        await tenants.update_tenant_slug(info.context.actions, tenant_id=input.tenant_id, slug=input.slug)
        return TenantIdPayload(id=input.tenant_id)

    @strawberry.mutation
    async def update_tenant_settings(
        self, info: ActionInfo, input: UpdateTenantSettingsInput
    ) -> TenantIdPayload | None:
        """Merge settings into a tenant's."""
        settings: object = {} if input.settings is UNSET else input.settings
        await tenants.update_tenant_settings(info.context.actions, tenant_id=input.tenant_id, settings=settings)
        return TenantIdPayload(id=input.tenant_id)
