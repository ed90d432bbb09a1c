"""Mutations on cloud hooks (actions.md §7.1-7.4): unpack the input, call one verb, shape the payload."""

from enum import Enum
from typing import Any, cast
from uuid import UUID

import strawberry
from strawberry import UNSET

from server_core.actions import cloud_hooks
from services.graphql.context import ActionInfo
from services.graphql.scalars import JSON
from services.graphql.schema.payloads import CloudHookIdPayload, SuccessPayload


@strawberry.enum(name="cloud_hook_type")
class CloudHookType(Enum):
    """What kind of receiver a hook has."""

    PAGERDUTY = "PAGERDUTY"
    SLACK_WEBHOOK = "SLACK_WEBHOOK"
    TWILIO = "TWILIO"
    WEBHOOK = "WEBHOOK"
    PREFECT_MESSAGE = "PREFECT_MESSAGE"


@strawberry.enum(name="test_cloud_hook_state_type")
class HookTestStateType(Enum):
    """The state that a test of a hook tells of."""

    SCHEDULED = "SCHEDULED"
    SUBMITTED = "SUBMITTED"
    SUCCESS = "SUCCESS"
    RUNNING = "RUNNING"
    FAILED = "FAILED"


@strawberry.input(name="create_cloud_hook_input")
class CreateCloudHookInput:
    """A hook to add to a tenant; without a version group it listens to every flow."""

    tenant_id: UUID
    type: CloudHookType
    states: list[str]
    name: str | None = UNSET
    version_group_id: str | None = UNSET
    config: JSON | None = UNSET


@strawberry.input(name="test_cloud_hook_input")
class HookTestInput:
    """A hook to test, with a run or without, in a state or Success."""

    cloud_hook_id: UUID
    flow_run_id: UUID | None = UNSET
    state_type: HookTestStateType | None = UNSET


@strawberry.input(name="delete_cloud_hook_input")
class DeleteCloudHookInput:
    """A hook to delete."""

    cloud_hook_id: UUID


@strawberry.input(name="set_cloud_hook_active_input")
class SetCloudHookActiveInput:
    """A hook to switch on."""

    cloud_hook_id: UUID


@strawberry.input(name="set_cloud_hook_inactive_input")
class SetCloudHookInactiveInput:
    """A hook to switch off."""

    cloud_hook_id: UUID


@strawberry.type
class Mutation:
    """Mutations on cloud hooks."""

    @strawberry.mutation
    async def create_cloud_hook(self, info: ActionInfo, input: CreateCloudHookInput) -> CloudHookIdPayload | None:
        """Add a hook."""
        return CloudHookIdPayload(
            id=await cloud_hooks.create_cloud_hook(
                info.context.actions,
                tenant_id=input.tenant_id,
                type=input.type.value,
                states=input.states,
                config=cast(Any, None if input.config is UNSET else input.config),
                name=input.name or None,
                version_group_id=input.version_group_id or None,
            )
        )

    @strawberry.mutation
    async def test_cloud_hook(self, info: ActionInfo, input: HookTestInput) -> SuccessPayload | None:
        """Send a test notification to a hook's receiver; every failure comes back as `error`."""
        test = await cloud_hooks.test_cloud_hook(
            info.context.actions,
            cloud_hook_id=input.cloud_hook_id,
            flow_run_id=input.flow_run_id or None,
            state_type=(input.state_type or HookTestStateType.SUCCESS).value,
        )
        return SuccessPayload(success=test.success, error=test.error)

    @strawberry.mutation
    async def delete_cloud_hook(self, info: ActionInfo, input: DeleteCloudHookInput) -> SuccessPayload | None:
        """Delete a hook."""
        return SuccessPayload(
            success=await cloud_hooks.delete_cloud_hook(info.context.actions, cloud_hook_id=input.cloud_hook_id)
        )

    @strawberry.mutation
    async def set_cloud_hook_active(self, info: ActionInfo, input: SetCloudHookActiveInput) -> SuccessPayload | None:
        """Switch a hook on."""
        return SuccessPayload(
            success=await cloud_hooks.set_cloud_hook_active(info.context.actions, cloud_hook_id=input.cloud_hook_id)
        )

    @strawberry.mutation
    async def set_cloud_hook_inactive(
        self, info: ActionInfo, input: SetCloudHookInactiveInput
    ) -> SuccessPayload | None:
        """Switch a hook off."""
        return SuccessPayload(
            success=await cloud_hooks.set_cloud_hook_inactive(info.context.actions, cloud_hook_id=input.cloud_hook_id)
        )
