"""Every state a run has been in."""

from sqlalchemy import INTEGER, TIMESTAMP, VARCHAR, Column, Table, text
from sqlalchemy.dialects.postgresql import JSONB

from server_core.models.base import created, identity, metadata, owner, reference, updated

flow_run_state = Table(
    "flow_run_state",
    metadata,
    identity(),
    owner(),
    reference("flow_run_id", "flow_run", nullable=False),
    Column("timestamp", TIMESTAMP(timezone=True), index=True, nullable=False, server_default=text("clock_timestamp()")),
    Column("state", VARCHAR, index=True, nullable=False),
    Column("message", VARCHAR),
    Column("result", JSONB),
    Column("start_time", TIMESTAMP(timezone=True)),
    Column("serialized_state", JSONB, nullable=False),
    created(),
    updated(index=True),
    Column("version", INTEGER, server_default=text("1")),
)

task_run_state = Table(
    "task_run_state",
    metadata,
    identity(),
    owner(),
    reference("task_run_id", "task_run", name="task_run_state_tmp_table_task_run_id_fkey", nullable=False),
    Column("timestamp", TIMESTAMP(timezone=True), index=True, nullable=False, server_default=text("clock_timestamp()")),
    Column("state", VARCHAR, index=True, nullable=False),
    Column("message", VARCHAR),
    Column("result", JSONB),
    Column("start_time", TIMESTAMP(timezone=True)),
    Column("serialized_state", JSONB, nullable=False),
    created(),
    updated(index=True),
    Column("version", INTEGER, server_default=text("1")),
)
