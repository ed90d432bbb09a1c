"""The mutation that stores log lines (actions.md §2.9): unpack the input, call the verb, shape the payload."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

import strawberry

from server_core.actions import logs
from services.graphql.context import ActionInfo
from services.graphql.inputs import built_at_once
from services.graphql.scalars import JSON
from services.graphql.schema.payloads import SuccessPayload


@strawberry.enum(name="log_level")
class LogLevel(StrEnum):
    """How severe a line is: the names that Python's logging has."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


@built_at_once
@strawberry.input(name="write_run_log_input")
class WriteRunLogInput:
    """A line of a flow run's log."""

    flow_run_id: UUID
    task_run_id: UUID | None
    timestamp: datetime | None
    message: str | None
    name: str | None
    level: LogLevel | None
    info: JSON | None


@built_at_once
@strawberry.input(name="write_run_logs_input")
class WriteRunLogsInput:
    """Lines of logs."""

    logs: list[WriteRunLogInput]


@strawberry.type
class Mutation:
    """Mutations on logs."""

    @strawberry.mutation
    async def write_run_logs(self, info: ActionInfo, input: WriteRunLogsInput) -> SuccessPayload | None:
        """Store log lines."""
        return SuccessPayload(success=await logs.write_run_logs(info.context.actions, logs=input.logs))
