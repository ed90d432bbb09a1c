"""Mutations on flow groups (actions.md §2.5): unpack the input, call one verb, shape the payload."""

from typing import Any
from uuid import UUID

import strawberry
from strawberry import UNSET

from server_core.actions import flow_groups
from server_core.rules.schedules.groups import CronClockInput as CronClock
from server_core.rules.schedules.groups import IntervalClockInput as IntervalClock
from services.graphql.context import ActionInfo
from services.graphql.scalars import JSON
from services.graphql.schema.payloads import SuccessPayload


@strawberry.input(name="cron_clock_input")
class CronClockInput:
    """A clock that ticks as a cron expression says; its parameter defaults are kept as given, null included."""

    cron: str
    parameter_defaults: JSON | None = UNSET


@strawberry.input(name="interval_clock_input")
class IntervalClockInput:
    """A clock that ticks every so many seconds."""

    interval: int
    parameter_defaults: JSON | None


@strawberry.input(name="delete_flow_group_input")
class DeleteFlowGroupInput:
    """A flow group to delete."""

    flow_group_id: UUID


@strawberry.input(name="delete_flow_group_schedule_input")
class DeleteFlowGroupScheduleInput:
    """A flow group whose schedule is removed."""

    flow_group_id: UUID


@strawberry.input(name="set_flow_group_default_parameters_input")
class SetFlowGroupDefaultParametersInput:
    """Default parameters for a flow group."""

    flow_group_id: UUID
    parameters: JSON


@strawberry.input(name="set_flow_group_labels_input")
class SetFlowGroupLabelsInput:
    """Labels for a flow group; null or omitted removes them."""

    flow_group_id: UUID
    labels: list[str] | None


@strawberry.input(name="set_flow_group_description_input")
class SetFlowGroupDescriptionInput:
    """A description for a flow group; null clears it."""

    flow_group_id: UUID
    description: str | None


@strawberry.input(name="set_flow_group_run_config_input")
class SetFlowGroupRunConfigInput:
    """A run config for a flow group; null removes it."""

    flow_group_id: UUID
    run_config: JSON | None


@strawberry.input(name="set_flow_group_settings_input")
class SetFlowGroupSettingsInput:
    """Settings of a flow group that count instead of the server's; null removes one, others stay (our own)."""

    flow_group_id: UUID
    settings: JSON


@strawberry.input(name="set_flow_group_schedule_input")
class SetFlowGroupScheduleInput:
    """A schedule for a flow group; lists that are omitted or null are empty."""

    flow_group_id: UUID
    cron_clocks: list[CronClockInput] | None
    interval_clocks: list[IntervalClockInput] | None
    timezone: str | None


@strawberry.type
class Mutation:
    """Mutations on flow groups."""

    @strawberry.mutation
    async def delete_flow_group(self, info: ActionInfo, input: DeleteFlowGroupInput) -> SuccessPayload | None:
        """Delete a flow group and its flows."""
        return SuccessPayload(
            success=await flow_groups.delete_flow_group(info.context.actions, flow_group_id=input.flow_group_id)
        )

    @strawberry.mutation
    async def set_flow_group_default_parameters(
        self, info: ActionInfo, input: SetFlowGroupDefaultParametersInput
    ) -> SuccessPayload | None:
        """Replace the default parameters of a flow group."""
        return SuccessPayload(
            success=await flow_groups.set_flow_group_default_parameters(
                info.context.actions, flow_group_id=input.flow_group_id, parameters=input.parameters
            )
        )

    @strawberry.mutation
    async def set_flow_group_description(
        self, info: ActionInfo, input: SetFlowGroupDescriptionInput
    ) -> SuccessPayload | None:
        """Describe a flow group."""
        return SuccessPayload(
            success=await flow_groups.set_flow_group_description(
                info.context.actions, flow_group_id=input.flow_group_id, description=input.description
            )
        )

    @strawberry.mutation
    async def set_flow_group_labels(self, info: ActionInfo, input: SetFlowGroupLabelsInput) -> SuccessPayload | None:
        """Replace the labels of a flow group."""
        return SuccessPayload(
            success=await flow_groups.set_flow_group_labels(
                info.context.actions, flow_group_id=input.flow_group_id, labels=input.labels
            )
        )

    @strawberry.mutation
    async def set_flow_group_run_config(
        self, info: ActionInfo, input: SetFlowGroupRunConfigInput
    ) -> SuccessPayload | None:
        """Replace the run config of a flow group."""
        return SuccessPayload(
            success=await flow_groups.set_flow_group_run_config(
                info.context.actions, flow_group_id=input.flow_group_id, run_config=input.run_config
            )
        )

    @strawberry.mutation
    async def set_flow_group_settings(
        self, info: ActionInfo, input: SetFlowGroupSettingsInput
    ) -> SuccessPayload | None:
        """Change settings of a flow group."""
        return SuccessPayload(
            success=await flow_groups.set_flow_group_settings(
                info.context.actions, flow_group_id=input.flow_group_id, settings=input.settings
            )
        )

    @strawberry.mutation
    async def set_flow_group_schedule(
        self, info: ActionInfo, input: SetFlowGroupScheduleInput
    ) -> SuccessPayload | None:
        """Replace the schedule of a flow group."""
        return SuccessPayload(
            success=await flow_groups.set_flow_group_schedule(
                info.context.actions,
                flow_group_id=input.flow_group_id,
                cron_clocks=[_cron_clock(clock) for clock in input.cron_clocks or ()],
                interval_clocks=[_interval_clock(clock) for clock in input.interval_clocks or ()],
                timezone=input.timezone,
            )
        )

    @strawberry.mutation
    async def delete_flow_group_schedule(
        self, info: ActionInfo, input: DeleteFlowGroupScheduleInput
    ) -> SuccessPayload | None:
        """Remove the schedule of a flow group."""
        return SuccessPayload(
            success=await flow_groups.delete_flow_group_schedule(
                info.context.actions, flow_group_id=input.flow_group_id
            )
        )


def _cron_clock(clock: CronClockInput) -> CronClock:
    if clock.parameter_defaults is UNSET:
        return CronClock(cron=clock.cron)
    defaults: Any = clock.parameter_defaults
    return CronClock(cron=clock.cron, parameter_defaults=defaults, has_parameter_defaults=True)


def _interval_clock(clock: IntervalClockInput) -> IntervalClock:
    defaults: Any = clock.parameter_defaults
    return IntervalClock(interval=clock.interval, parameter_defaults=defaults)
